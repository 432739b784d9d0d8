"""A frozen plan (preregistration): hypotheses, exclusions and formulas, with a hash; and conditions kept blind."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from occlumap.analysis.tables import HEATMAPS, Study
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
    ],
    "formulas": {
        "accuracy": "accuracy ~ heatmap * scores, type II",
        "ratio": "ratio ~ heatmap * scores, type II, HC3; Tukey on marginal means",
        "confidence": "median confidence ~ cell, Kruskal-Wallis",
        "answers": "correct ~ heatmap * scores + (1|participant) + (1|task), logistic",
    },
    "confirmatory": [
        "accuracy.anova.type2",
        "ratio.white.type2.hc3",
        "confidence.kruskal.participant_median",
    ],
}
"""What is planned unless another plan is given; `confirmatory`: ids of results, all others are exploratory."""


def freeze(path: Path, plan: Mapping[str, Any] | None = None) -> str:
    """Write the plan with the time and its SHA-256, which is given back.

    Raises ArgumentError when `path` is there: a frozen plan is not overwritten; or when keys of DEFAULT are missing.
    """
    if path.exists():
        raise ArgumentError(
            f"expected a new file for the plan, but {path} is there; a frozen plan is not overwritten"
        )
    content = dict(DEFAULT if plan is None else plan)
    missing = [key for key in DEFAULT if not content.get(key)]
    if missing:
        raise ArgumentError(
            f"expected {', '.join(missing)} in the plan, which a plan needs; see docs/analysis.md"
        )
    digest = _digest(content)
    frozen = {"plan": content, "sha256": digest, "frozen": datetime.now(UTC).isoformat(timespec="seconds")}
    path.write_text(json.dumps(frozen, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return digest


def read(path: Path) -> dict[str, Any]:
    """The frozen document in a file, with `plan`, `sha256` and `frozen` (the time).

    Raises FileFormatError for none, or one that was changed after it was frozen.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        plan, digest = document["plan"], document["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileFormatError(
            f"expected a frozen plan at {path} ({type(error).__name__}: {error})"
        ) from error
    if _digest(plan) != digest:
        raise FileFormatError(
            f"expected the plan at {path} as it was frozen; its SHA-256 is another: it was changed"
        )
    return dict(document)


def _digest(plan: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plan, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def blinded(study: Study, seed: int | None = None) -> Study:
    """The same with the heatmap conditions exchanged for one another by a seeded chance, so that nobody knows which
    is which.

    `seed`: of the key; None: made of the participants' ids, so the same study is blinded in the same way each time.
    Everything that does not depend on the names of the conditions stays as it is; open by analysing without this.
    """
    import numpy as np
    import pandas as pd

    levels = [level for level in HEATMAPS if level in study.participants["heatmap"].cat.categories]
    if seed is None:
        ids = "\n".join(sorted(study.participants["participant_id"]))
        seed = int.from_bytes(hashlib.sha256(ids.encode()).digest()[:8], "big")
    order = np.random.default_rng(seed).permutation(len(levels))
    renamed = {level: levels[at] for level, at in zip(levels, order, strict=True)}
    hidden = pd.Categorical([renamed[str(value)] for value in study.participants["heatmap"]], levels)
    remark = "the names of the heatmap conditions are exchanged at random (blinded): do not read them"
    return replace(
        study, participants=study.participants.assign(heatmap=hidden), remarks=(remark, *study.remarks)
    )
