"""Whether the study can be taken just now, for whoever watches the server."""

from collections.abc import Callable
from typing import Any

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse

from occlumap.study.participants.models import StudyState

PATH = "/health/"
WAIT = 3
"""Seconds that the database has to answer."""


class Health:
    """Answers /health/ before everything else: under any name, without TLS, without a session."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """200 when the database answers, 503 in plain words when not; any other path goes on."""
        if request.path != PATH:
            return self._get_response(request)
        well = _database_answers()
        told = (
            "ok\n"
            if well
            else "The database does not answer. Pages cannot be served until it does; what was acknowledged is kept.\n"
        )
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        return HttpResponse(told, status=200 if well else 503, content_type="text/plain", headers=headers)


def _database_answers() -> bool:
    try:
        if connection.vendor != "postgresql":
            StudyState.objects.exists()
            return True
        import psycopg

        try:
            with connected() as fresh:
                fresh.execute("select 1 from participants_studystate limit 1")
        except psycopg.Error:
            return False
        return True
    except Error:
        return False


def connected() -> Any:
    """A connection to PostgreSQL of its own: one of the pool may be dead though the database is there.

    Raises psycopg.OperationalError when there is none to be had.
    """
    import psycopg

    of = connection.settings_dict
    where = {"host": of["HOST"], "port": of["PORT"], "user": of["USER"], "password": of["PASSWORD"]}
    return psycopg.connect(dbname=of["NAME"], connect_timeout=WAIT, **where)
