"""Pages of the participant: each parses, calls one service and shows the result."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core import signing
from django.http import FileResponse as File
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.utils import timezone

from occlumap.study import limits
from occlumap.study.configured import ChangedImageError, configuration, image
from occlumap.study.domain import colours as palette
from occlumap.study.domain import progress, reward
from occlumap.study.domain.configuration import Configuration
from occlumap.study.participants import services, showing
from occlumap.study.participants.models import Answer, Cell, Identity, Participant
from occlumap.study.recruiting import prolific

COOKIE = "participant"
IDENTITY = "identity"
"""A signed cookie: until somebody begins, who it is stands in their own browser only."""

TYPED = ("sensitive", "ignored", "learned")
"""Fields of free text."""

USEFUL = (("1", "not at all"), ("2", "a little"), ("3", "quite"), ("4", "very"))
LOST = (
    "This browser no longer says who you are. Please open your link once more in another tab, press Begin there, then "
    "come back to this tab and send the page. What you typed is kept here."
)


def entry(request: HttpRequest) -> HttpResponse:
    """The first page. Looking at it changes nothing: links are opened by previews, too. Its button starts."""
    if request.method in ("GET", "HEAD"):
        return _by_link(request, configuration())
    if request.method == "POST":
        return _begin(request, configuration())
    return HttpResponseNotAllowed(["GET", "POST"])


def _by_link(request: HttpRequest, study: Configuration) -> HttpResponse:
    """The first page, or why the link is not right; whose it is goes into a cookie, and out of the address."""
    person = {
        "person": request.GET.get("PROLIFIC_PID", ""),
        "study": request.GET.get("STUDY_ID", ""),
        "submission": request.GET.get("SESSION_ID", ""),
    }
    unfit = prolific.unfit(person)
    if unfit:
        told = (
            f"{' and '.join(unfit)} in its address should be letters, digits, - and _, 64 at most. Please open "
            "the study once more from where you found it."
        )
        return _message(request, "This link is not right", told, 400)
    signed, named = study.values["signed_links"], any(person.values())
    if signed["keys"] and (named or (not _identity(request) and _participant(request) is None)):
        token = request.GET.get("prolific_token", "")
        try:
            prolific.verify(token, person, signed["keys"], signed["audience"], study.folder)
        except prolific.KeysError:
            told = (
                "Something is wrong on our side: your link cannot be checked just now. It may well be right: "
                "keep it, and open it again in a few minutes. Nothing is lost."
            )
            return _message(request, "Please try again in a few minutes", told, 503)
        except prolific.UnsignedError:
            told = "This study is entered by the link on Prolific. Please open it there once more."
            return _message(request, "Please use your link", told, 403)
    if named and signed.get("study_id", "") not in ("", person["study"]):
        told = "Its STUDY_ID is of another study. Please open this study once more from where you found it."
        return _message(request, "This link is of another study", told, 403)
    if not named:
        return render(request, "participants/entry.html", {"title": study.values["title"]})
    response = redirect("entry")  # the id leaves the address at once
    response.set_cookie(
        IDENTITY,
        signing.dumps(person, salt=IDENTITY),
        max_age=settings.SESSION_COOKIE_AGE,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


def _begin(request: HttpRequest, study: Configuration) -> HttpResponse:
    """Whoever presses the button takes part from now on, or goes on; or why not."""
    known, identity = _participant(request), _identity(request)
    if study.values["signed_links"]["keys"] and known is None and not identity.get("person"):
        return redirect("entry")
    if not limits.allowed(f"entry:{limits.address(request)}", study.values["entries_per_minute"], 60):
        return _message(
            request, "Please wait a minute", "Too many people start at once. Nothing is lost: try again.", 429
        )
    withdrawal = services.withdrawal(identity)
    if withdrawal is not None:
        code = withdrawal.owed or services.CODES[progress.WITHDRAWN]
        context = {
            "title": "You have withdrawn",
            "text": "You took part in this study before, and withdrew: your answers were erased then. It cannot be "
            "taken a second time. If you withdrew by mistake, please write to us.",
            "code": study.values["codes"][code],
            "link": _completion(study, code),
            "direct": True,
            "contact": study.values["people"]["contact"],
        }
        response = render(request, "participants/message.html", context, status=403)
        response.delete_cookie(IDENTITY)
        return response
    asked = identity.get("person", "")
    if asked and not Identity.objects.filter(participant=known, person=asked).exists():
        known = services.known_as(asked)
        if known is not None:
            request.session[COOKIE] = known.code
    if not services.is_let_in(known):
        return _message(request, "Please come back later", services.PAUSED, 503)
    try:
        if known is None:
            known = services.start(study, identity)
        else:
            services.come_again(known, identity)
        request.session[COOKIE] = known.code
    except services.SubmissionTakenError:
        told = (
            "Somebody else takes part, or took part, by the same SESSION_ID, and a submission is paid once. Please "
            "open the study once more from your own account."
        )
        return _message(request, "This link is somebody else's", told, 403)
    except services.ReplacedError:
        return redirect("entry")  # it shows the study that is there now
    response = redirect("step")
    response.delete_cookie(IDENTITY)  # now it stands in one table only, which is erased on withdrawal
    return response


def _identity(request: HttpRequest) -> dict[str, str]:
    """Who the link said it is; empty without one."""
    try:
        found = signing.loads(
            request.COOKIES.get(IDENTITY, ""), salt=IDENTITY, max_age=settings.SESSION_COOKIE_AGE
        )
    except signing.BadSignature:
        return {}
    return dict(found)


def _participant(request: HttpRequest) -> Participant | None:
    code = request.session.get(COOKIE, "")
    return Participant.objects.select_related("cell").filter(code=code).first() if code else None


def step(request: HttpRequest, name: str = "") -> HttpResponse:
    """The step on which the participant is; POST submits it.

    `name`: of the step, in the address of its form. Browsers put what was typed back into a form of the same address,
    after the back button, for example: no answer may come into the form of another step so.
    """
    if name and request.method != "POST":
        return redirect("step")
    participant = _participant(request)
    if participant is None:
        if request.method == "POST":
            return _again(request, "Your link, please", LOST, 403)
        return redirect("entry")
    study = configuration()
    if request.method == "POST":
        submitted = request.POST.get("step", "")
        content = {
            key: value for key, value in request.POST.items() if key not in ("csrfmiddlewaretoken", "step")
        }
        try:
            after = services.submit(participant.pk, submitted, content, study, timezone.now())
        except services.Refused as refusal:
            return _page(request, participant, study, content, refusal.fields, 422)
        if submitted == "comprehension" and after.step == submitted and after.state == progress.ACTIVE:
            told = {
                "form": "Not all answers are right. Please look at the instructions again, and answer once more."
            }
            return _page(request, after, study, content, told, 422)
        return _afterwards(request, after, study, submitted, content)
    return _page(request, participant, study, {}, {}, 200)


def _afterwards(
    request: HttpRequest, after: Participant, study: Configuration, submitted: str, content: dict[str, Any]
) -> HttpResponse:
    """Lead on to where the participant is, or, where something typed was not taken, give it back, and say why."""
    typed = [content[name] for name in TYPED if content.get(name)]
    if after.state == progress.OVER_QUOTA and after.step == submitted and typed:
        told = "This page was not taken any more: your place ran out while you were away."
    elif services.was_said_otherwise(after, submitted, content):
        told = "You had sent that page before, maybe in another tab: what you sent first counts."
    else:
        return redirect("step")
    more = {"typed": typed, "heading": "The page that you sent was not taken"}
    return _page(request, after, study, {}, {"form": told}, 409, more)


def _page(
    request: HttpRequest,
    participant: Participant,
    study: Configuration,
    given: dict[str, Any],
    problems: dict[str, str],
    status: int,
    more: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """The page of a step, with what was typed and what is to be mended. `more`: what templates are told besides."""
    name = participant.step
    steps = services.all_steps(participant, study)
    context: dict[str, Any] = {
        "participant": participant,
        "step": name,
        "given": given,
        "problems": problems,
        "title": study.values["title"],
        "done": steps.index(name),
        "of": len(steps) - 1,
        "contact": study.values["people"]["contact"],
        **(more or {}),
    }
    if participant.state in progress.OVER and participant.state != progress.FINISHED:
        return _over(request, participant, study, {"problems": problems, **(more or {})}, status)
    if name in ("eligibility", "information", "consent"):
        texts = study.texts()
        context["text"] = showing.markdown(texts[name]) if name in texts else ""
        return render(request, f"participants/{name}.html", context, status=status)
    if name.startswith("instructions-"):
        return _instructions(request, participant, study, int(name.removeprefix("instructions-")), context)
    if name == "comprehension":
        asked = study.questions(participant.scores, participant.heatmap)
        context["questions"] = [(name, question, given.get(name)) for name, question, _ in asked]
        context["pages"] = [name for name in steps if name.startswith("instructions-")]
        return render(request, "participants/comprehension.html", context, status=status)
    if name.startswith("task-"):
        position = int(name.removeprefix("task-"))
        task = study.tasks[services.order_of(participant, study)[position - 1]]
        context |= showing.task_context(study, task, participant.heatmap, participant.scores)
        context |= {"position": position, "count": len(study.tasks)}
        return render(request, "participants/task.html", context, status=status)
    if name == "report":
        useful = services.useful(participant)
        context["useful"] = [(name, question, given.get(name)) for name, question in useful]
        context["degrees"] = USEFUL
        context["colour_vision"] = services.COLOUR_VISION.items()
        return render(request, "participants/report.html", context, status=status)
    return _end(request, services.score(participant, study), study, context, status)


def preview(request: HttpRequest, study: Configuration, cell: str, name: str) -> HttpResponse:
    """A page as the condition `cell` shows it to somebody who says yes to every task; its button leads to the next.

    Raises Http404 for a cell or page that there is not. Writes nothing.
    """
    someone = Participant(
        cell=Cell(name=cell), step=name, state=progress.ACTIVE, first_class=study.classes[0], seed=1
    )
    steps = services.all_steps(someone, study)
    if cell not in study.cells or name not in steps:
        raise Http404
    if request.method == "POST":
        return redirect("preview", someone.heatmap, someone.scores, progress.after(name, steps))
    told = {"title": "Preview", "preview": {"of": someone, "steps": steps}}
    if name != progress.LAST:
        return _page(request, someone, study, {}, {}, 200, told)
    answers = [Answer(task_id=task, answer="yes") for task in services.order_of(someone, study)]
    scored = [(one, reward.correct(study.tasks[one.task_id]["outcome"], one.answer)) for one in answers]
    return _end(request, scored, study, {"step": name, **told}, 200)


def instructions(request: HttpRequest, number: int) -> HttpResponse:
    """A page of the instructions again, as long as no task is begun."""
    participant = _participant(request)
    if participant is None:
        return redirect("entry")
    study = configuration()
    steps = services.all_steps(participant, study)
    if not progress.back_to(participant.step, f"instructions-{number}", steps):
        return redirect("step")
    more = progress.back_to(participant.step, f"instructions-{number + 1}", steps)
    context = {"step": participant.step, "title": study.values["title"], "again": True}
    context |= {"next": number + 1 if more else None}
    return _instructions(request, participant, study, number, context)


def _instructions(
    request: HttpRequest, participant: Participant, study: Configuration, number: int, context: dict[str, Any]
) -> HttpResponse:
    pages = study.texts(participant.scores, participant.heatmap)["instructions"]
    text = showing.with_figures(pages[number - 1], study, participant.heatmap, participant.scores)
    context |= {"text": text, "number": number, "pages": len(pages)}
    context["contact"] = study.values["people"]["contact"]
    return render(request, "participants/instructions.html", context)


def _end(
    request: HttpRequest,
    scored: list[tuple[Answer, bool]],
    study: Configuration,
    context: dict[str, Any],
    status: int,
) -> HttpResponse:
    """The last page, from the answers in their order, each with whether it is right."""
    right = sum(correct for _, correct in scored)
    earned = reward.bonus(right, len(study.tasks), study.money("per_correct"))
    currency = study.values["payment"]["currency"]
    context |= {
        "right": right,
        "count": len(study.tasks),
        "reward": f"{currency} {study.money('base') + earned:.2f}",
        "answers": [
            {
                "image": study.tasks[answer.task_id]["image"],
                "class": study.tasks[answer.task_id]["class"],
                "answer": answer.answer,
                "truth": reward.RIGHT[study.tasks[answer.task_id]["outcome"]],
                "right": correct,
            }
            for answer, correct in scored
        ],
        "code": study.values["codes"]["completed"],
        "link": _completion(study, "completed"),
    }
    return render(request, "participants/end.html", context, status=status)


def _completion(study: Configuration, name: str) -> str:
    url = study.values["completion_url"]
    code = quote(str(study.values["codes"][name]))
    return f"{url}{'&' if '?' in url else '?'}cc={code}" if url else ""


_OVER = {
    progress.WITHDRAWN: (
        "You have withdrawn",
        "Your answers are erased. Thank you for your time.",
    ),
    progress.DECLINED: ("Thank you", "This study is for people of whom all of these are true."),
    progress.OVER_QUOTA: (
        "The study is full",
        "All places are taken, or your place ran out while you were away. You will be paid for your time by this code.",
    ),
    progress.SCREENED_OUT: (
        "Thank you",
        "The questions about the instructions were not all answered rightly.",
    ),
}


def complete(request: HttpRequest) -> HttpResponse:
    """Lead somebody for whom the study is over back to where they came from, with the code of how it ended.

    Before the last answer is in there is no code to be had here. The address is the configuration's alone.
    """
    participant = _participant(request)
    if participant is None:
        return redirect("entry")
    link = _completion(configuration(), _code_of(participant)) if participant.state in progress.OVER else ""
    return redirect(link or "step")


def _code_of(participant: Participant) -> str:
    """The name of the completion code of a participant for whom the study is over."""
    return participant.owed or services.CODES[participant.state]


def _over(
    request: HttpRequest, participant: Participant, study: Configuration, more: Mapping[str, Any], status: int
) -> HttpResponse:
    title, text = _OVER[participant.state]
    code = _code_of(participant)
    context = {
        **more,
        "title": title,
        "text": text,
        "code": study.values["codes"][code],
        "link": _completion(study, code),
        # with it the way to withdraw
        "step": "" if participant.state == progress.WITHDRAWN else participant.step,
    }
    context["contact"] = study.values["people"]["contact"]
    return render(request, "participants/message.html", context, status=status)


def withdraw(request: HttpRequest) -> HttpResponse:
    """Asks once more on GET; on POST the participant's answers are erased."""
    participant, study = _participant(request), configuration()
    if participant is None:
        return redirect("entry")
    if request.method == "POST":
        services.withdraw(participant.pk, study)
        return redirect("step")
    context = {
        "title": "Withdraw",
        "over": participant.state in progress.OVER,
        "bonus": services.owed_bonus(participant, study),
        "currency": study.values["payment"]["currency"],
        "contact": study.values["people"]["contact"],
    }
    return render(request, "participants/withdraw.html", context)


