"""What spans several tables: start, submit, withdraw, erase. Each is one transaction with the participant locked."""

import hashlib
import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from occlumap.errors import ArgumentError
from occlumap.study.domain import progress, reward
from occlumap.study.domain.assignment import assign, order_on_return
from occlumap.study.domain.configuration import Configuration, thawed
from occlumap.study.participants.models import (
    Answer,
    Cell,
    Consent,
    Event,
    Identity,
    OwedBonus,
    Page,
    Participant,
    StudyState,
    Withdrawal,
)

FREE_TEXTS = {"sensitive": "is sensitive to", "ignored": "ignores"}
"""What is asked of each task in free text: features that the system ..."""

MOST_TYPED = 2000
"""Characters of a free text."""

COLOUR_VISION = {
    "usual": "As most people do",
    "deficient": "Some colours less well, red or green, for example",
    "unsaid": "I do not know, or would rather not say",
}
"""How somebody sees colours, in their own words: heatmaps are red."""

OVER_QUOTA = "over-quota"
"""The event that somebody's cell, or the study, was full; who has it and finished counts to no quota."""

CODES = {
    progress.FINISHED: "completed",
    progress.WITHDRAWN: "no_consent",
    progress.DECLINED: "no_consent",
    progress.OVER_QUOTA: "over_quota",
    progress.SCREENED_OUT: "screened_out",
}
"""The name of the completion code of each end."""

PAUSED = "The study is paused. Please come back later: nothing is lost."


class Refused(Exception):  # noqa: N818 - it is an answer to a person
    """What was submitted cannot be taken; `fields` says what to mend, by the name of the field."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(fields.values()))
        self.fields = dict(fields)


class ReplacedError(Exception):
    """The study was replaced by another, by a start of the server, since it was read; nobody had taken part."""


class SubmissionTakenError(Exception):
    """Another person takes, or took, part under the same submission of the recruiting service, which is paid once."""


def prepare(configuration: Configuration) -> None:
    """The rows that a study needs: its state and its cells.

    The configuration is frozen by the first participant: with another one the study is not served. Until then a start
    may replace it; servers that are up follow (see `configured`).
    """
    with transaction.atomic():
        StudyState.objects.get_or_create(pk=1, defaults={"config_sha256": configuration.sha256})
        state = StudyState.objects.select_for_update().get(pk=1)  # nobody starts meanwhile: see `start`
        begun = Participant.objects.exists()
        if begun:
            assert_launched(state, configuration)
        now = configuration.sha256, configuration.frozen
        if not state.launched or (not begun and (state.config_sha256, state.launched) != now):
            state.config_sha256, state.launched = now
            state.launched_at = timezone.now()
            state.save()
        for name in configuration.cells:
            Cell.objects.get_or_create(name=name)


def assert_launched(state: StudyState, configuration: Configuration) -> None:
    """ArgumentError for another configuration, manifest or image than those with which the study was launched."""
    if state.config_sha256 != configuration.sha256:
        raise ArgumentError(
            f"expected the configuration with which this study was launched (hash {state.config_sha256[:12]}), got "
            f"another ({configuration.sha256[:12]}): the configuration, a text or the manifest is not what it was; a "
            "study is frozen at launch: put the launched files back, or use a new database for a new version"
        )
    if state.launched:
        launched = thawed(state.launched, configuration.folder, state.config_sha256).images_sha256
        assert_same_images(launched, configuration.images_sha256)


def assert_same_images(launched: Mapping[str, str], found: Mapping[str, str]) -> None:
    """ArgumentError where an image's file, by its hash, is not the launched one."""
    changed = [name for name, digest in launched.items() if found.get(name) != digest]
    if changed:
        raise ArgumentError(
            f"expected the images with which this study was launched, but {changed[0]} is not what it was, or is gone "
            f"({len(changed)} of {len(launched)} images); put the launched files back, or use a new database for a new "
            "version"
        )


def all_steps(participant: Participant, configuration: Configuration) -> tuple[str, ...]:
    """The steps of this participant; before consent those of any."""
    scores, heatmap = participant.scores or "shown", participant.heatmap or "occlusion"
    pages = len(configuration.texts(scores, heatmap)["instructions"])
    return progress.steps(pages, len(configuration.tasks))


