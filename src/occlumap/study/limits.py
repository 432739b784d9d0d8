"""Limits of how often something may be tried, kept in the database: one count for all workers of a server.

Who is counted stands there only as a keyed hash, and no longer than its window.
"""

import ipaddress
import time

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from occlumap.study.participants.models import Tally


def allowed(what: str, most: int, seconds: int) -> bool:
    """Whether `what` ("entry:10.0.0.1") may happen once more: `most` times in each window of `seconds`.

    Counts it, also when not.
    """
    now = int(time.time())
    name = _name(what, seconds, now)
    with transaction.atomic():
        if Tally.objects.filter(what=name).update(count=F("count") + 1):
            return bool(Tally.objects.get(what=name).count <= most)
        Tally.objects.filter(until__lt=now).delete()
        # in two steps: whoever comes second at the same moment adds to the row of the first
        Tally.objects.get_or_create(what=name, defaults={"until": (now // seconds + 1) * seconds})
        Tally.objects.filter(what=name).update(count=F("count") + 1)
        return bool(Tally.objects.get(what=name).count <= most)


def give_back(what: str, seconds: int) -> None:
    """Do not count the last time: it was a right one."""
    name = _name(what, seconds, int(time.time()))
    Tally.objects.filter(what=name, count__gt=0).update(count=F("count") - 1)


def _name(what: str, seconds: int, now: int) -> str:
    return str(salted_hmac("limits", f"{what}:{seconds}:{now // seconds}", algorithm="sha256").hexdigest())


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
