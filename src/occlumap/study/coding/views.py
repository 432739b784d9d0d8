"""Pages of the coding bench; each asks for a login."""

import math
import re

from django.db import transaction
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from occlumap.errors import ArgumentError, FileFormatError
from occlumap.study import access
from occlumap.study.coding import exchange as exchanges
from occlumap.study.coding import services
from occlumap.study.coding.models import Code, Coding, Exclusion
from occlumap.study.configured import configuration
from occlumap.study.domain import codebook

KEYS = "1234567890qwertyuiopasdfghjklzxcvbm"
"""Access keys of the codes (n is the button's), in the order in which they came: a new one moves no other's key."""


@access.staff_only
def bench(request: HttpRequest, number: int | None = None) -> HttpResponse:
    """The next answer, or one that is asked for: only its text, never who, which condition or which photo.

    `number`: of the answer, in the address of its form, so that a browser puts what was chosen back into this form only
    (see `participants.views.step`); what counts is what the form sends.
    """
    if number is not None and request.method != "POST":
        return redirect("coding")
    told, answer, sent = "", None, request.POST
    try:
        if request.method == "POST":
            answer = services.answer_of(_number(sent, "answer"))
            _assert_seen(services.own(answer.pk, request.user.pk), sent)
            with transaction.atomic():
                if sent.get("exclude"):
                    services.exclude(answer.pk, request.user.pk, sent.get("reason", ""))
                services.code(answer.pk, request.user.pk, sent.getlist("code"))
            return redirect("coding")
        if "answer" in request.GET:
            answer = services.answer_of(_number(request.GET, "answer"))
    except ArgumentError as error:
        told = str(error)
    if answer is None:
        sent = QueryDict()
        answer, earlier = services.next_answer(request.user.pk)
    else:
        earlier = services.own(answer.pk, request.user.pk)
    codes = list(Code.objects.order_by("group", "name"))
    since = {code.name: code.since for code in codes}
    came = sorted(codes, key=lambda code: code.since)
    keys = dict(zip((code.name for code in came), KEYS, strict=False))
    context = {
        "title": "Coding",
        "told": told,
        "answer": answer,
        "earlier": earlier,
        "chosen": sent.getlist("code") if sent or not earlier else earlier.codes,
        "exclude": sent.get("exclude"),
        "reason": sent.get("reason", ""),
        "new": codebook.codes_to_check(earlier.version, since) if earlier else [],
        "codes": [(code, keys.get(code.name, "")) for code in codes],
        "left": services.left(),
    }
    return render(request, "coding/bench.html", context, status=422 if told else 200)


def _assert_seen(earlier: Coding | None, sent: QueryDict) -> None:
    """ArgumentError where the coder coded the answer after the page was made that is sent, as in another tab."""
    alike = earlier is not None and earlier.codes == sorted(set(sent.getlist("code")))  # sent twice
    if earlier is not None and not alike and sent.get("seen") != str(earlier.pk):
        raise ArgumentError(
            "you coded this answer meanwhile, maybe in another tab, as "
            f"{', '.join(earlier.codes) or 'none of the codes'}: nothing is changed. To have what is chosen here in "
            "its place, keep it once more"
        )


def _number(values: QueryDict, name: str) -> int:
    """A row's number that a page sent; ArgumentError for anything else."""
    given = values.get(name, "")
    if not re.fullmatch(r"[0-9]{1,18}", given):
        raise ArgumentError(
            f"expected the number of an {name}, got {given[:40] or 'none'!r}: please send it from the bench's page"
        )
    return int(given)


@access.staff_only
def book(request: HttpRequest) -> HttpResponse:
    """The codebook; POST adds a code, and with it a version."""
    told = ""
    if request.method == "POST":
        try:
            services.add_code(request.POST.get("name", ""), request.POST.get("group", ""))
            return redirect("codebook")
        except ArgumentError as error:
            told = str(error)
    context = {
        "title": "Codebook",
        "told": told,
        "codes": Code.objects.order_by("group", "name"),
        "groups": codebook.GROUPS,
        "version": services.version(),
    }
    return render(request, "coding/codebook.html", context, status=422 if told else 200)


