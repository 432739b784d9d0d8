"""Results of confidence: ratings, ranks, cumulative models."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap.analysis import effect_intervals, generalised_models, group_tests, measures, mixed_models
from occlumap.analysis import linear_models as linear
from occlumap.analysis.linear_results import TERMS
from occlumap.analysis.mixed_model_results import likelihood_ratio, separation, tell_caution
from occlumap.analysis.results import Results
from occlumap.analysis.tables import Study

Floats = NDArray[np.float64]


def confidence_results(found: Results, study: Study) -> None:
    """Put all of confidence into `found`, and what of it cannot be had."""
    rated = study.responses.dropna(subset=["confidence"]).join(
        study.participants.set_index("participant_id")[["heatmap", "scores"]], on="participant_id"
    )
    if not len(rated):
        found.problems["confidence"] = "no answer has a rating"
        return
    if rated["confidence"].nunique() == 1:
        found.problems["confidence"] = f"all values are the same, {rated['confidence'].iloc[0]:g}"
        return
    rated = rated.assign(cell=rated["heatmap"].astype(str) + ":" + rated["scores"].astype(str))

    def tell_empty(cells: Any, where: str, who: str) -> None:
        for cell in measures.cells(study):
            if not (cells == cell).any():
                found.problems[f"{where}.{cell}"] = (
                    f"nobody{who} has a rating in this cell; the conditions are compared without it"
                )

    tell_empty(rated["cell"], "confidence.counts_by_cell", "")

    def make() -> Iterator[tuple[str, Any]]:
        values = rated["confidence"].to_numpy(np.float64)
        order = measures.cells(study)
        yield "median", float(np.median(values))
        yield "counts", _rating_counts(values)
        by_cell = group_tests.groups_of(values, rated["cell"].to_numpy(), order)
        yield "counts_by_cell", {name: _rating_counts(group) for name, group in by_cell.items()}
        people = measures.confidence(study)
        for kind in ("median", "mean"):
            groups = group_tests.groups_of(people[kind].to_numpy(), people["cell"].to_numpy(), order)
            yield f"kruskal.participant_{kind}", partial(group_tests.kruskal, groups)
            yield f"kruskal_effects.participant_{kind}", partial(effect_intervals.epsilon2, groups)
        yield "kruskal.responses", partial(group_tests.kruskal, by_cell)
        heatmaps = list(people["heatmap"].cat.categories)
        groups = group_tests.groups_of(
            people["mean"].to_numpy(), people["heatmap"].astype(str).to_numpy(), heatmaps
        )
        yield "kruskal.heatmap", partial(group_tests.kruskal, groups)
        yield "dunn.heatmap", partial(group_tests.dunn, groups)

    found.add("confidence", make)

    def screened() -> Iterator[tuple[str, Any]]:
        people = measures.confidence(study)
        part = people[people["screening_passed"] == 1]
        tell_empty(part["cell"], "confidence.screened", " who passed the comprehension questions")
        groups = group_tests.groups_of(
            part["median"].to_numpy(), part["cell"].to_numpy(), measures.cells(study)
        )
        yield "kruskal.participant_median", group_tests.kruskal(groups)

    found.add("confidence.screened", screened)
    y = measures.numbered(rated["confidence"])
    labels = [f"{value:g}" for value in sorted(rated["confidence"].unique())]

    def cumulative(model: linear.Design, crossed: bool) -> mixed_models.MixedModel:
        model.check()
        groups = (
            {name: measures.numbered(rated[f"{name}_id"]) for name in ("participant", "task")}
            if crossed
            else {}
        )
        return mixed_models.cumulative(model.matrix[:, 1:], model.names[1:], y, groups, labels)

    def apart(model: linear.Design) -> str:
        ranges = generalised_models.ordered_apart(model, y)
        if ranges is None:
            return separation(model, y)
        value, low, high = ranges
        return (
            f"no cell has ratings below and above {labels[value]} (all of {', '.join(low) or 'none'} are up to it, all "
            f"of {', '.join(high) or 'none'} from it: separation), so that estimates run off to infinity"
        )

    def clm() -> Iterator[tuple[str, Any]]:
        model = linear.design(rated, TERMS)
        tell_caution(found, "confidence.clm", apart(model))
        yield "", cumulative(model, False).coefficients()

    found.add("confidence.clm", clm)

    def tests(full: linear.Design, best: mixed_models.MixedModel) -> dict[str, Any]:
        additive = cumulative(full.without("heatmap:scores"), True)
        scores = cumulative(full.without("heatmap:scores", "heatmap"), True)
        interaction = len(full.terms["heatmap:scores"])
        return {
            "heatmap:scores": likelihood_ratio(additive.loglik, best.loglik, interaction),
            "heatmap": likelihood_ratio(scores.loglik, additive.loglik, len(full.terms["heatmap"])),
        }

    def clmm() -> Iterator[tuple[str, Any]]:
        full = linear.design(rated, TERMS)
        tell_caution(found, "confidence.clmm", apart(full))
        best = cumulative(full, True)
        yield "lrt", partial(tests, full, best)
        tell_caution(found, "confidence.clmm", apart(full), best)
        yield "random_sd", dict(best.random_sd)
        yield "singular", best.singular
        yield "fixed", best.coefficients()
        estimates = np.concatenate(
            [[0.0], best.estimates[len(labels) - 1 :]]
        )  # no intercept: 0, cancels in pairs
        covariance = np.zeros((len(estimates), len(estimates)))
        covariance[1:, 1:] = best.covariance[len(labels) - 1 :, len(labels) - 1 :]
        yield "pairs.heatmap.tukey", linear.pairwise(full, estimates, covariance, np.inf, "heatmap", "tukey")

    found.add("confidence.clmm", clmm)


def _rating_counts(values: Floats) -> dict[str, int]:
    return {str(value): int((values == value).sum()) for value in (1, 2, 3, 4)}