def order_of(participant: Participant, configuration: Configuration) -> list[str]:
    """The ids of the participant's tasks in their order."""
    tasks = [(task, str(about["class"])) for task, about in configuration.tasks.items()]
    return progress.task_order(tasks, participant.first_class, participant.seed)


def start(configuration: Configuration, identity: Mapping[str, str]) -> Participant:
    """A new participant, or the one that this identity already is; takes no place yet.

    Raises SubmissionTakenError for the submission of another person, ReplacedError where `configuration` is no longer
    the study's.
    """
    person = identity.get("person", "")
    known = known_as(person)
    if known is not None:
        return known
    try:
        with transaction.atomic():
            # locked, so that no start of the server replaces the study meanwhile
            if StudyState.objects.select_for_update().get(pk=1).config_sha256 != configuration.sha256:
                raise ReplacedError
            participant = Participant.objects.create(
                public_id=_temporary_id(),
                config_sha256=configuration.sha256,
            )
            participant.public_id = f"P{participant.pk:05d}"
            participant.seed = configuration.values["seed"] * 1_000_003 + participant.pk
            participant.save()
            if person:
                Identity.objects.create(
                    participant=participant,
                    person=person,
                    study=identity.get("study", ""),
                    submission=identity.get("submission", ""),
                )
                _assert_not_withdrawn(identity.get("submission", ""))
            Event.objects.create(participant=participant, kind="started")
            return participant
    except (
        IntegrityError
    ) as error:  # the same person in another tab, at the same time; or another person's submission
        known = known_as(person)
        if known is None:
            raise SubmissionTakenError from error
        return known


def known_as(person: str) -> Participant | None:
    """The participant who came by this id; None for nobody."""
    found = Identity.objects.filter(person=person).select_related("participant").first() if person else None
    return found.participant if found else None


def come_again(participant: Participant, identity: Mapping[str, str]) -> None:
    """Keep the submission by which somebody came last: who gave one back and came by another is paid by that one.

    Of who has finished the submission stays. Raises SubmissionTakenError for the submission of another person.
    """
    submission = identity.get("submission", "")
    if not submission:
        return
    earlier = Identity.objects.filter(participant=participant, person=identity.get("person", ""))
    earlier = earlier.exclude(participant__state=progress.FINISHED)
    try:
        with transaction.atomic():
            if earlier.exclude(submission=submission).update(
                submission=submission, study=identity.get("study", "")
            ):
                _assert_not_withdrawn(submission)
    except IntegrityError as error:
        raise SubmissionTakenError from error


def _assert_not_withdrawn(submission: str) -> None:
    """SubmissionTakenError for a submission by which somebody withdrew.

    To be called once it is taken: who withdraws by it at the same moment is waited for then.
    """
    if submission and Withdrawal.objects.filter(who=_fingerprint(f"submission:{submission}")).exists():
        raise SubmissionTakenError


def is_let_in(participant: Participant | None) -> bool:
    """Whether somebody goes on while the study is paused: who has a place, or for whom it is over."""
    inside = participant is not None and (
        participant.cell_id is not None or participant.state in progress.OVER
    )
    return inside or not StudyState.objects.get(pk=1).paused


def _temporary_id() -> str:
    import secrets

    return f"new-{secrets.token_hex(6)}"