@access.staff_only
def agreement(request: HttpRequest) -> HttpResponse:
    """Agreement for each code, and the differences to settle."""
    return _agreement(request)


def _agreement(request: HttpRequest, told: str = "") -> HttpResponse:
    """The page of agreement; `told`: why what was sent is not settled, and what was typed stays."""
    counting, typed = services.counting(), request.POST.get("answer")
    differences = [
        (
            *difference,
            request.POST.get("codes", "")
            if str(difference[0].pk) == typed
            else ", ".join(counting[difference[0].pk]),
        )
        for difference in services.differences()
    ]
    agreement = []
    for two, codes in services.agreement().items():
        chosen = [
            (one, *map(_decimals, (one.kappa, one.fleiss, one.alpha))) for one in codes if one.both or one.one
        ]
        if chosen:
            agreement.append((" and ".join(map(exchanges.coder_name, two)), chosen))
    context = {"title": "Agreement", "told": told, "agreement": agreement, "differences": differences}
    return render(request, "coding/agreement.html", context, status=422 if told else 200)


def _decimals(value: float) -> str:
    return "not defined" if math.isnan(value) else f"{value:.3f}"


@access.staff_only
@require_GET
def history(request: HttpRequest) -> HttpResponse:
    """Who coded what when, and what changed by it; nothing is ever overwritten."""
    context = {
        "title": "History of codings",
        "history": services.history(),
        "exclusions": Exclusion.objects.order_by("-pk"),
    }
    return render(request, "coding/history.html", context)


@access.staff_only
@require_POST
def include(request: HttpRequest) -> HttpResponse:
    """Undo an exclusion."""
    try:
        services.include(_number(request.POST, "exclusion"))
    except ArgumentError as error:
        return render(
            request, "participants/message.html", {"title": "Not undone", "text": str(error)}, status=422
        )
    return redirect("history")


@access.staff_only
@require_POST
def settle(request: HttpRequest, number: int | None = None) -> HttpResponse:
    """Settle a difference: these codes count. `number`: as for `bench`."""
    try:
        names = map(services.code_name, request.POST.get("codes", "").replace(",", " ").split())
        services.code(_number(request.POST, "answer"), request.user.pk, names, adjudicated=True)
    except ArgumentError as error:
        return _agreement(request, str(error))
    return redirect("agreement")


@access.staff_only
def exchange(request: HttpRequest) -> HttpResponse:
    """Codes from and for other programs; POST takes a file."""
    told, taken, keep = "", None, "look" not in request.POST
    if request.method == "POST":
        file = request.FILES.get("file")
        try:
            if file is None:
                raise ArgumentError("expected a file, got none: please choose one")
            data = file.read(exchanges.MOST_BYTES + 1)
            sure = "sure" in request.POST
            taken = exchanges.take(str(file.name), data, request.user.pk, keep=keep, sure=sure)
        except (ArgumentError, FileFormatError) as error:
            told = str(error)
    context = {"title": "Codes in and out", "told": told, "taken": taken, "kept": keep}
    return render(request, "coding/exchange.html", context, status=422 if told else 200)


@access.staff_only
@require_GET
def codebook_file(request: HttpRequest) -> HttpResponse:
    """The codebook as REFI-QDA."""
    return _file(exchanges.codebook_file(), "application/xml", "codebook.qdc")


@access.staff_only
@require_GET
def project_file(request: HttpRequest) -> HttpResponse:
    """Answers and codings as REFI-QDA."""
    data = exchanges.project_file(str(configuration().values["title"]))
    return _file(data, "application/zip", "project.qdpx")


def _file(data: bytes, kind: str, name: str) -> HttpResponse:
    response = HttpResponse(data, content_type=kind)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
