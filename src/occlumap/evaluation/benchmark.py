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
from occlumap.evaluation.judging import Panel
from occlumap.evaluation.photographs import others, read_table, right_ones
from occlumap.evaluation.protocol import Protocol
from occlumap.evaluation.record import Record
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
    if again:
        for panel in panels:
            panel.forget(again)  # first, so that a run stopped from here on goes on without `again`
    rows_file, groups, gone = out / "rows.csv", protocol.groups(), set[tuple[str, int]]()
    done = recover(rows_file, protocol.group_size, _made_anew(panels, again, gone))
    _tell_of_others(gone - {*groups})
    record.successes(done)
    total, count = len(groups) * sum(len(panel.photographs) for panel in panels), 0
    for panel in panels:
        for number, photograph in enumerate(panel.photographs):
            wanted = [group for group in groups if (photograph.entry.name, panel.name, *group) not in done]
            count += len(groups) - len(wanted)
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


def _made_anew(
    panels: list[Panel], again: Collection[str], gone: set[tuple[str, int]]
) -> Callable[[Group], bool]:
    """Whether a group is of a method that is made anew, on a photograph of this run; others keep map and rows.

    Those that are go into `gone`, (method, budget).
    """
    judged = {(photograph.entry.name, panel.name) for panel in panels for photograph in panel.photographs}

    def made_anew(group: Group) -> bool:
        found = group[:2] in judged and group[2].partition("~")[0] in again
        if found:
            gone.add(group[2:])
        return found

    return made_anew


def _tell_of_others(gone: set[tuple[str, int]]) -> None:
    """Warn of numbers that a run takes out and does not make anew."""
    if gone:
        told = ", ".join(f"{method} at {budget:,} calls" for method, budget in sorted(gone))
        warnings.warn(
            f"the rows of {told} are taken out, as they were of the method before it changed, and not made anew: this "
            "run has other budgets or controls. Ask for them too to have them back",
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