def submit(
    participant_pk: int, step: str, content: Mapping[str, Any], configuration: Configuration, now: datetime
) -> Participant:
    """Take what was submitted on `step`, whole or not at all, and go on.

    A step that was submitted before (the back button, a double click, another tab) changes nothing: the first stays.
    Raises Refused for what is incomplete.
    """
    with transaction.atomic():
        # of: the cell is joined on the nullable side of an outer join, which PostgreSQL does not lock
        participant = (
            Participant.objects.select_for_update(of=("self",)).select_related("cell").get(pk=participant_pk)
        )
        if participant.state in progress.OVER or step != participant.step:
            return participant
        if participant.cell is not None:
            if not _still_has_place(participant, configuration, now):
                Event.objects.create(participant=participant, kind=OVER_QUOTA, step=step)
                if step != "report":  # who has answered all tasks finishes, beside the quota
                    participant.state = progress.OVER_QUOTA
                    participant.save()
                    return participant
            participant.lease_until = now + timedelta(minutes=configuration.values["lease_minutes"])
        if step.startswith("task-"):
            _take_answer(participant, step, content, configuration)
        elif step == "consent":
            if content.get("agree") != "yes":
                raise Refused({"agree": "Please tick the box if you agree, or withdraw."})
            if not _give_place(participant, configuration, now):
                participant.state = progress.OVER_QUOTA
                Event.objects.create(participant=participant, kind=OVER_QUOTA, step=step)
                participant.save()
                return participant
            text = configuration.texts()["consent"]
            Consent.objects.create(
                participant=participant,
                text_sha256=hashlib.sha256(text.encode()).hexdigest(),
                version=str(configuration.values["version"]),
            )
            participant.consented_at = now
            participant.state = progress.ACTIVE
        elif step == "comprehension":
            if not _take_comprehension(participant, content, configuration):
                return participant
        else:
            kept = _checked_page(participant, step, content)
            Page.objects.create(participant=participant, step=step, content=kept)
            if step == "eligibility" and content.get("eligible") == "no":
                participant.state = progress.DECLINED
                Event.objects.create(participant=participant, kind="declined", step=step)
                participant.save()
                return participant
        participant.step = progress.after(step, all_steps(participant, configuration))
        if participant.step == progress.LAST:
            participant.state = progress.FINISHED
            participant.finished_at = now
        Event.objects.create(participant=participant, kind="submitted", step=step)
        participant.save()
        return participant


def was_said_otherwise(participant: Participant, step: str, content: Mapping[str, Any]) -> bool:
    """Whether `step` is a task or the self-report that was sent before, and this says otherwise: the first is kept.

    `participant`: as after `step` was submitted.
    """
    if step == "report" != participant.step:
        page = Page.objects.filter(participant=participant, step=step).first()
        return page is not None and page.content != {name: _typed(content.get(name)) for name in page.content}
    if step == participant.step or not re.fullmatch(r"task-\d{1,4}", step):
        return False
    position = int(step.removeprefix("task-"))
    kept = Answer.objects.filter(participant=participant, position=position).first()
    if kept is None:
        return False
    said = (
        content.get("answer"),
        content.get("confidence"),
        *(_typed(content.get(one)) for one in FREE_TEXTS),
    )
    return said != (kept.answer, str(kept.confidence), kept.sensitive, kept.ignored)


def useful(participant: Participant) -> list[tuple[str, str]]:
    """(name, question) of what the self-report asks: of what this participant was shown."""
    shown = [
        ("outcomes", True),
        ("heatmaps", participant.heatmap != "none"),
        ("scores", participant.scores == "shown"),
    ]
    return [(f"useful_{name}", f"How useful were the {name}?") for name, there in shown if there]


def _checked_page(participant: Participant, step: str, content: Mapping[str, Any]) -> dict[str, str]:
    """What is kept of a page that is no task; Refused for what is incomplete."""
    if step == "eligibility":
        if content.get("eligible") not in ("yes", "no"):
            raise Refused({"eligible": "Please say whether all of these are true of you."})
        return {"eligible": str(content["eligible"])}
    if step != "report":
        return {}
    asked = dict(useful(participant))
    missing = {
        name: f"{question} Please choose one."
        for name, question in asked.items()
        if content.get(name) not in ("1", "2", "3", "4")
    }
    if content.get("colour_vision") not in COLOUR_VISION:
        missing["colour_vision"] = "How do you see colours? Please choose one."
    learned = _typed(content.get("learned"))
    if len(learned) > MOST_TYPED:
        missing["learned"] = f"What you learned: please use {MOST_TYPED:,} characters at most."
    if missing:
        raise Refused(missing)
    return {**{name: str(content[name]) for name in (*asked, "colour_vision")}, "learned": learned}


def _typed(value: object) -> str:
    """Free text without the characters that databases cannot hold; a line's end counts one, as browsers count it."""
    return str(value or "").replace("\x00", "").replace("\r\n", "\n").strip()


