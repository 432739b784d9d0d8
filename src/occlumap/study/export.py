"""The export: tidy tables that `occlumap analyse` reads, with a data dictionary; written whole or not at all."""

import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from occlumap.errors import ArgumentError
from occlumap.study.domain import codebook, progress, reward
from occlumap.study.domain.configuration import Configuration

DICTIONARY = (
    ("every table", "participant_id", "an opaque id; nothing tells who it is"),
    (
        "every table",
        "config_sha256",
        "of the configuration, texts and stimulus set with which this participant took part",
    ),
    ("participants", "source", "the study's title and version"),
    ("participants", "heatmap, scores, first_class", "the condition, and the class whose block came first"),
    (
        "participants",
        "screening_passed",
        "1 if the comprehension questions were answered rightly at the first try",
    ),
    (
        "participants",
        "excluded_from_features",
        "1 if coders marked that the free-text questions were misunderstood",
    ),
    (
        "participants",
        "over_quota",
        "1 if all tasks were answered, but the place had run out and the cell was full by then",
    ),
    ("participants", "started_at, consented_at, finished_at", "UTC"),
    ("responses", "task_id, position", "the task, and where it came in this participant's order"),
    (
        "responses",
        "image_class, outcome",
        "the class asked for; TP, FP, FN or TN of the system on the task's image",
    ),
    ("responses", "answer, correct", "yes or no; 1 if that is what the system does"),
    ("responses", "confidence", "1 extremely unconfident to 4 extremely confident"),
    ("responses", "sensitive, ignored", "free text: what the system is sensitive to, and what it ignores"),
    (
        "every table",
        "text_name",
        "the name of the answer's text in a project (.qdpx), which no other database has: by it codes find back",
    ),
    ("codes", "task_id, code, group", "codes of the sensitive features; empty before they are coded"),
    (
        "codings",
        "task_id, coder, codes, codebook_version, adjudicated, at",
        "every coding, also those that another replaced; 1 if it settles a difference; UTC",
    ),
    (
        "double_coding",
        "segment_id, task_id, coder_a, coder_b, coder_c",
        "answers that the same two persons coded, those who coded most answers together, a row for each pair of codes: "
        f"the same codes together, then the others by name; {codebook.NONE} where a coder has no more, which is no "
        "code and has no group; coder_a is in every row the one of the two with the smaller number in codings.csv, "
        "whoever coded an answer first; coder_c: empty; what further persons coded stands in codings.csv",
    ),
    (
        "every table",
        "texts",
        "a text that a spreadsheet would run as a formula begins with a ' that was put there",
    ),
    (
        "reports",
        "useful_outcomes, useful_heatmaps, useful_scores, colour_vision, learned",
        "1 not at all to 4 very, empty if it was not shown; how they say that they see colours: usual, deficient or "
        "unsaid; free text",
    ),
    ("events", "kind, step, at", "what happened when, UTC; also of people who did not finish"),
)


def tables(study: Configuration) -> Iterator[tuple[str, list[str], Iterable[list[Any]]]]:
    """(name, columns, rows) of each table, of participants who finished; events of all.

    ArgumentError where somebody finished another configuration, whose rewards and outcomes may be others. The hash of
    the configuration with which a participant took part stands in each of their rows.
    """
    from occlumap.study.participants.models import Participant

    _assert_one_study(study)
    of = dict(Participant.objects.values_list("public_id", "config_sha256"))
    for name, columns, rows in _tables(study):
        at = columns.index("participant_id")
        yield name, [*columns, "config_sha256"], ([*row, of.get(row[at], "")] for row in rows)
    yield "data_dictionary", ["table", "column", "holds"], [list(row) for row in DICTIONARY]


def _assert_one_study(study: Configuration) -> None:
    from occlumap.study.participants.models import Participant

    others = Participant.objects.filter(state=progress.FINISHED).exclude(config_sha256=study.sha256)
    other = others.order_by("pk").first()
    if other is not None:
        raise ArgumentError(
            f"expected people who finished this configuration (hash {study.sha256[:12]}), but {other.public_id} had "
            f"another ({other.config_sha256[:12]}; {others.count()} in all), whose rewards or outcomes may differ: "
            "start a study of its own for each configuration"
        )


