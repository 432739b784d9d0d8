"""Codes in and out: CSV as the export writes it, REFI-QDA codebooks and projects. An import is whole, or not at all."""

import csv
import hashlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from occlumap.errors import ArgumentError, FileFormatError
from occlumap.study.coding import services
from occlumap.study.coding.models import Code, Coding
from occlumap.study.domain import codebook, progress, refi
from occlumap.study.participants.models import Answer

MOST_BYTES = 20 * 2**20
"""Of a file that is imported."""


@dataclass(frozen=True)
class Row:
    """A coding from a file. `where`: for messages. `coder` "", `version` None: it is not told."""

    where: str
    answer: int
    coder: str
    codes: tuple[str, ...]
    version: int | None = None
    settles: bool = False


@dataclass(frozen=True)
class Imported:
    """How many codes and codings were new, and how many codings were there already.

    `answers`: of how many answers the new codings are. `coders`: whose they are.
    """

    codes: int
    codings: int
    known: int
    answers: int
    coders: tuple[str, ...]


def codebook_file() -> bytes:
    """The codebook as REFI-QDA (.qdc)."""
    return refi.codebook_file(_codes())


def project_file(title: str) -> bytes:
    """All answers and what counts of each coder's codings, as REFI-QDA (.qdpx); blind, as the bench is."""
    texts = {name_of(answer): answer.sensitive for answer in services.answers()}
    latest, settled = services.latest(), services.settled()
    coded = []
    for answer in services.answers():
        mine = [*latest.get(answer.pk, {}).values(), *filter(None, [settled.get(answer.pk)])]
        coded += [
            refi.Coded(
                name_of(answer), coder_name(one.coder_id), tuple(one.codes), one.adjudicated, one.version
            )
            for one in mine
        ]
    return refi.project_file(title, _codes(), texts, coded, timezone.now())


def name_of(answer: Answer) -> str:
    """A name that tells neither participant nor condition nor task, and by which an import finds the answer.

    It is made of a secret of the participant's, so that no other study has it.
    """
    return f"answer {hashlib.sha256(f'{answer.participant.code} {answer.task_id}'.encode()).hexdigest()[:20]}"


def coder_name(pk: int) -> str:
    """A coder as files name them."""
    return f"coder {pk}"


def _codes() -> list[tuple[str, str]]:
    return [(code.name, code.group) for code in Code.objects.order_by("group", "name")]


def take(name: str, data: bytes, importer: int, *, keep: bool = True, sure: bool = False) -> Imported:
    """Take a file by the ending of its name: .csv, .qdc or .qdpx. Without `keep` only tell what would be taken.

    `sure`: a table that does not tell of which study it is, by config_sha256, is of this one. ArgumentError or
    FileFormatError say what is wrong with the file, and where; then nothing of it is kept.
    """
    with transaction.atomic():
        services.lock_codebook()  # the same file sent twice at once is taken once
        taken = _take(name, data, importer, sure=sure or not keep)
        if not keep:
            transaction.set_rollback(True)
    return taken


def _take(name: str, data: bytes, importer: int, *, sure: bool) -> Imported:
    if len(data) > MOST_BYTES:
        raise ArgumentError(f"expected a file of {MOST_BYTES // 2**20} MiB at most, got {len(data)} bytes")
    ending = name.rpartition(".")[2].lower()
    if ending == "qdc":
        return _keep(refi.read_codebook(data), (), importer)
    if ending == "qdpx":
        book, coded = refi.read_project(data)
        answers = {name_of(answer): answer.pk for answer in services.answers()}
        unknown = [one.source for one in coded if one.source not in answers]
        if unknown:
            raise ArgumentError(f"expected texts of this study in the project, got {unknown[0]!r}")
        rows = [
            Row(
                one.source,
                answers[one.source],
                one.coder,
                tuple(map(services.code_name, one.codes)),
                one.version,
                one.settles,
            )
            for one in coded
        ]
        return _keep(book, rows, importer)
    if ending == "csv":
        book, rows = _of_csv(data, sure=sure)
        return _keep(book, rows, importer)
    raise ArgumentError(f"expected a file that ends in .csv, .qdc or .qdpx, got {name!r}")


