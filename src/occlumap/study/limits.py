"""Limits of how often something may be tried, kept in the database: one count for all workers of a server.

Who is counted stands there only as a keyed hash, and no longer than it counts.
"""

import ipaddress
import time

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from occlumap.study.participants.models import Tally


def allowed(what: str, most: int, seconds: int) -> bool:
    """Whether `what` ("entry:10.0.0.1") may happen once more: `most` times in any `seconds`.

    Counts it, but not when it may not: whoever has to wait waits `seconds` at most.
    """
    now = int(time.time())
    Tally.objects.filter(until__lte=now).delete()
    # written before it is counted, so that of many at the same moment none is overlooked
    own = Tally.objects.create(what=_name(what, seconds), until=now + seconds)
    if Tally.objects.filter(what=own.what).count() <= most:
        return True
    own.delete()
    return False


def give_back(what: str, seconds: int) -> None:
    """Do not count the last time: it was a right one."""
    last = Tally.objects.filter(what=_name(what, seconds)).order_by("pk").last()
    if last is not None:
        last.delete()


def _name(what: str, seconds: int) -> str:
    return str(salted_hmac("limits", f"{what}:{seconds}", algorithm="sha256").hexdigest())


def address(request: HttpRequest) -> str:
    """Where a request comes from, as limits count it: an IPv4 address, or the 64 bits of a network of IPv6.

    X-Forwarded-For is believed as far as it was written by the trusted proxies, whose number the environment says: with
    n of them, the n-th from its end. What stands before could be anybody's; with fewer, somebody went around them.
    """
    peer = found = str(request.META.get("REMOTE_ADDR", ""))
    trusted = settings.TRUSTED_PROXIES
    passed = [one.strip() for one in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if one.strip()]
    if trusted and len(passed) >= trusted:
        found = passed[-trusted]
    try:
        known = ipaddress.ip_address(found.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(known, ipaddress.IPv6Address):
        mapped = known.ipv4_mapped
        return str(mapped or ipaddress.ip_network((known, 64), strict=False))
    return str(known)
