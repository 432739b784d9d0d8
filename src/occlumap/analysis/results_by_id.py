"""Every result of the analysis under its id ("accuracy.anova.type2"), from the tables of a study.

The ids and the shapes of the values are those of the golden values that R gave; tests/analysis compares them. What a
study cannot give (one outcome only, a singular model) is left out, and said in `problems`.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from occlumap._threads import one_thread
from occlumap.analysis import code_kinds, features, measures, wording
from occlumap.analysis import linear_models as linear
from occlumap.analysis.accuracy_results import accuracy_results, outcomes
from occlumap.analysis.confidence_results import confidence_results
from occlumap.analysis.linear_results import counts
from occlumap.analysis.mixed_model_results import mixed_model_results
from occlumap.analysis.power_results import power_results
from occlumap.analysis.ratio_results import ratio_results
from occlumap.analysis.reliability_results import reliability_results
from occlumap.analysis.result_ids import IDS
from occlumap.analysis.results import Results
from occlumap.analysis.tables import Study
from occlumap.errors import ArgumentError


def every_result(
    study: Study,
    progress: Callable[[str], None] = lambda section: None,
    sections: Collection[str] | None = None,
) -> Results:
    """All results of `study`, or those of some of SECTIONS; `progress(section)` is called before each section.

    Raises ArgumentError for a section that there is none of.
    """
    import scipy.linalg  # noqa: F401 - loads its BLAS, which `one_thread` limits

    unknown = [name for name in sections or () if name not in SECTIONS]
    if unknown:
        raise ArgumentError(f"expected sections among {', '.join(SECTIONS)}, got {', '.join(unknown)}")
    found = Results()
    with one_thread():
        for name, make in SECTIONS.items():
            if sections is None or name in sections:
                progress(name)
                make(found, study)
    found.tell_missing(IDS)
    return found


def _design(found: Results, study: Study) -> None:
    def make() -> Iterator[tuple[str, Any]]:
        people, responses = study.participants, study.responses
        included = measures.analysed_people(study)
        order = measures.cells(study)
        yield "participants", len(people)
        yield "cells", counts(people, order)
        yield "responses", len(responses)
        yield "responses_missing", int(responses["correct"].isna().sum())
        yield "participants_features", len(included)
        yield "cells_features", counts(included, order)
        tasks = responses.drop_duplicates("task_id")["outcome"].value_counts()
        yield "tasks_per_outcome", {name: int(tasks[name]) for name in outcomes(responses)}
        yield "codes_total", len(study.codes)
        yield "codes_analysed", int(study.codes["participant_id"].isin(included["participant_id"]).sum())

    found.add("design", make)


def _codes(found: Results, study: Study) -> None:
    if len(measures.analysed_codes(study)):
        answered = set(measures.analysed_answers(study)["image_class"])
        for name in sorted(set(study.responses["image_class"]) - answered):
            found.problems[f"codes.percent.{name}"] = "no answers of this class are analysed"
        found.add("codes", lambda: features.code_results(study))
        found.add("codes", lambda: code_kinds.kind_results(study))
    elif study.codes["participant_id"].isin(measures.analysed_people(study)["participant_id"]).any():
        found.problems["codes"] = (
            f"no code is of an answer that was given: codes.csv has the tasks {_tasks(study.codes)}, responses.csv "
            f"{_tasks(study.responses)}"
        )
    else:
        found.problems["codes"] = "no codes of participants who are not excluded"


def _tasks(table: Any) -> str:
    return wording.some(sorted(set(table["task_id"])))


FAMILY = {
    "accuracy": ("accuracy.anova.type2", ("heatmap", "scores", "heatmap:scores")),
    "confidence": ("confidence.kruskal.participant_median", ()),
    "ratio": ("ratio.white.type2.hc3", ("heatmap", "scores", "heatmap:scores")),
}
"""The tests that are corrected as one family: the results that hold them, and their terms."""


def _multiplicity(found: Results, study: Study) -> None:
    raw: dict[str, Any] = {}
    for name, (key, terms) in FAMILY.items():
        test = found.values.get(key)
        if test is None:
            found.problems[f"multiplicity.family.{name}"] = (
                f"{key} could not be had; the others are corrected for their number"
            )
        elif terms:
            raw |= {
                f"{name}_{term.replace('heatmap:scores', 'interaction')}": test[term]["p"] for term in terms
            }
        else:
            raw[name] = test["p"]
    if raw:
        methods = ("holm", "hochberg", "BH", "BY", "bonferroni")
        corrected = {
            method: dict(zip(raw, linear.adjusted(list(raw.values()), method), strict=True))
            for method in methods
        }
        found.add("multiplicity", lambda: iter([("family", {"raw": raw, **corrected})]))


SECTIONS: dict[str, Callable[[Results, Study], None]] = {
    "design": _design,
    "accuracy": accuracy_results,
    "mixed models": mixed_model_results,
    "confidence": confidence_results,
    "saliency-feature ratio": ratio_results,
    "codes": _codes,
    "agreement of coders": reliability_results,
    "power": power_results,
    "multiplicity": _multiplicity,
}
"""What makes the results, in order; multiplicity needs accuracy, confidence and ratio."""
