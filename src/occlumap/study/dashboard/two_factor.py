"""Setting up, and giving up, an authenticator (TOTP) for one's login."""

import re
from base64 import b32encode

import django_otp
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django_otp.plugins.otp_totp.models import TOTPDevice

from occlumap.study import access, limits

WRONG = "The code is wrong, was used before, or is too old. Please wait for the next one."


@access.staff_setting_up
def two_factor(request: HttpRequest) -> HttpResponse:
    """Shows a key for an authenticator; it counts once a code of it was entered. Another code gives it up again."""
    own = access.device_of(request.user)
    waiting = TOTPDevice.objects.filter(user=request.user, confirmed=False).first()
    told = ""
    if request.method == "POST":
        token = re.sub(r"\s", "", request.POST.get("token", ""))
        if request.POST.get("begin"):
            with transaction.atomic():
                TOTPDevice.objects.filter(user=request.user, confirmed=False).delete()
                TOTPDevice.objects.create(user=request.user, name="authenticator", confirmed=False)
            return redirect("two-factor")
        if not limits.allowed(f"two-factor:{request.user.pk}", 10, 300):
            told = "Too many tries. Please wait five minutes."
        elif own is not None:
            if django_otp.verify_token(request.user, own.persistent_id, token):
                TOTPDevice.objects.filter(user=request.user).delete()
                return redirect("two-factor")
            told = WRONG
        elif waiting is not None:
            if django_otp.verify_token(request.user, waiting.persistent_id, token):
                TOTPDevice.objects.filter(pk=waiting.pk).update(confirmed=True)
                django_otp.login(request, waiting)
                return redirect("overview")
            told = WRONG
    key = b32encode(waiting.bin_key).decode() if waiting and own is None else ""
    context = {
        "title": "Second factor",
        "told": told,
        "own": own,
        "key": " ".join(re.findall(".{1,4}", key)),
        "address": waiting.config_url if key else "",
    }
    return render(request, "dashboard/two_factor.html", context, status=422 if told else 200)