def _take_answer(
    participant: Participant, step: str, content: Mapping[str, Any], configuration: Configuration
) -> None:
    problems = {}
    if content.get("answer") not in ("yes", "no"):
        problems["answer"] = "Please say yes or no."
    if str(content.get("confidence")) not in ("1", "2", "3", "4"):
        problems["confidence"] = "Please say how confident you are."
    for name, what in FREE_TEXTS.items():
        text = _typed(content.get(name))
        if not text:
            problems[name] = f"Please name at least one feature that the system {what}, in your own words."
        elif len(text) > MOST_TYPED:
            problems[name] = f"What the system {what}: please use {MOST_TYPED:,} characters at most."
    if problems:
        raise Refused(problems)
    position = int(step.removeprefix("task-"))
    Answer.objects.create(
        participant=participant,
        task_id=order_of(participant, configuration)[position - 1],
        position=position,
        answer=content["answer"],
        confidence=int(content["confidence"]),
        sensitive=_typed(content["sensitive"]),
        ignored=_typed(content["ignored"]),
    )


def _take_comprehension(
    participant: Participant, content: Mapping[str, Any], configuration: Configuration
) -> bool:
    """Whether to go on; the rule of the configuration says what a wrong answer means."""
    asked = configuration.questions(participant.scores, participant.heatmap)
    missing = {
        name: f"Question {number}: please say yes or no."
        for number, (name, _, _) in enumerate(asked, start=1)
        if content.get(name) not in ("yes", "no")
    }
    if missing:
        raise Refused(missing)
    passed = all(content[name] == right for name, _, right in asked)
    rule = configuration.values["comprehension_rule"]
    if participant.screening_passed is None:
        participant.screening_passed = passed  # of the first try
    if not passed:
        participant.comprehension_failures += 1
        Event.objects.create(participant=participant, kind="comprehension-failed", step="comprehension")
        if rule == "repeat":
            participant.save()
            return False
        if rule == "screen_out":
            participant.state = progress.SCREENED_OUT
            participant.save()
            return False
    Page.objects.create(
        participant=participant, step="comprehension", content={name: content[name] for name, _, _ in asked}
    )
    return True


def taken(now: datetime, but: int | None = None) -> dict[tuple[str, str], int]:
    """How many completed or hold a live lease, by cell and order; not who finished beside the quota."""
    holding = Participant.objects.filter(
        Q(state=progress.FINISHED) | Q(state=progress.ACTIVE, lease_until__gt=now), cell__isnull=False
    )
    holding = holding.exclude(pk=but).exclude(event__kind=OVER_QUOTA)
    counts: dict[tuple[str, str], int] = {}
    for cell, order in holding.values_list("cell__name", "first_class"):
        counts[cell, order] = counts.get((cell, order), 0) + 1
    return counts


def _lock_cells() -> dict[str, Cell]:
    """All cells, locked in one order, so that places are given one after the other."""
    return {cell.name: cell for cell in Cell.objects.select_for_update().order_by("pk")}


def _give_place(participant: Participant, configuration: Configuration, now: datetime) -> bool:
    cells = _lock_cells()
    if StudyState.objects.get(pk=1).paused:
        raise Refused({"form": PAUSED})
    place = assign(
        taken(now),
        configuration.cells,
        configuration.classes,
        configuration.values["quota_per_cell"],
        participant.seed,
    )
    if place is None:
        return False
    participant.cell, participant.first_class = cells[place.cell], place.first_class
    participant.lease_until = now + timedelta(minutes=configuration.values["lease_minutes"])
    return True


def _still_has_place(participant: Participant, configuration: Configuration, now: datetime) -> bool:
    """A live lease, or, after it ended, room in the same cell and order; before the first task the order may change."""
    if participant.lease_until is not None and participant.lease_until > now:
        return True
    _lock_cells()
    counts = taken(now, participant.pk)
    in_cell = {order: count for (cell, order), count in counts.items() if cell == participant.cell.name}
    begun = Answer.objects.filter(participant=participant).exists()
    order = order_on_return(
        in_cell,
        participant.first_class,
        configuration.classes,
        configuration.values["quota_per_cell"],
        may_change=not begun,
    )
    if order is not None:
        participant.first_class = order
    return order is not None