def _tables(study: Configuration) -> Iterator[tuple[str, list[str], Iterable[list[Any]]]]:
    from occlumap.study.coding import services as coding
    from occlumap.study.coding.exchange import name_of
    from occlumap.study.coding.models import Coding
    from occlumap.study.participants.models import Answer, Event, Page, Participant
    from occlumap.study.participants.services import OVER_QUOTA

    finished = (
        Participant.objects.filter(state=progress.FINISHED).select_related("cell").order_by("public_id")
    )
    excluded = coding.excluded()
    beside = set(Event.objects.filter(kind=OVER_QUOTA).values_list("participant_id", flat=True))
    source = f"{study.values['title']} {study.values['version']}"
    yield (
        "participants",
        [
            "participant_id",
            "source",
            "heatmap",
            "scores",
            "first_class",
            "screening_passed",
            "excluded_from_features",
            "over_quota",
            "started_at",
            "consented_at",
            "finished_at",
        ],
        (
            [
                one.public_id,
                source,
                one.heatmap,
                one.scores,
                one.first_class,
                int(bool(one.screening_passed)),
                int(one.pk in excluded),
                int(one.pk in beside),
                *(at.isoformat() if at else "" for at in (one.started_at, one.consented_at, one.finished_at)),
            ]
            for one in finished
        ),
    )
    columns = (
        "participant_id,task_id,position,image_class,outcome,answer,correct,confidence,sensitive,ignored,"
        "text_name"
    )
    answers = Answer.objects.filter(participant__state=progress.FINISHED).select_related("participant")
    yield (
        "responses",
        columns.split(","),
        (_response(one, study) for one in answers.order_by("participant__public_id", "position")),
    )
    yield (
        "codes",
        ["participant_id", "task_id", "code", "group", "text_name"],
        (
            [answer.participant.public_id, answer.task_id, code, group, name_of(answer)]
            for answer, code, group in coding.final_codes()
        ),
    )
    codings = Coding.objects.filter(answer__participant__state=progress.FINISHED).select_related(
        "answer__participant"
    )
    yield (
        "codings",
        ["participant_id", "task_id", "coder", "codes", "codebook_version", "adjudicated", "at", "text_name"],
        (
            [
                one.answer.participant.public_id,
                one.answer.task_id,
                f"coder {one.coder_id}",
                " ".join(one.codes),
                one.version,
                int(one.adjudicated),
                one.at.isoformat(),
                name_of(one.answer),
            ]
            for one in codings.order_by("pk")
        ),
    )
    segments = enumerate(coding.segments(), start=1)
    yield (
        "double_coding",
        ["segment_id", "participant_id", "task_id", "coder_a", "coder_b", "coder_c"],
        (
            [number, answer.participant.public_id, answer.task_id, a, b, ""]
            for number, (answer, a, b) in segments
        ),
    )
    reports = Page.objects.filter(step="report", participant__state=progress.FINISHED).select_related(
        "participant"
    )
    names = ["useful_outcomes", "useful_heatmaps", "useful_scores", "colour_vision", "learned"]
    yield (
        "reports",
        ["participant_id", *names],
        (
            [one.participant.public_id, *(_plain(one.content.get(name, "")) for name in names)]
            for one in reports.order_by("participant__public_id")
        ),
    )
    events = Event.objects.select_related("participant").order_by("pk")
    yield (
        "events",
        ["participant_id", "kind", "step", "at"],
        (
            [one.participant.public_id if one.participant else "", one.kind, one.step, one.at.isoformat()]
            for one in events.iterator()
        ),
    )


def _response(answer: Any, study: Configuration) -> list[Any]:
    from occlumap.study.coding.exchange import name_of

    task = study.tasks[answer.task_id]
    correct = int(reward.correct(task["outcome"], answer.answer))
    return [
        answer.participant.public_id,
        answer.task_id,
        answer.position,
        task["class"],
        task["outcome"],
        answer.answer,
        correct,
        answer.confidence,
        _plain(answer.sensitive),
        _plain(answer.ignored),
        name_of(answer),
    ]


def _plain(text: str) -> str:
    """Text that a spreadsheet does not run as a formula; a list's "- ears" is none, and stays."""
    return f"'{text}" if re.match(r"[=+@\t\r]|-.*(\w\(|\|)", text, re.DOTALL) else text


@contextmanager
def _one_moment() -> Iterator[None]:
    """What is read inside is of one moment, also while people go on: no answer without its participant."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def write(study: Configuration, folder: Path) -> list[Path]:
    """Each table as a CSV file in `folder`, all of one moment; none is replaced before all are written."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[Path, Path] = {}
    try:
        with _one_moment():
            for name, columns, rows in tables(study):
                part = folder / f"{name}.csv.part"
                parts[part] = folder / f"{name}.csv"
                with part.open("w", newline="", encoding="utf-8") as file:
                    _write(file, columns, rows)
        for part, path in parts.items():
            part.replace(path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return list(parts.values())


def archive(study: Configuration) -> bytes:
    """All tables of one moment in a zip."""
    buffer = io.BytesIO()
    with _one_moment(), zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, columns, rows in tables(study):
            text = io.StringIO(newline="")
            _write(text, columns, rows)
            zipped.writestr(f"{name}.csv", text.getvalue())
    return buffer.getvalue()


def _write(file: Any, columns: list[str], rows: Iterable[list[Any]]) -> None:
    writer: Callable[[Any], Any] = csv.writer(file).writerow
    writer(columns)
    for row in rows:
        writer(row)


def bonuses(study: Configuration) -> list[tuple[str, str]]:
    """(submission or person, amount) of everybody who finished and came by a recruiting service, whoever withdrew since
    last; the same each time.

    ArgumentError as for `tables`.
    """
    from occlumap.study.participants import services
    from occlumap.study.participants.models import Identity, OwedBonus

    _assert_one_study(study)
    finished = Identity.objects.filter(participant__state=progress.FINISHED).order_by(
        "participant__public_id"
    )
    found = [(services.payee(one), services.bonus(one.participant, study)) for one in finished]
    found += OwedBonus.objects.order_by("payee").values_list("payee", "amount")
    return [(_plain(payee), f"{amount:.2f}") for payee, amount in found if amount]