def _of_csv(data: bytes, *, sure: bool) -> tuple[list[tuple[str, str]], list[Row]]:
    """The new codes and the codings of a CSV: with `codes`, a row a coding, or with `code`, a row a code."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        told = "expected a CSV file in UTF-8, got another encoding: save it as CSV UTF-8"
        raise FileFormatError(told) from error
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    columns = [column.strip() for column in reader.fieldnames or ()]
    reader.fieldnames = columns
    if not {"participant_id", "task_id"} <= set(columns) or len({"code", "codes"} & set(columns)) != 1:
        raise FileFormatError(
            "expected the columns participant_id, task_id, and code or codes (as in codes.csv and codings.csv of the "
            f"export), got {', '.join(columns) or 'none'}"
        )
    if "config_sha256" not in columns and not sure:
        raise ArgumentError(
            "expected the column config_sha256, as in the files of the export: every study has participants of the "
            "same names, and nothing else tells whose answers these are; if they are this study's, look at the file, "
            "then tick that it is of this study"
        )
    found = Answer.objects.filter(participant__state=progress.FINISHED)
    answers = {(one.participant.public_id, one.task_id): one for one in found.select_related("participant")}
    try:
        lines = list(_lines(reader, answers))
    except csv.Error as error:
        raise FileFormatError(f"expected a CSV file, line {reader.line_num}: {error}") from error
    if "codes" in columns:
        return [], [row for row, _ in lines]
    merged: dict[tuple[int, str, int | None, bool], Row] = {}
    for row, _ in lines:
        key = (row.answer, row.coder, row.version, row.settles)
        merged[key] = replace(row, codes=(*merged[key].codes, *row.codes)) if key in merged else row
    return [(row.codes[0], group) for row, group in lines if row.codes and group], list(merged.values())


def _lines(
    reader: "csv.DictReader[str]", answers: dict[tuple[str, str], Answer]
) -> Iterator[tuple[Row, str]]:
    for line in reader:
        where = f"line {reader.line_num}"
        further = cast("dict[str | None, list[str]]", line).pop(None, [])
        if any(one.strip() for one in further):
            columns = len(reader.fieldnames or ())
            raise ArgumentError(
                f"{where}: expected {columns} fields, as the first line has, got {columns + len(further)}; a field "
                f"with {reader.reader.dialect.delimiter!r} in it must be in quotes"
            )
        of = {key: (value or "").strip() for key, value in line.items()}
        key = of["participant_id"], of["task_id"]
        if key not in answers:
            raise ArgumentError(f"{where}: expected an answer of this study, got participant and task {key}")
        answer = answers[key]
        told = {"config_sha256": answer.participant.config_sha256, "text_name": name_of(answer)}
        for column, own in told.items():
            if of.get(column, own) != own:
                raise ArgumentError(
                    f"{where}: expected an answer of this study ({column} {own}), got one of another "
                    f"({of[column] or 'none'})"
                )
        given = of["code"] and [of["code"]] if "code" in of else re.split(r"[\s,;]+", of.get("codes", ""))
        codes = tuple(services.code_name(one) for one in given if one)
        version, settles = of.get("codebook_version", ""), of.get("adjudicated", "") or "0"
        if version and not re.fullmatch(r"[0-9]{1,9}", version):
            raise ArgumentError(f"{where}: expected a number as codebook_version, got {version[:40]!r}")
        if settles not in ("0", "1"):
            raise ArgumentError(f"{where}: expected 0 or 1 as adjudicated, got {settles!r}")
        number, coder = int(version) if version else None, of.get("coder", "")
        if not coder.isprintable():  # a NUL, for example, which no database of ours takes
            raise ArgumentError(f"{where}: expected a name as coder, got {coder!r}")
        yield (
            Row(where, answer.pk, coder, codes, number, settles == "1"),
            of.get("group", ""),
        )


def _keep(book: Sequence[tuple[str, str]], rows: Sequence[Row], importer: int) -> Imported:
    """A row whose version is not told gets that of the newest code in the file.

    A row without a coder is the importer's only where nobody has coded its answer: what the study exported itself
    (codes.csv) must not come back as a second opinion that agrees with the first.
    """
    known = set(Code.objects.values_list("name", flat=True))
    version = services.version() + 1
    new: dict[str, str] = {}
    for given, group in book:
        name = services.code_name(given)
        if name in known or name in new:
            continue
        if group not in codebook.GROUPS:
            raise ArgumentError(
                f"expected the new code {given!r} in a group of {', '.join(codebook.GROUPS)} (a parent code, a set, or "
                f"the column group), got {group or 'none'!r}"
            )
        new[name] = group
    Code.objects.bulk_create([Code(name=name, group=group, since=version) for name, group in new.items()])
    since = dict(Code.objects.values_list("name", "since"))
    now, before = services.version(), _history()
    in_file = {*(services.code_name(name) for name, _ in book), *(name for row in rows for name in row.codes)}
    untold = max((since[name] for name in in_file if name in since), default=1)
    coders: dict[str, int] = {"": importer}
    said = _said(before)
    kept: list[tuple[int, str]] = []
    repeated = 0
    for row in rows:
        missing = sorted(set(row.codes) - set(since))
        if missing:
            raise ArgumentError(
                f"{row.where}: expected codes of the codebook, got {', '.join(missing)}; add them, or import the "
                "codebook first"
            )
        if row.coder not in coders:
            coders[row.coder] = _coder(row.coder)
        codes, version = sorted(set(row.codes)), min(row.version or untold, now)
        same = before[row.answer, coders[row.coder], row.settles, tuple(codes)]
        matching = version if row.version else next(iter(+same), None)
        if same[matching]:
            same[matching] -= 1
            repeated += 1
            continue
        there = said.get((row.answer, row.settles))
        if not row.coder and there:
            if codes not in there:
                raise ArgumentError(
                    f"{row.where}: expected a coder of {' '.join(codes) or 'no code'} (the column coder), since this "
                    "answer is coded already, and otherwise; got none"
                )
            repeated += 1
            continue
        Coding.objects.create(
            answer_id=row.answer,
            coder_id=coders[row.coder],
            codes=codes,
            version=version,
            adjudicated=row.settles,
        )
        kept.append((row.answer, row.coder))
    own = get_user_model().objects.get(pk=importer).get_username()
    whose = sorted({coder or own for _, coder in kept})
    return Imported(len(new), len(kept), repeated, len({answer for answer, _ in kept}), tuple(whose))


def _history() -> dict[tuple[int, int, bool, tuple[str, ...]], Counter[int | None]]:
    """{(answer, coder, settles, codes): {version: how often}}: a file may repeat each coding as often."""
    found: dict[tuple[int, int, bool, tuple[str, ...]], Counter[int | None]] = defaultdict(Counter)
    for one in Coding.objects.iterator():
        found[one.answer_id, one.coder_id, one.adjudicated, tuple(one.codes)][one.version] += 1
    return found


def _said(
    history: Iterable[tuple[int, int, bool, tuple[str, ...]]],
) -> dict[tuple[int, bool], list[list[str]]]:
    """{(answer, settles): the codes that somebody gave it, or that count}."""
    found: dict[tuple[int, bool], list[list[str]]] = defaultdict(list)
    for answer, _, settles, codes in history:
        found[answer, settles].append(list(codes))
    for answer, names in services.counting().items():
        found[answer, False].append(sorted(names))
    return found


def _coder(name: str) -> int:
    """Who a file calls so: "coder 3" by number, a login by name, or somebody new who cannot log in."""
    users = get_user_model().objects
    number = re.fullmatch(r"coder (\d{1,9})", name)
    found = users.filter(pk=int(number[1])).first() if number else users.filter(username=name).first()
    if found is None:
        found, made = users.get_or_create(username=name[:150], defaults={"is_active": False})
        if made:
            found.set_unusable_password()
            found.save()
    return int(found.pk)
