"""The benchmark: photographs x classifiers x methods x budgets to rows, and on from where it was stopped."""

import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from occlumap._checks import one_of, whole_number
from occlumap._locks import alone_in
from occlumap.classifiers import Classifier
from occlumap.errors import ArgumentError, OcclumapWarning
from occlumap.evaluation.counting import Numbered
from occlumap.evaluation.gallery import PHOTOGRAPHS
from occlumap.evaluation.judging import Panel, forget_maps
from occlumap.evaluation.photographs import control_of, others, read_table, right_ones
from occlumap.evaluation.protocol import Protocol
from occlumap.evaluation.record import Anew, Record
from occlumap.evaluation.rows import Group, append, recover

DEFAULT_SIZE = 224

Progress = Callable[[int, int], None]


def run(
    classifiers: Mapping[str, Classifier],
    photos: Path,
    table: Path,
    out: Path,
    protocol: Protocol,
    *,
    limit: int | None = None,
    enough: int | None = None,
    again: Collection[str] = (),
    command: str = "",
    progress: Progress | None = None,
) -> Path:
    """Judge every method on every photograph, and write rows.csv and benchmark.json into `out`.

    `classifiers`: by the name that rows have. `photos`: the folder of the photographs that `table` (CSV with
    columns file, class_index) names; those that a classifier gets wrong are left out and counted. `limit`:
    the first lines of the table. `enough`: the first photographs that a classifier gets right; with several crops,
    cuts. `again`: methods that have changed, whose heatmaps and rows are made anew from the scores that are kept,
    on the photographs of this run.
    `progress(done, total)` counts (photograph, method, budget).

    What is in `out` already is not done again; a run with other metrics, steps, sizes, seed, photographs, classes
    or scores of them there is refused (ArgumentError). A method that fails on a photograph leaves a warning and a
    line in benchmark.json; a classifier that fails stops the run, and what was done is kept. Gives the path of
    rows.csv.
    """
    if not isinstance(classifiers, Mapping) or not classifiers:
        raise ArgumentError(
            f"expected classifiers by the names that rows have, {{'name': classifier}}, got {classifiers!r:.80}"
        )
    photos, table, out = Path(photos), Path(table), Path(out)
    for name in again:
        one_of(
            "a method to make again", name, protocol.methods
        )  # of another, rows would go and none would come
    entries = read_table(table, protocol.crops)
    wanted_entries = entries[: None if limit is None else limit * len(protocol.crops)]
    panels = []
    for name, classifier in classifiers.items():
        side = protocol.size or _side(name, classifier)
        whole_number(f"steps for {side} x {side} pixels", protocol.steps, minimum=1, maximum=side**2)
        numbered = Numbered(classifier)
        right, wrong, scores = right_ones(numbered, photos, wanted_entries, side, protocol.seed, enough)
        if not right:
            raise ArgumentError(
                f"expected photographs that {name} gets right, got {len(wrong)}, all of them wrong; are the class "
                "indices of the table those of the classifier's columns?"
            )
        others(
            entries, right[0].entry, 3 if "grid-pointing" in protocol.metrics else 1
        )  # told now, not in the middle
        panels.append(Panel(name, numbered, right, wrong, scores, entries, photos, side, out, protocol))
    out.mkdir(parents=True, exist_ok=True)
    with alone_in(out, "benchmark"):
        return _judged(panels, out, protocol, again, command, progress)


