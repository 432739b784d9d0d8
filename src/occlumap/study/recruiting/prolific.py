"""Prolific's links: the ids in the address look like ids; the token of a signed one says the same, for this study."""

import json
import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from occlumap.errors import OcclumapError

IDS = {"person": "PROLIFIC_PID", "study": "STUDY_ID", "submission": "SESSION_ID"}
"""The parameters of an address, by what they are to us."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What an id may be; Prolific's are 24 hexadecimal digits."""

_CLAIMS = {
    "person": ("prolific_pid", "PROLIFIC_PID"),
    "study": ("study_id", "STUDY_ID"),
    "submission": ("session_id", "SESSION_ID"),
}


_NO_KEYS = (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What is raised for a file or an answer that holds no keys."""

ASK_AGAIN, FRESH = 30.0, 3600.0
"""Seconds between two times that keys are asked for, and for which they need not be."""


@dataclass
class _Known:
    """The keys of a file or an address; when they were asked for, and when they came, by `time.monotonic`."""

    keys: Sequence[Any] = ()
    asked: float = -FRESH
    came: float = -FRESH


_known: dict[str, _Known] = {}
_turn = threading.Lock()


class KeysError(OcclumapError, RuntimeError):
    """The keys of Prolific cannot be had just now: no fault of who comes by a link."""


class UnsignedError(OcclumapError, ValueError):
    """A link without a signature of Prolific's, or with one for another study, person or time."""


def unfit(identity: Mapping[str, str]) -> list[str]:
    """The parameters of an address that are neither empty nor ids: they could be anything, lines of a table too.

    >>> unfit({"person": "5f8d", "submission": "x,1"})
    ['SESSION_ID']
    """
    return [IDS[name] for name, value in identity.items() if value and not _ID.fullmatch(value)]


def verify(token: str, identity: Mapping[str, str], keys: str, audience: str, folder: Path) -> None:
    """Raise UnsignedError unless `token` is a JWT (RS256) of one of `keys`, for `audience`, not expired, with these
    ids.

    `keys`: a file of a JWKS, relative to `folder`, or its https address. The ids stand in the claim `prolific`, or
    beside the others. Raises KeysError where the keys cannot be had, which the log says once in ASK_AGAIN seconds.
    """
    import jwt

    try:
        key = _key(keys, str(folder), jwt.get_unverified_header(token).get("kid"))
        claims = jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            audience=audience,
            options={"require": ["exp", "aud"]},
            leeway=10,
        )
    except (
        jwt.PyJWTError,
        TypeError,
        ValueError,
    ) as error:  # what is no text for a signature, or no key for RS256
        raise UnsignedError(f"expected a link that Prolific has signed for this study ({error})") from error
    said = claims.get("prolific", claims)
    for name, names in _CLAIMS.items():
        value = next((said[one] for one in names if isinstance(said, dict) and one in said), "")
        if value != identity.get(name, ""):  # what is signed may not be left out of the address either
            raise UnsignedError(f"expected the same {IDS[name]} in the address and in its signature")
    if not identity.get("person"):
        raise UnsignedError("expected PROLIFIC_PID in the address")


def _key(keys: str, folder: str, kid: str | None) -> Any:
    import jwt

    where = keys if keys.startswith("https://") else str(Path(folder) / keys)
    with _turn:  # who comes meanwhile waits for the same answer
        known = _known.setdefault(where, _Known())
        now = time.monotonic()
        wanted = kid not in [key.key_id for key in known.keys] or now - known.came > FRESH
        if wanted and now - known.asked > ASK_AGAIN:
            known.asked = now
            try:
                known.keys, known.came = _read(where), now
            except (jwt.PyJWTError, HTTPException, *_NO_KEYS) as error:
                logging.getLogger(__name__).error(
                    "expected the keys of Prolific (signed_links.keys, a JWKS) at %s, got %s: %s; until they are "
                    "there, %s",
                    where,
                    type(error).__name__,
                    str(error).partition("\n")[0],
                    "those from before are used" if known.keys else "nobody is let in by a link",
                )
    if not known.keys:
        raise KeysError(f"expected the keys of Prolific (JWKS) at {where}, which cannot be had")
    found = [key for key in known.keys if key.key_id == kid]
    if not found:
        raise jwt.PyJWTError(f"no key {kid!r}")
    return found[0].key


def _read(where: str) -> Sequence[Any]:
    import jwt

    if where.startswith("https://"):
        found = jwt.PyJWKClient(where, timeout=10).get_signing_keys()
    else:
        found = jwt.PyJWKSet.from_dict(json.loads(Path(where).read_text(encoding="utf-8"))).keys
    of_rsa = [key for key in found if key.key_type == "RSA"]
    if not of_rsa:
        raise ValueError("none of the keys is of the type RSA")
    return of_rsa
