"""The tables of a study, read and checked: participants, responses, codes, double coding."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from occlumap.analysis.wording import some
from occlumap.errors import FileFormatError

HEATMAPS = ("none", "lrp", "occlusion")
SCORES = ("not_shown", "shown")
OUTCOMES = ("TP", "FP", "FN", "TN")
GROUPS = ("saliency", "general")

COLUMNS = {
    "participants": (
        "participant_id",
        "source",
        "heatmap",
        "scores",
        "first_class",
        "screening_passed",
        "excluded_from_features",
        "over_quota",
    ),
    "responses": (
        "participant_id",
        "task_id",
        "position",
        "image_class",
        "outcome",
        "answer",
        "correct",
        "confidence",
    ),
    "codes": ("participant_id", "task_id", "code", "group"),
    "double_coding": ("segment_id", "participant_id", "task_id", "coder_a", "coder_b", "coder_c"),
}
"""The tables that the analysis reads, with their columns; further ones are left alone."""

_OPTIONAL = {"responses": ("position",), "participants": ("first_class", "over_quota")}
_VALUES: dict[str, dict[str, tuple[str, ...]]] = {
    "participants": {
        "heatmap": HEATMAPS,
        "scores": SCORES,
        "screening_passed": ("0", "1"),
        "excluded_from_features": ("0", "1"),
        "over_quota": ("0", "1", ""),
    },
    "responses": {
        "outcome": OUTCOMES,
        "answer": ("yes", "no", ""),
        "correct": ("0", "1", ""),
        "confidence": ("1", "2", "3", "4", ""),
    },
    "codes": {"group": GROUPS},
}


_NEVER_EMPTY = {
    "participants": ("participant_id", "source"),
    "responses": ("participant_id", "task_id", "image_class"),
    "codes": ("participant_id", "task_id", "code"),
    "double_coding": ("segment_id",),
}

_MISSING = ("NA", "N/A", "NaN", "nan", "None", "null")
"""What other programs write for a missing value; read as empty."""

_WHOLE = {
    "correct",
    "confidence",
    "position",
    "screening_passed",
    "excluded_from_features",
    "over_quota",
    "task_id",
}


class TableError(FileFormatError):
    """Tables of a study that cannot be analysed; the message names table, row and column of each fault."""


@dataclass(frozen=True)
class Study:
    """The tables of one study, or of several merged, as pandas data frames with the columns of `COLUMNS`.

    `participants`: heatmap and scores are categoricals in the order of HEATMAPS and SCORES; screening_passed and
    excluded_from_features 0 or 1; `coded`, whether anybody of the same export and source has a code.
    `responses`: correct and confidence are floats, NaN where the answer is missing.
    `double_coding`: None where there is none. `remarks`: what is odd but can be analysed, in words.
    `blinded`: the names of the conditions are exchanged.
    """

    participants: Any
    responses: Any
    codes: Any
    double_coding: Any
    remarks: tuple[str, ...] = ()
    blinded: bool = False


def read(folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> Study:
    """The study in a folder of CSV tables, or the studies in several, merged.

    participants.csv, responses.csv and codes.csv must be there, double_coding.csv may; further columns are left alone.
    Merged exports keep their `source`; a participant id that stands in several with other sources is made unique by its
    folder's name, and by its place in the list where two have one name; one that stands in several with one source is
    refused.
    Rows may come in any order.

    Raises TableError, which names table, row (the line in the file, 1 the header) and column of every fault, up to ten
    of a kind: missing columns, values that are none of those allowed, participants or answers that stand twice, rows of
    unknown participants, an empty cell of the design.
    """
    import pandas as pd

    chosen = [folders] if isinstance(folders, str | os.PathLike) else list(folders)
    if not chosen:
        raise TableError("expected at least one folder of tables, got none")
    parts = [_with_coded(_read_one(Path(folder), len(chosen) > 1)) for folder in chosen]
    doubled = _the_same_people(chosen, parts)
    seen: set[str] = set()
    for number, (folder, tables) in enumerate(zip(chosen, parts, strict=True), start=1):
        name, ids = Path(folder).resolve().name, set(tables["participants"]["participant_id"])
        while seen & ids:
            for table in tables.values():
                table["participant_id"] = f"{name}:" + table["participant_id"]
            name, ids = f"{number}", set(tables["participants"]["participant_id"])
        seen |= ids
    merged = {
        name: pd.concat([part[name] for part in parts if name in part], ignore_index=True)
        for name in COLUMNS
        if any(name in part for part in parts)
    }
    problems = list(_inconsistent(merged, len(parts) > 1))
    if problems:
        raise TableError(_told(problems))
    study = _typed(merged)
    return replace(study, remarks=(*doubled, *study.remarks))


def _the_same_people(folders: Sequence[str | os.PathLike[str]], parts: Sequence[dict[str, Any]]) -> list[str]:
    """Nobody counts twice: a folder given twice, or one id of one source in two exports, is refused; one with another
    source and the same answers, or a part of them, is told, in words; so is half an export whose answers are those of
    people of other ids.
    """
    places: set[Path] = set()
    people: dict[tuple[str, str], str] = {}
    sources: dict[str, list[tuple[str, str, set[tuple[Any, ...]]]]] = {}
    whole: dict[str, dict[frozenset[tuple[Any, ...]], str]] = {}
    problems: list[str] = []
    remarks: list[str] = []
    for folder, tables in zip(folders, parts, strict=True):
        if Path(folder).resolve() in places:
            raise TableError(f"expected different studies, got the folder {folder} twice; name it once")
        places.add(Path(folder).resolve())
        answers = {
            name: set(map(tuple, part[["task_id", "answer", "confidence"]].to_numpy().tolist()))
            for name, part in tables["responses"].groupby("participant_id")
        }
        again: dict[tuple[str, str], list[str]] = {}
        alike: dict[tuple[str, str, str], list[str]] = {}
        for name, source in tables["participants"][["participant_id", "source"]].to_numpy().tolist():
            if (name, source) in people:
                again.setdefault((people[name, source], source), []).append(name)
            people[name, source] = str(folder)
            given = answers.get(name, set())
            for place, before, theirs in sources.setdefault(name, []):
                if before != source and (given <= theirs or theirs <= given):
                    alike.setdefault((place, before, source), []).append(name)
            sources[name].append((str(folder), source, given))
        mine = _whole_answers(tables["responses"])
        for place, others in whole.items():
            same = [one for one in mine if one in others and others[one] != mine[one]]
            if 2 * len(same) >= min(len(mine), len(others)) > 0:
                pairs = ", ".join(f"{mine[one]!r} as {others[one]!r}" for one in same[:5])
                remarks.append(
                    f"{folder}, responses.csv: {len(same)} participants gave the same answers, task by task, as people "
                    f"of other ids in {place} ({pairs}{', ...' if len(same) > 5 else ''}); they count twice: if they "
                    "are the same people, give one of the two only"
                )
        whole[str(folder)] = mine
        for (earlier, source), names in again.items():
            problems.append(
                f"{folder}, participants.csv, columns participant_id and source: {len(names)} of source {source!r} "
                f"in {earlier} stand here again: {some(names)}; if they are the same people, as in two exports of one "
                "study, give the later export only, or take their rows out of one; if they are others, give each "
                "study a source of its own"
            )
        for (place, before, source), names in alike.items():
            remarks.append(
                f"{folder}, participants.csv, columns participant_id and source: {len(names)} of source {source!r} "
                f"have the ids and the answers, or a part of them, of people of source {before!r} in {place} "
                f"({some(names)}); they count twice: if they are the same people, give one of the two only"
            )
    if problems:
        raise TableError(_told(problems))
    return remarks


def _whole_answers(responses: Any) -> dict[frozenset[tuple[Any, ...]], str]:
    """Participants by all that they answered: tasks, their positions, answers and ratings."""
    columns = [name for name in ("task_id", "position", "answer", "confidence") if name in responses]
    given = responses[responses["answer"] != ""]
    return {
        frozenset(map(tuple, part[columns].to_numpy().tolist())): name
        for name, part in given.groupby("participant_id")
    }


def _read_one(folder: Path, one_of_several: bool) -> dict[str, Any]:
    import pandas as pd

    where = f"{folder}, " if one_of_several else ""

    if not folder.is_dir():
        raise TableError(f"expected a folder of CSV tables at {folder}, found none")
    tables = {}
    problems: list[str] = []
    for name, columns in COLUMNS.items():
        path = folder / f"{name}.csv"
        if not path.exists():
            if name != "double_coding":
                problems.append(f"{name}.csv: not in {folder}")
            continue
        try:
            table = pd.read_csv(
                path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False
            )
            table = table[(table != "").any(axis=1)]  # blank lines; rows keep the number of their line
        except (ValueError, OSError) as error:
            problems.append(f"{name}.csv: cannot be read as CSV in UTF-8, separated by commas: {error}")
            continue
        table.columns = table.columns.str.strip()
        table = table.apply(lambda column: column.str.strip()).replace(list(_MISSING), "")
        for column in _WHOLE & set(table.columns):  # a column with gaps is often written as 1.0, 0.0
            table[column] = table[column].str.replace(r"^(\d+)\.0$", r"\1", regex=True)
        optional = {*_OPTIONAL.get(name, ()), *(["coder_c"] if name == "double_coding" else [])}
        missing = [column for column in columns if column not in table and column not in optional]
        if missing:
            problems.append(
                f"{name}.csv: expected columns {', '.join(missing)}, separated by commas, got "
                f"{', '.join(table.columns)}"
            )
        tables[name] = table
    if problems:
        raise TableError(_told(where + problem for problem in problems))
    problems = [f"{name}.csv: has no rows" for name in ("participants", "responses") if not len(tables[name])]
    if problems:
        raise TableError(_told(where + problem for problem in problems))
    problems = [*_empty(tables), *_wrong_values(tables), *_twice(tables), *_strangers(tables)]
    if problems:
        raise TableError(_told(where + problem for problem in problems))
    return tables


def _with_coded(tables: dict[str, Any]) -> dict[str, Any]:
    people = tables["participants"]
    sources = set(people["source"][people["participant_id"].isin(tables["codes"]["participant_id"])])
    return tables | {"participants": people.assign(coded=people["source"].isin(sources))}


def _told(problems: Iterable[str]) -> str:
    listed = list(problems)
    return "expected tables of a study as docs/analysis.md describes them, but\n  " + "\n  ".join(listed)


def _empty(tables: dict[str, Any]) -> Iterable[str]:
    for name, columns in _NEVER_EMPTY.items():
        if name in tables:
            for column in columns:
                for row in list(tables[name].index[tables[name][column] == ""])[:10]:
                    yield f"{name}.csv, row {row + 2}, column {column}: expected a value, got an empty cell"


def _wrong_values(tables: dict[str, Any]) -> Iterable[str]:
    for name, columns in _VALUES.items():
        for column, allowed in columns.items():
            if column not in tables[name]:
                continue  # an optional one
            wrong = tables[name][~tables[name][column].isin(allowed)]
            for row, value in list(wrong[column].items())[:10]:
                expected = ", ".join(repr(one) for one in allowed)
                yield f"{name}.csv, row {row + 2}, column {column}: expected {expected}, got {value!r}"
    answers = tables["responses"]
    half = answers[(answers["correct"] == "") != (answers["answer"] == "")]
    for row in list(half.index)[:10]:
        yield (
            f"responses.csv, row {row + 2}, columns answer and correct: expected both or neither, got "
            f"{half['answer'][row]!r} and {half['correct'][row]!r}"
        )
    truth = answers["outcome"].isin(["TP", "FP"]).map({True: "yes", False: "no"})
    given = answers[answers["correct"] != ""]
    right = (given["answer"] == truth[given.index]).map({True: "1", False: "0"})
    for row in list(given.index[right != given["correct"]])[:10]:
        yield (
            f"responses.csv, row {row + 2}, column correct: expected {right[row]!r} for answer "
            f"{given['answer'][row]!r} to a {given['outcome'][row]} (yes is right for TP and FP), got "
            f"{given['correct'][row]!r}"
        )


def _twice(tables: dict[str, Any]) -> Iterable[str]:
    keys = {
        "participants": ["participant_id"],
        "responses": ["participant_id", "task_id"],
        "codes": ["participant_id", "task_id", "code"],
        "double_coding": ["segment_id"],
    }
    for name, columns in keys.items():
        if name in tables:
            again = tables[name][tables[name].duplicated(columns)]
            for row in list(again.index)[:10]:
                what = ", ".join(again[column][row] for column in columns)
                yield (
                    f"{name}.csv, row {row + 2}, column "
                    f"{columns[-1] if len(columns) > 1 else columns[0]}: {what} stands twice"
                )


def _inconsistent(tables: dict[str, Any], merged: bool) -> Iterable[str]:
    """What must be the same wherever a code or a task stands, in one study and over several."""
    end = "; rename it in one of the merged studies" if merged else ""
    kinds = tables["codes"].groupby("code")["group"].nunique()
    for code in kinds[kinds > 1].index[:10]:
        yield f"codes.csv, column group: code {code!r} is both saliency and general{end}"
    for column in ("outcome", "image_class"):
        kinds = tables["responses"].groupby("task_id")[column].nunique()
        for task in kinds[kinds > 1].index[:10]:
            yield f"responses.csv, column {column}: task {task} has several{end}"


def _strangers(tables: dict[str, Any]) -> Iterable[str]:
    known = set(tables["participants"]["participant_id"])
    for name in ("responses", "codes", "double_coding"):
        if name in tables:
            table = tables[name]
            for row in list(table.index[~table["participant_id"].isin(known)])[:10]:
                yield (
                    f"{name}.csv, row {row + 2}, column participant_id: {table['participant_id'][row]!r} is not in "
                    "participants.csv"
                )


def _typed(tables: dict[str, Any]) -> Study:
    import pandas as pd

    participants = tables["participants"].sort_values("participant_id", ignore_index=True)
    answered = set(tables["responses"]["participant_id"])
    silent = [one for one in participants["participant_id"] if one not in answered]
    if silent:
        raise TableError(
            _told(
                f"participants.csv, column participant_id: {one!r} has no row in responses.csv"
                for one in silent[:10]
            )
        )
    heatmaps = [level for level in HEATMAPS if (participants["heatmap"] == level).any()]
    for column, levels in (("heatmap", heatmaps), ("scores", list(SCORES))):
        participants[column] = pd.Categorical(participants[column], levels)
    for column in ("screening_passed", "excluded_from_features"):
        participants[column] = participants[column].astype(int)
    cells = participants.groupby(["heatmap", "scores"], observed=False).size()
    empty = [f"{heatmap}:{scores}" for (heatmap, scores), count in cells.items() if not count]
    if empty or len(heatmaps) < 2:
        raise TableError(
            _told(
                [
                    f"participants.csv, columns heatmap and scores: no participant in the cell {cell}"
                    for cell in empty
                ]
                or [f"participants.csv, column heatmap: only {heatmaps[0]!r}, nothing to compare"]
            )
        )
    if (tables["responses"]["correct"] == "").all():
        raise TableError(_told(["responses.csv, column correct: every answer is missing"]))
    responses = tables["responses"].sort_values(["participant_id", "task_id"], ignore_index=True)
    for column in ("correct", "confidence"):
        responses[column] = pd.to_numeric(responses[column].replace("", None)).astype(float)
    codes = tables["codes"].sort_values(["participant_id", "task_id", "code"], ignore_index=True)
    double = tables.get("double_coding")
    if double is not None and "coder_c" not in double:
        double = double.assign(coder_c="")
    return Study(
        participants, responses, codes, double, tuple(_remarks(participants, responses, codes, double))
    )


def _remarks(participants: Any, responses: Any, codes: Any, double: Any) -> Iterable[str]:
    absent = [name for name in HEATMAPS if name not in participants["heatmap"].cat.categories]
    if absent:
        yield (
            f"participants.csv, column heatmap: nobody has {' or '.join(map(repr, absent))}; every comparison with "
            "it is left out"
        )
    if "over_quota" in participants:
        beside = participants["participant_id"][participants["over_quota"] == "1"].tolist()
        if beside:
            yield (
                f"participants.csv, column over_quota: {len(beside)} of the {len(participants)} participants finished "
                f"beside the quota ({some(beside)}); they answered every task and count like all others; to analyse "
                "the quota's places alone, take their rows out of the tables"
            )
    given = responses.groupby("participant_id")["correct"].count()
    for one in given.index[given == 0]:
        yield (
            f"responses.csv, column answer: every answer of {one!r} is missing; left out of accuracy and of all that "
            "counts answers"
        )
    coded = set(codes["participant_id"])
    analysed = participants[participants["excluded_from_features"] == 0]
    if not len(codes):
        yield "codes.csv: no codes yet: the saliency-feature ratio and features are left out"
    for source, count in participants["source"][~participants["coded"]].value_counts().items():
        if len(codes):
            yield (
                f"codes.csv: nobody of the {count} participants of an export of source {source!r} has a code; they "
                "are left out of everything that counts codes"
            )
    for one in analysed["participant_id"][analysed["coded"]]:
        if one not in coded:
            yield (
                f"participants.csv, column participant_id: {one!r} is not excluded and has no row in codes.csv; "
                "left out of the saliency-feature ratio, and counted in percentages and counts of codes as one who "
                "mentioned nothing; who was not coded yet should have excluded_from_features = 1"
            )
    asked = set(zip(responses["participant_id"], responses["task_id"], strict=True))
    keys = zip(codes["participant_id"], codes["task_id"], strict=True)
    lost = [f"{one}, task {task}" for one, task in dict.fromkeys(keys) if (one, task) not in asked]
    if lost:
        what = "answers with codes have" if len(lost) > 1 else "answer with codes has"
        yield (
            f"codes.csv, columns participant_id and task_id: {len(lost)} {what} no row in responses.csv "
            f"({'; '.join(lost[:10])}{'; ...' if len(lost) > 10 else ''}); their codes count in the ratio, not in the "
            "percentages"
        )
    if double is not None:
        given = {code for name in "abc" for code in double[f"coder_{name}"] if code}
        unknown = sorted(given - set(codes["code"]))
        if unknown:
            yield (
                f"double_coding.csv, columns coder_a to coder_c: {', '.join(map(repr, unknown[:10]))} are not in "
                "codes.csv, so their group is not known; they count as not coded in the agreement on groups"
            )
    unrated = int((responses["confidence"].isna() & responses["correct"].notna()).sum())
    if unrated:
        told = "answers have no rating; they are" if unrated > 1 else "answer has no rating; it is"
        yield f"responses.csv, column confidence: {unrated} {told} left out of confidence"
    if responses["outcome"].nunique() == 1:
        yield (
            f"responses.csv, column outcome: only {responses['outcome'][0]!r}; models with outcome "
            "and signal detection "
            "are left out"
        )
    missing = int(responses["correct"].isna().sum())
    if missing:
        yield (
            f"responses.csv, column correct: {missing} answer{'s are' if missing > 1 else ' is'} missing; each "
            "participant's share is of those given"
        )
    per_task = responses.groupby("participant_id").size()
    if per_task.nunique() > 1:
        yield f"responses.csv: participants have {per_task.min()} to {per_task.max()} rows"
