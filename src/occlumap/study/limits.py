"""Limits of how often something may be tried, kept in the server's cache."""

import time

from django.core.cache import cache


def allowed(what: str, most: int, seconds: int) -> bool:
    """Whether `what` ("entry:10.0.0.1") may happen once more: `most` times in each window of `seconds`."""
    key = f"limit:{what}:{int(time.time() // seconds)}"
    cache.add(key, 0, seconds * 2)
    try:
        return bool(cache.incr(key) <= most)
    except ValueError:  # it went away between the two
        return True
