"""Tables of a study as tests need them: the shared data set, or a small one that is drawn."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.models import SHARED

ALPHA = SHARED / "data/study/alpha"
NAMES = ("participants", "responses", "codes", "double_coding")


def drawn(folder: Path, per_cell: int = 4, seed: int = 0, outcomes: str = "TTPPN") -> Path:
    """A small complete study, written to `folder`: five tasks, outcomes T (TP), P (FP), N (FN)."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    people, answers, codes = [], [], []
    number = 0
    for heatmap in ("none", "lrp", "occlusion"):
        for scores in ("not_shown", "shown"):
            for _ in range(per_cell):
                number += 1
                name = f"P{number:03d}"
                people.append([name, "drawn", heatmap, scores, "cat", 1, 0])
                for task, kind in enumerate(outcomes, start=1):
                    right = random.random() < 0.6
                    yes = right == (kind in "TP")
                    outcome = {"T": "TP", "P": "FP", "N": "FN"}[kind]
                    image_class = "cat" if task % 2 else "horse"
                    row = [name, task, task, image_class, outcome, "yes" if yes else "no", int(right)]
                    answers.append([*row, int(random.integers(1, 5))])
                    codes += [
                        [name, task, code, group]
                        for code, group in (("ears", "saliency"), ("legs", "saliency"), ("colour", "general"))
                        if random.random() < 0.6
                    ]
                codes.append([name, 1, "face", "saliency"])
                codes.append([name, 2, "pose", "general"])
    columns = "participant_id,source,heatmap,scores,first_class,screening_passed,excluded_from_features"
    pd.DataFrame(people, columns=columns.split(",")).to_csv(folder / "participants.csv", index=False)
    columns = "participant_id,task_id,position,image_class,outcome,answer,correct,confidence"
    pd.DataFrame(answers, columns=columns.split(",")).to_csv(folder / "responses.csv", index=False)
    columns = "participant_id,task_id,code,group"
    pd.DataFrame(codes, columns=columns.split(",")).to_csv(folder / "codes.csv", index=False)
    return folder


def changed(source: Path, folder: Path, **change) -> Path:
    """A copy of the tables in which change[name](table) replaces a table."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        path = source / f"{name}.csv"
        if path.exists():
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            table = change[name](table) if name in change else table
            table.to_csv(folder / path.name, index=False)
    return folder


def differences(found, expected, rtol, atol, where=""):
    """Where `found` is not `expected` within the tolerance; keys that only `found` has do not count."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            if key in ("error", "relative_error"):  # of R's own numerical integral
                continue
            if not isinstance(found, dict) or key not in found:
                yield f"{where}/{key} is missing"
            else:
                yield from differences(found[key], value, rtol, atol, f"{where}/{key}")
    elif isinstance(expected, list):
        if len(found) != len(expected):
            yield f"{where}: {len(found)} values, not {len(expected)}"
        for at, (one, other) in enumerate(zip(found, expected, strict=False)):
            yield from differences(one, other, rtol, atol, f"{where}/{at}")
    elif isinstance(expected, int | float) and not isinstance(expected, bool):
        if not isinstance(found, int | float) or abs(found - expected) > atol + rtol * abs(expected):
            yield f"{where}: {found}, not {expected}"
    elif found != expected:
        yield f"{where}: {found}, not {expected}"
