"""Pages of the researcher: each asks for a login."""

import csv
from collections import Counter
from collections.abc import Callable
from statistics import median

import django_otp
from django.contrib.auth import authenticate
from django.contrib.auth import login as log_in
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from occlumap.errors import ArgumentError
from occlumap.study import access, export, limits
from occlumap.study.configured import configuration
from occlumap.study.domain import progress
from occlumap.study.domain.configuration import Configuration, digests
from occlumap.study.participants import services
from occlumap.study.participants import views as pages
from occlumap.study.participants.models import Participant, StudyState

TRIES = 5
"""Wrong passwords for one name, or from one address, in LOCKED seconds."""

LOCKED = 300
EVERY = 30
"""Seconds after which an overview that is to be kept up to date loads itself again."""


def login(request: HttpRequest) -> HttpResponse:
    """Name, password, and the code of who has an authenticator; locked for a while after TRIES wrong ones.

    Never says which of them was wrong, nor who has an authenticator.
    """
    told = ""
    if request.method == "POST":
        name = request.POST.get("username", "")[:150]
        tried = {f"login:{name}": TRIES, f"login-from:{limits.address(request)}": 4 * TRIES}
        free = all(limits.allowed(what, most, LOCKED) for what, most in tried.items())
        user = None
        if free and "\x00" not in name:  # no name has it, and PostgreSQL cannot be asked for it
            user = authenticate(request, username=name, password=request.POST.get("password", ""))
        device = access.device_of(user) if user is not None else None
        token = "".join(request.POST.get("token", "").split())
        second = device is None or bool(token and django_otp.verify_token(user, device.persistent_id, token))
        if user is not None and user.is_staff and second:
            for what in tried:
                limits.give_back(what, LOCKED)
            log_in(request, user)
            django_otp.login(request, device)
            return redirect("overview")
        told = (
            "Name or password is wrong, or the code is."
            if free
            else "Too many tries. Please wait five minutes."
        )
    return render(
        request, "dashboard/login.html", {"title": "Researcher", "told": told}, status=401 if told else 200
    )


@access.staff_only
@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    """Cells with completed, live and left; people by state and step; how long it takes, and whose place ends when."""
    study, now = configuration(), timezone.now()
    quota = study.values["quota_per_cell"]
    people = list(Participant.objects.select_related("cell"))
    rows = []
    for name in study.cells:
        inside = [one for one in people if one.cell is not None and one.cell.name == name]
        done = sum(one.state == progress.FINISHED for one in inside)
        live = sum(
            one.state == progress.ACTIVE and one.lease_until is not None and one.lease_until > now
            for one in inside
        )
        gone = len(inside) - done - live
        heatmap, _, scores = name.partition(":")
        rows.append(
            {
                "cell": name,
                "heatmap": heatmap,
                "scores": scores,
                "done": done,
                "live": live,
                "gone": gone,
                "quota": quota,
            }
        )
    response = render(
        request,
        "dashboard/overview.html",
        {
            "title": study.values["title"],
            "rows": rows,
            "states": sorted(Counter(one.state for one in people).items()),
            "steps": sorted(Counter(one.step for one in people if one.state == progress.ACTIVE).items()),
            "paused": StudyState.objects.get(pk=1).paused,
            "sha256": study.sha256,
            "minutes": _minutes(people),
            "under_way": [
                (one, round((one.lease_until - now).total_seconds() / 60))
                for one in sorted(people, key=lambda one: one.pk)
                if one.state == progress.ACTIVE and one.lease_until is not None
            ],
            "every": EVERY,
            "kept_up": request.GET.get("every") == str(EVERY),
        },
    )
    if request.GET.get("every") == str(
        EVERY
    ):  # only where it was asked for: it would disturb who reads slowly
        response.headers["Refresh"] = str(EVERY)
    return response


def _minutes(people: list[Participant]) -> list[int]:
    """How long those who finished took: the quickest, the middle and the slowest, in minutes; empty for nobody."""
    took = sorted(
        round((one.finished_at - one.started_at).total_seconds() / 60)
        for one in people
        if one.finished_at is not None
    )
    return [took[0], round(median(took)), took[-1]] if took else []


@access.staff_only
@require_POST
def pause(request: HttpRequest) -> HttpResponse:
    """Let nobody new in, or let people in again; who has a place goes on."""
    StudyState.objects.filter(pk=1).update(paused=request.POST.get("paused") == "yes")
    return redirect("overview")


@access.staff_only
@require_GET
def export_archive(request: HttpRequest) -> HttpResponse:
    """All tables as a zip."""
    return _of_launched(request, _archive)


def _archive(study: Configuration) -> HttpResponse:
    response = HttpResponse(export.archive(study), content_type="application/zip")
    response.headers["Content-Disposition"] = 'attachment; filename="study.zip"'
    return response


@access.staff_only
@require_GET
def bonus_file(request: HttpRequest) -> HttpResponse:
    """Lines of id and amount, as Prolific takes them."""
    return _of_launched(request, _bonuses)


def _bonuses(study: Configuration) -> HttpResponse:
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    csv.writer(response, lineterminator="\n").writerows(export.bonuses(study))
    return response


def _of_launched(request: HttpRequest, made: Callable[[Configuration], HttpResponse]) -> HttpResponse:
    """What is `made` of the study, or why not: an image is not the launched one, for example."""
    study = configuration()
    try:
        services.assert_same_images(study.images_sha256, digests(study.images))
        return made(study)
    except ArgumentError as error:
        context = {"title": "Nothing is exported", "text": str(error)}
        return render(request, "participants/message.html", context, status=409)


@access.staff_only
@require_http_methods(["GET", "HEAD", "POST"])
def preview(request: HttpRequest, heatmap: str, scores: str, step: str) -> HttpResponse:
    """A page of the participant's way as a condition shows it; keeps nothing."""
    return pages.preview(request, configuration(), f"{heatmap}:{scores}", step)
