"""Prolific's links: the ids in the address look like ids; the token of a signed one says the same, for this study."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from occlumap.errors import FileFormatError, OcclumapError

IDS = {"person": "PROLIFIC_PID", "study": "STUDY_ID", "submission": "SESSION_ID"}
"""The parameters of an address, by what they are to us."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What an id may be; Prolific's are 24 hexadecimal digits."""

_CLAIMS = {
    "person": ("prolific_pid", "PROLIFIC_PID"),
    "study": ("study_id", "STUDY_ID"),
    "submission": ("session_id", "SESSION_ID"),
}


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

    `keys`: a file of a JWKS, relative to `folder`, or its https address, which is asked at most once an hour. The ids
    stand in the claim `prolific`, or beside the others.
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
    except jwt.PyJWTError as error:
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

    if keys.startswith("https://"):
        return _client(keys).get_signing_key(str(kid)).key
    found = [key for key in _of_file(str(Path(folder) / keys)).keys if key.key_id == kid]
    if not found:
        raise jwt.PyJWTError(f"no key {kid!r}")
    return found[0].key


@cache
def _client(address: str) -> Any:
    import jwt

    return jwt.PyJWKClient(address, cache_jwk_set=True, lifespan=3600, timeout=10)


@cache
def _of_file(path: str) -> Any:
    import jwt

    try:
        return jwt.PyJWKSet.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, jwt.PyJWTError) as error:
        raise FileFormatError(f"expected the keys of Prolific (JWKS) at {path}: {error}") from error