def _judged(
    panels: list[Panel],
    out: Path,
    protocol: Protocol,
    again: Collection[str],
    command: str,
    progress: Progress | None,
) -> Path:
    record = Record(out, protocol, command)
    record.photographs(panels)
    rows_file, groups = out / "rows.csv", protocol.groups()
    _start_anew(record, rows_file, protocol, _anew(panels, again))
    done = recover(rows_file, protocol.group_size)
    record.successes(done)
    judged = {(photograph.entry.name, panel.name) for panel in panels for photograph in panel.photographs}
    total, count = (
        len(groups) * len(judged),
        sum(group[:2] in judged and group[2:] in groups for group in done),
    )
    if progress is not None:
        progress(count, total)
    if count < total:
        record.versions()
    for panel in panels:
        for number, photograph in enumerate(panel.photographs):
            wanted = [group for group in groups if (photograph.entry.name, panel.name, *group) not in done]
            with panel.judging(number) as judge:
                for method, budget in wanted:
                    rows, problem = judge.rows(method, budget)
                    judge.save_maps()  # first: no row without its heatmap, whatever stops the run
                    append(rows_file, rows)
                    group = (photograph.entry.name, panel.name, method, budget)
                    if problem:
                        record.failure(group, problem)
                    else:
                        record.successes([group])
                    count += 1
                    if progress is not None:
                        progress(count, total)
                if number < PHOTOGRAPHS and (wanted or not judge.drawn):
                    judge.draw(groups)
    return rows_file


def _anew(panels: list[Panel], again: Collection[str]) -> Anew | None:
    """What a run makes `again`: the rows of its photographs, and the heatmaps of their controls too."""
    if not again:
        return None
    entries = {panel.name: [photograph.entry for photograph in panel.photographs] for panel in panels}
    controls = {
        panel.name: [control_of(panel.entries, entry) for entry in entries[panel.name]] for panel in panels
    }
    names = {name: [entry.name for entry in judged] for name, judged in entries.items()}
    maps = {name: sorted({*names[name], *(entry.name for entry in controls[name])}) for name in names}
    return {"methods": sorted(again), "rows": names, "maps": maps}


def _start_anew(record: Record, rows_file: Path, protocol: Protocol, ours: Anew | None) -> None:
    """Take out the rows and the heatmaps of methods that are made anew, those of a run that was stopped in it first."""
    gone, left = set[tuple[str, int]](), set[tuple[str, str]]()
    for anew in (record.anew, ours):
        if anew is None:
            continue

        def made_anew(group: Group, anew: Anew = anew) -> bool:
            if group[2].partition("~")[0] not in anew["methods"]:
                return False
            found = group[0] in anew["rows"].get(group[1], ())
            if found:
                gone.add(group[2:])
            elif anew is ours:
                left.add(group[:2])
            return found

        record.start_anew(anew)  # first: whatever stops it, the next run goes on with it
        recover(rows_file, protocol.group_size, made_anew)
        forget_maps(rows_file.parent, anew["maps"], anew["methods"])
        record.start_anew(None)
    _tell_of_others(gone - {*protocol.groups()}, left)


def _tell_of_others(gone: Collection[tuple[str, int]], left: Collection[tuple[str, str]]) -> None:
    """Warn of numbers that a run takes out and does not make anew, and of those that it leaves."""
    if gone:
        told = ", ".join(f"{method} at {budget:,} calls" for method, budget in sorted(gone))
        warnings.warn(
            f"the rows of {told} are taken out, as they were of the method before it changed, and not made anew: this "
            "run has other budgets or controls. Ask for them too to have them back",
            OcclumapWarning,
            stacklevel=3,
        )
    if left:
        classifiers = ", ".join(sorted({classifier for _, classifier in left}))
        warnings.warn(
            f"what was made again keeps its earlier rows on {len(left):,} photographs with {classifiers}, which this "
            "run does not judge: if they are of the method before it changed, make it again on them too",
            OcclumapWarning,
            stacklevel=3,
        )


def _side(name: str, classifier: Classifier) -> int:
    """The side of the square images that the classifier takes, as its `input_size` says; 224 if it does not."""
    size = getattr(classifier, "input_size", None)
    if size is None:
        return DEFAULT_SIZE
    try:
        height, width = size
        if height == width:
            return whole_number("input_size", height, minimum=1)
    except (TypeError, ValueError):
        pass
    raise ArgumentError(
        f"expected a square input_size (side, side) of the classifier {name}, got {size!r}; the benchmark's "
        "images are square: say their side with --size (Protocol(size=...))"
    )