def stimulus(request: HttpRequest, name: str) -> HttpResponse:
    """An image that the manifest names; its name says nothing."""
    try:
        file = image(name)
    except ChangedImageError:
        return _message(request, "This image cannot be shown", "Please write to us. Nothing is lost.", 503)
    if file is None:
        raise Http404
    response = File(file)
    response.headers["Cache-Control"] = "private, max-age=86400"
    return response


def colours(request: HttpRequest) -> HttpResponse:
    """The study's own colours, which the style sheet of all pages refers to."""
    sheet = palette.style_sheet(configuration().values["colours"])
    return HttpResponse(
        sheet, content_type="text/css; charset=utf-8", headers={"Cache-Control": "max-age=300"}
    )


def _message(request: HttpRequest, title: str, text: str, status: int) -> HttpResponse:
    return render(request, "participants/message.html", {"title": title, "text": text}, status=status)


def _is_step(request: HttpRequest) -> bool:
    """Whether a page of a step was asked for, or sent."""
    return request.resolver_match is not None and request.resolver_match.view_name in ("step", "submit")


def _again(request: HttpRequest, title: str, told: str, status: int) -> HttpResponse:
    """A page that holds what was sent, to be sent once more: nothing typed is lost. Asks no database."""
    sent = [(name, value) for name, value in request.POST.items() if name != "csrfmiddlewaretoken"]
    context = {
        "title": title,
        "told": told,
        "sent": sent if _is_step(request) else [],
        "typed": [value for name, value in sent if name in TYPED and value],
    }
    return render(request, "participants/again.html", context, status=status)


