"""Who may see the researcher's side: staff, with the second factor where they have one or the server asks for one."""

import functools
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django_otp.plugins.otp_totp.models import TOTPDevice

View = Callable[..., HttpResponse]


def device_of(user: Any) -> TOTPDevice | None:
    """The authenticator that somebody has set up; None without one."""
    return TOTPDevice.objects.filter(user=user, confirmed=True).first()


def staff_only(view: View) -> View:
    """Lets staff in who gave their second factor; who has none is led to set one up, where the server asks for it."""

    @functools.wraps(view)
    def guarded(request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponse:
        refused = _refused(request)
        if refused is not None:
            return refused
        if settings.TWO_FACTOR_REQUIRED and not request.user.is_verified():
            return redirect("two-factor")
        return view(request, *arguments, **named)

    return guarded


def staff_setting_up(view: View) -> View:
    """As `staff_only`, and lets in who has no second factor yet."""

    @functools.wraps(view)
    def guarded(request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponse:
        return _refused(request) or view(request, *arguments, **named)

    return guarded


def _refused(request: HttpRequest) -> HttpResponse | None:
    user = request.user
    if not (user.is_authenticated and user.is_staff):
        return redirect_to_login(request.get_full_path())
    if not user.is_verified() and device_of(user) is not None:  # logged in before it was set up
        return redirect_to_login(request.get_full_path())
    return None
