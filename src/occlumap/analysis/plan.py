"""A frozen plan (preregistration): hypotheses, exclusions and formulas, with a hash; and conditions kept blind."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from occlumap._checks import nearest
from occlumap.analysis.result_ids import IDS
from occlumap.analysis.tables import HEATMAPS, SCORES, Study
from occlumap.errors import ArgumentError, FileFormatError

DEFAULT: dict[str, Any] = {
    "hypotheses": [
        "Heatmaps change the share of right predictions",
        "Showing scores changes the share of right predictions",
        "Heatmaps change the saliency-feature ratio",
        "Confidence differs between conditions",
    ],
    "exclusions": [
        "participants with excluded_from_features = 1 are left out of the ratio and of codes",
        "a missing answer is left out of its participant's share",
        "participants who finished beside the quota (over_quota = 1) count like all others",
    ],
    "formulas": {
        "accuracy": "accuracy ~ heatmap * scores, type II",
        "ratio": "ratio ~ heatmap * scores, type II, HC3; Tukey on marginal means",
        "confidence": "median confidence ~ cell, Kruskal-Wallis",
        "answers": "correct ~ heatmap * scores + (1|participant) + (1|task), logistic; likelihood-ratio tests; "
        "Tukey on marginal means",
    },
    "confirmatory": [
        "accuracy.anova.type2",
        "ratio.white.type2.hc3",
        "ratio.pairs.heatmap.tukey",
        "confidence.kruskal.participant_median",
        "glmm.base.lrt",
        "glmm.base.pairs.heatmap.tukey",
    ],
}
"""What is planned unless another plan is given; `confirmatory`: the ids of the formulas' results (`within` tells which
a name takes), all others are exploratory.
"""


LARGEST = 1_000_000
"""Bytes of a plan's file."""


def freeze(path: Path, plan: Any = None) -> str:
    """Write the plan with the time and the SHA-256 of both, which is given back.

    Raises ArgumentError when `path` is there: a frozen plan is not overwritten; when its folder is not; or for a plan
    that is not as DEFAULT: texts in `hypotheses`, `exclusions`, `confirmatory` (lists) and `formulas` (a list, or an
    object of names), none of them empty but `exclusions` and `confirmatory` (all is exploratory), which has
    ids of results, or their first parts, up to a dot ("accuracy.anova"); further keys are kept.
    """
    if path.exists():
        raise ArgumentError(
            f"expected a new file for the plan, but {path} is there; a frozen plan is not overwritten"
        )
    if not path.parent.is_dir():
        raise ArgumentError(
            f"expected a folder for the plan, got {path.parent}, which is none; make it first"
        )
    chosen = DEFAULT if plan is None else plan
    content = {"plan": chosen, "frozen": datetime.now(UTC).isoformat(timespec="seconds")}
    _check(chosen)
    for name in chosen["confirmatory"]:
        if not any(within(one, name) for one in IDS):
            raise ArgumentError(
                f"expected ids of results in confirmatory, or their first parts up to a dot, got "
                f"{name!r}{nearest(name, IDS)}; results.json has them"
            )
    digest = _digest(content)
    text = json.dumps({**content, "sha256": digest}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return digest


def from_file(path: Path) -> Any:
    """The JSON in a file, a plan to freeze; FileFormatError for one that is none, or over LARGEST."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        return json.loads(content.decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileFormatError(f"expected a plan as JSON in UTF-8 at {path}, got {error}") from error


def read(path: Path) -> dict[str, Any]:
    """The frozen document in a file, with `plan`, `sha256` and `frozen` (the time).

    Raises FileFormatError for none, or one that was changed after it was frozen; ArgumentError for one whose plan is
    not as `freeze` wants it.
    """
    document = from_file(path)
    if not isinstance(document, dict) or not {"plan", "sha256"} <= document.keys():
        raise FileFormatError(
            f"expected a frozen plan at {path}, as occlumap analyse freeze writes it, got none"
        )
    beside = document.keys() - {"plan", "frozen", "sha256"}
    if beside:
        raise FileFormatError(
            f"expected plan, frozen and sha256 in the frozen plan at {path}, got {', '.join(sorted(beside))} beside "
            "them, which the hash does not cover: it was changed"
        )
    _check(document["plan"])
    if not covers_time(document) and _digest(document["plan"]) != document["sha256"]:
        raise FileFormatError(
            f"expected the plan at {path} as it was frozen; its SHA-256 is another: it was changed"
        )
    return document


def within(name: str, beginning: str) -> bool:
    """Whether the id `name` is `beginning`, or goes on from it after a dot."""
    return name == beginning or name.startswith(f"{beginning}.")


def covers_time(document: Mapping[str, Any]) -> bool:
    """Whether a frozen document's hash is of its plan and time; earlier versions hashed the plan alone."""
    content = {"plan": document["plan"], "frozen": document.get("frozen")}
    return bool(_digest(content) == document["sha256"])


def _check(plan: Any) -> None:
    keys = ", ".join(DEFAULT)
    if not isinstance(plan, dict):
        raise ArgumentError(
            f"expected a plan as an object with {keys}, got {type(plan).__name__}; see docs/analysis.md"
        )
    if {"plan", "sha256"} <= plan.keys():
        raise ArgumentError(
            "expected a plan to freeze, got one that is frozen: give it to --plan, or freeze its part 'plan'"
        )
    for key in DEFAULT:
        value = plan.get(key)
        texts = list(value.values()) if key == "formulas" and isinstance(value, dict) else value
        empty = key not in ("confirmatory", "exclusions") and not texts
        if not isinstance(texts, list) or empty or not all(isinstance(one, str) and one for one in texts):
            got = "nothing" if key not in plan else f"{value!r:.80}"
            raise ArgumentError(
                f"expected {key} in the plan as a list of texts, got {got}; a plan needs {keys}: see docs/analysis.md"
            )
    try:
        json.dumps(plan, ensure_ascii=False).encode()
    except ValueError as error:
        raise ArgumentError(f"expected a plan of text that can be written as UTF-8: {error}") from error


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def blinded(study: Study, seed: int | None = None) -> Study:
    """The same with the conditions exchanged for one another by a seeded chance: no heatmap keeps its name, and whether
    the two of scores are exchanged is not told (if they always were, everybody would know).

    `seed`: of the key; None: made of the participants' ids, so the same study is blinded in the same way each time.
    Everything that does not depend on the names of the conditions stays as it is; open by analysing without this.
    """
    import numpy as np
    import pandas as pd

    levels = [level for level in HEATMAPS if level in study.participants["heatmap"].cat.categories]
    if seed is None:
        ids = "\n".join(sorted(study.participants["participant_id"]))
        seed = int.from_bytes(hashlib.sha256(ids.encode()).digest()[:8], "big")
    random = np.random.default_rng(seed)
    order = random.permutation(len(levels))
    while (order == np.arange(len(levels))).any():
        order = random.permutation(len(levels))
    renamed = {level: levels[at] for level, at in zip(levels, order, strict=True)}
    shown = dict(zip(SCORES, random.permutation(SCORES).tolist(), strict=True))
    hidden = {
        "heatmap": pd.Categorical([renamed[str(value)] for value in study.participants["heatmap"]], levels),
        "scores": pd.Categorical([shown[str(value)] for value in study.participants["scores"]], list(SCORES)),
    }
    remark = "the names of the conditions, heatmaps and scores, are exchanged at random (blinded): do not read them"
    return replace(
        study,
        participants=study.participants.assign(**hidden),
        remarks=(remark, *study.remarks),
        blinded=True,
    )
