"""Pages of the coding bench; each asks for a login."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from occlumap.errors import ArgumentError, FileFormatError
from occlumap.study import access
from occlumap.study.coding import exchange as exchanges
from occlumap.study.coding import services
from occlumap.study.coding.models import Code
from occlumap.study.configured import configuration
from occlumap.study.domain import codebook

KEYS = "1234567890qwertyuiopasdfghjklzxcvbnm"
"""Access keys of the codes, in the codebook's order."""


@access.staff_only
def bench(request: HttpRequest) -> HttpResponse:
    """The next answer: only its text, never who, which condition or which photo."""
    told = ""
    answer, earlier = services.next_answer(request.user.pk)
    if request.method == "POST":
        try:
            number = int(request.POST.get("answer", ""))
            answer = services.answer_of(number)
            with transaction.atomic():
                if request.POST.get("exclude"):
                    services.exclude(number, request.user.pk, request.POST.get("reason", ""))
                services.code(number, request.user.pk, request.POST.getlist("code"))
            return redirect("coding")
        except (ArgumentError, ValueError) as error:
            told = str(error)
    codes = list(Code.objects.order_by("group", "name"))
    since = {code.name: code.since for code in codes}
    context = {
        "title": "Coding",
        "told": told,
        "answer": answer,
        "chosen": request.POST.getlist("code") or (earlier.codes if earlier else []),
        "exclude": request.POST.get("exclude"),
        "new": codebook.codes_to_check(earlier.version, since) if earlier else [],
        "codes": [(code, KEYS[at] if at < len(KEYS) else "") for at, code in enumerate(codes)],
        "left": sum(not services.latest().get(one.pk) for one in services.answers()),
    }
    return render(request, "coding/bench.html", context, status=422 if told else 200)


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
    found = [one for one in services.agreement() if one.both or one.one]
    context = {"title": "Agreement", "agreement": found, "differences": services.differences()}
    return render(request, "coding/agreement.html", context)


@access.staff_only
@require_GET
def history(request: HttpRequest) -> HttpResponse:
    """Who coded what when, and what changed by it; nothing is ever overwritten."""
    context = {"title": "History of codings", "history": services.history()}
    return render(request, "coding/history.html", context)


@access.staff_only
@require_POST
def settle(request: HttpRequest) -> HttpResponse:
    """Settle a difference: these codes count."""
    try:
        names = map(services.code_name, request.POST.get("codes", "").replace(",", " ").split())
        services.code(int(request.POST.get("answer", "")), request.user.pk, names, adjudicated=True)
    except (ArgumentError, ValueError) as error:
        return render(
            request, "participants/message.html", {"title": "Not settled", "text": str(error)}, status=422
        )
    return redirect("agreement")


@access.staff_only
def exchange(request: HttpRequest) -> HttpResponse:
    """Codes from and for other programs; POST takes a file."""
    told, taken = "", None
    if request.method == "POST":
        file = request.FILES.get("file")
        try:
            if file is None:
                raise ArgumentError("expected a file, got none: please choose one")
            taken = exchanges.take(str(file.name), file.read(exchanges.MOST_BYTES + 1), request.user.pk)
        except (ArgumentError, FileFormatError) as error:
            told = str(error)
    context = {"title": "Codes in and out", "told": told, "taken": taken}
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
