"""Addresses of services, as they may stand in messages, reports and results."""

import re

_BEGINS = re.compile(r"[^:/?#@]*://|\s*https?(:/*|//+)|(?=[^:/?#@\s]+:[^/\s]*@)", re.IGNORECASE)
"""What an address begins with; as it may be mistyped, and the nothing before user:password@."""


def without_secrets(address: str) -> str:
    """`address` without user, password, query and fragment; as it is when it is no address.

    >>> without_secrets("https://me:secret@host/path?key=secret")
    'https://host/path'
    >>> without_secrets("http://me:sec/ret@host/path")  # it should read sec%2Fret
    'http://host/path'
    >>> without_secrets("http:/me:secret@host/path?key=secret")  # mistyped
    'http:/host/path'
    """
    begins = _BEGINS.match(address)
    if not begins:
        return address
    scheme, rest = begins[0], address[begins.end() :]
    before, _, behind = rest.rpartition("@")
    first = re.split(r"[/?#]", before, maxsplit=1)[0]
    if ":" in first and not first.rpartition(":")[2].isdecimal():
        rest = behind  # that was no host and port, but a password as it was typed
    rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}{host.rpartition('@')[2]}{slash}{path}"