def withdraw(participant_pk: int, configuration: Configuration) -> None:
    """End it at the participant's wish; what was said is erased, and a row without content stays for the counts.

    It costs nothing that was earned: for whom the study was over keeps the code, and who is owed a bonus the bonus.
    """
    with transaction.atomic():
        participant = Participant.objects.select_for_update(of=("self",)).get(pk=participant_pk)
        if participant.state == progress.WITHDRAWN:
            return
        if participant.state in progress.OVER:
            participant.owed = CODES[participant.state]
        amount = owed_bonus(participant, configuration)
        participant.state = progress.WITHDRAWN
        for identity in Identity.objects.filter(participant=participant):
            Withdrawal.objects.get_or_create(
                who=_fingerprint(identity.person), defaults={"owed": participant.owed}
            )
            if identity.submission:
                Withdrawal.objects.get_or_create(who=_fingerprint(f"submission:{identity.submission}"))
            if amount:
                OwedBonus.objects.create(payee=payee(identity), amount=amount)
        erase(participant)
        participant.save()


def forget_owed(payees: Collection[str] = ()) -> int:
    """Forget who withdrew and is owed a bonus, these or all; how many those were.

    Raises ArgumentError for a payee who is none of them.
    """
    with transaction.atomic():
        owed = OwedBonus.objects.all()
        strangers = set(payees) - set(owed.values_list("payee", flat=True))
        if strangers:
            raise ArgumentError(
                "expected ids of those who withdrew and are owed a bonus, as bonuses.csv has them, got "
                f"{', '.join(map(repr, sorted(strangers)))}"
            )
        count, _ = (owed.filter(payee__in=payees) if payees else owed).delete()
    return count


def bonus(participant: Participant, configuration: Configuration) -> Decimal:
    """What a participant's right answers earn."""
    right = sum(correct for _, correct in score(participant, configuration))
    return reward.bonus(right, len(configuration.tasks), configuration.money("per_correct"))


def payee(identity: Identity) -> str:
    """By which id the recruiting service pays."""
    return identity.submission or identity.person


def owed_bonus(participant: Participant, configuration: Configuration) -> Decimal:
    """The bonus that the recruiting service is to pay; 0 for who has not finished, or did not come by one."""
    known = Identity.objects.filter(participant=participant).exists()
    return (
        bonus(participant, configuration) if known and participant.state == progress.FINISHED else Decimal(0)
    )


def named(name: str) -> Participant:
    """The participant of an id: of the recruiting service (person or submission) or of the export; ArgumentError for
    nobody's.
    """
    of = Q(public_id=name) | Q(identity__person=name) | Q(identity__submission=name)
    found = Participant.objects.filter(of).exclude(state=progress.WITHDRAWN).first() if name else None
    if found is None:
        raise ArgumentError(
            f"expected the id of somebody who takes part, and has not withdrawn, got {name!r}"
        )
    return found


def withdrawal(identity: Mapping[str, str]) -> Withdrawal | None:
    """That this person took part before, and withdrew; None for who did not."""
    person = identity.get("person", "")
    return Withdrawal.objects.filter(who=_fingerprint(person)).first() if person else None


def _fingerprint(person: str) -> str:
    """Of an id, by the server's secret key: without that key it tells nothing."""
    return str(salted_hmac("withdrawal", person, algorithm="sha256").hexdigest())


def erase(participant: Participant) -> None:
    """Remove everything that the participant said and is; the row that counts stays, without a seed or times."""
    for table in (Answer, Page, Consent, Identity, Event):
        table.objects.filter(participant=participant).delete()
    participant.cell, participant.first_class, participant.seed = None, "", 0
    participant.lease_until = participant.started_at = None
    participant.consented_at = participant.finished_at = None
    participant.screening_passed, participant.comprehension_failures = None, 0


def score(participant: Participant, configuration: Configuration) -> list[tuple[Answer, bool]]:
    """The answers in their order, each with whether it is right."""
    return [
        (answer, reward.correct(configuration.tasks[answer.task_id]["outcome"], answer.answer))
        for answer in Answer.objects.filter(participant=participant).order_by("position")
    ]