def failed(request: HttpRequest) -> HttpResponse:
    """Something is wrong on our side, the database away, for example."""
    told = "Something is wrong on our side. All pages that you finished are kept."
    return _again(request, "Please try again in a minute", told, 500)


def no_icon(request: HttpRequest) -> HttpResponse:
    """Browsers ask for an icon by themselves; there is none, which is no error."""
    return HttpResponse(status=204)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """An address that there is not."""
    return _message(request, "There is no such page", "Please look at the address once more.", 404)


def unreadable(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What cannot be read, or is far too long."""
    told = (
        "What was sent cannot be read, or is far too long. Nothing of it was taken: go back, and shorten it."
    )
    return _message(request, "This was not taken", told, 400)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The form again with what was typed, when its key has expired; nothing typed is lost."""
    participant = _participant(request)
    if _is_step(request) and participant is None:
        return _again(request, "Your link, please", LOST, 403)
    if participant is None or not _is_step(request):
        return _message(
            request,
            "Please try again",
            "This page had expired, or your browser refuses cookies, which this site needs. Load the page again, and "
            "send it once more.",
            403,
        )
    given = {key: value for key, value in request.POST.items() if key not in ("csrfmiddlewaretoken", "step")}
    told = {"form": "The page had expired. What you typed is still here: please send it once more."}
    submitted, study = request.POST.get("step", ""), configuration()
    if submitted != participant.step or participant.state in progress.OVER:
        return _afterwards(request, participant, study, submitted, given)
    return _page(request, participant, study, given, told, 403)
