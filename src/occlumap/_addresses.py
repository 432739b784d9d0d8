"""Addresses of services, as they may stand in messages, reports and results."""

import re


def without_secrets(address: str) -> str:
    """`address` without user, password, query and fragment; as it is when it is no address.

    >>> without_secrets("https://me:secret@host/path?key=secret")
    'https://host/path'
    """
    scheme, there, rest = address.partition("://")
    if not there:
        return address
    rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
