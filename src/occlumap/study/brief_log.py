"""The log in brief: what is no fault of this program takes one line, not the way through the program."""

import logging

from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError


class Brief(logging.Filter):
    """Says in one line that the database is away, or that a request was odd (a wrong Host); leaves the rest alone."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true: every record is kept."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, OperationalError | InterfaceError | SuspiciousOperation):
            said, why = record.getMessage(), next(iter(str(error).splitlines()), "")
            record.msg = said if why in said else f"{said}: {type(error).__name__}: {why}"
            record.args = record.exc_info = record.exc_text = None
        return True
