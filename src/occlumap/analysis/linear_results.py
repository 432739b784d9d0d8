"""Results of linear models and of tests between groups, as accuracy and the saliency-feature ratio have them."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from occlumap.analysis import bayes_factors, effect_intervals, group_tests, measures
from occlumap.analysis import linear_models as linear
from occlumap.analysis.results import Results
from occlumap.analysis.tables import Study

TERMS = ("heatmap", "scores", "heatmap:scores")
BOUNDS = {
    "accuracy": (
        ("occlusion", "lrp", 0.05),
        ("occlusion", "none", 0.05),
        ("occlusion", "lrp", 0.1),
        ("occlusion", "none", 0.1),
    ),
    "ratio": (("occlusion", "lrp", 0.1), ("occlusion", "lrp", 0.2)),
}
"""Bounds of equivalence: of shares of right answers, and of the saliency-feature ratio."""


def counts(people: Any, order: list[str]) -> dict[str, int]:
    """How many of `people` are in each cell of `order`."""
    cell = people["heatmap"].astype(str) + ":" + people["scores"].astype(str)
    return {name: int((cell == name).sum()) for name in order}


def linear_section(table: Any, measure: str, study: Study) -> Iterator[tuple[str, Any]]:
    """What accuracy and ratio have in common: descriptives, assumptions, ANOVA, contrasts, ranks, equivalence."""
    y = table[measure].to_numpy(np.float64)
    heatmaps = [level for level in table["heatmap"].cat.categories if (table["heatmap"] == level).any()]
    cells = group_tests.groups_of(y, table["cell"].to_numpy(), measures.cells(study))
    by_heatmap = group_tests.groups_of(y, table["heatmap"].astype(str).to_numpy(), heatmaps)
    by_scores = group_tests.groups_of(
        y, table["scores"].astype(str).to_numpy(), list(table["scores"].cat.categories)
    )
    yield "descriptives.overall", group_tests.describe(y)
    for name, groups in (("heatmap", by_heatmap), ("scores", by_scores), ("cell", cells)):
        yield f"descriptives.{name}", {key: group_tests.describe(values) for key, values in groups.items()}
    model = linear.fit(linear.design(table, TERMS), y)
    tables = {type_: linear.anova(model, type_) for type_ in (1, 2, 3)}
    for type_, result in tables.items():
        yield f"anova.type{type_}", result
    for type_ in (2, 3):
        yield f"effects.type{type_}", linear.effect_sizes(tables[type_], len(y))
    yield "shapiro.raw", partial(group_tests.shapiro_wilk, y)
    yield "shapiro.residuals", partial(group_tests.shapiro_wilk, model.residuals)
    for center in ("median", "mean"):
        yield f"levene.{center}", partial(group_tests.levene, cells, center)
    yield "bartlett", partial(group_tests.bartlett, cells)
    yield "fligner", partial(group_tests.fligner, cells)
    yield "fligner_exact", partial(group_tests.fligner_exact, cells)
    for type_ in (2, 3):
        for kind in ("hc0", "hc1", "hc2", "hc3", "hc4"):
            yield f"white.type{type_}.{kind}", partial(linear.white_anova, model, type_, kind.upper())
    yield from _contrasts(model, "const", "")
    within: dict[str, Any] = {}
    for level in table["scores"].cat.categories:
        pairs = linear.pairwise(
            model.design,
            model.coefficients,
            model.covariance(),
            model.df,
            "heatmap",
            "tukey",
            {"scores": level},
            False,
        )
        within.update({f"{level} | {name}": row for name, row in pairs.items()})
    yield "pairs.heatmap_within_scores.tukey", within
    if measure == "ratio":
        yield from _contrasts(model, "HC3", "_hc3")
        yield "ols.coef", dict(zip(model.design.names, model.coefficients, strict=True))
        yield (
            "ols.se",
            {
                kind: dict(zip(model.design.names, np.sqrt(np.diag(model.covariance(kind))), strict=True))
                for kind in linear.COVARIANCES
            },
        )
    oneway_df = len(y) - len(by_heatmap)
    oneway = sum(((values - values.mean()) ** 2).sum() for values in by_heatmap.values()) / oneway_df
    yield "tukeyhsd.oneway", partial(group_tests.tukey_hsd, by_heatmap, oneway, oneway_df)
    yield "tukeyhsd.twoway", partial(group_tests.tukey_hsd, by_heatmap, model.rss / model.df, model.df)
    yield "games_howell", partial(group_tests.games_howell, by_heatmap)
    yield "welch.heatmap", partial(group_tests.welch_anova, by_heatmap)
    yield "welch.cell", partial(group_tests.welch_anova, cells)
    if measure == "ratio":
        yield "dunn.heatmap", partial(group_tests.dunn, by_heatmap)
    yield "kruskal.heatmap", partial(group_tests.kruskal, by_heatmap)
    yield "kruskal.cell", partial(group_tests.kruskal, cells)
    for one, other, bound in BOUNDS[measure]:
        if one in by_heatmap and other in by_heatmap:
            yield (
                f"tost.{one}_vs_{other}.{bound}",
                partial(group_tests.tost, by_heatmap[one], by_heatmap[other], bound),
            )
    names = list(by_heatmap)
    yield (
        "bayes.ttest",
        lambda: {
            f"{other}-{one}": bayes_factors.two_groups(by_heatmap[one], by_heatmap[other])
            for at, one in enumerate(names)
            for other in names[at + 1 :]
            if group_tests.varies(by_heatmap[one], by_heatmap[other])
        },
    )
    yield "bayes.anova", partial(_bayes_anova, model)
    yield (
        "effects.intervals",
        lambda: {
            term: effect_intervals.partial_eta2(row["F"], row["df"], model.df)
            for term, row in tables[2].items()
            if term != "residual"
        },
    )
    yield "effects.cohens_d", partial(effect_intervals.standardised_differences, by_heatmap)


def measure_varies(found: Results, table: Any, measure: str) -> bool:
    """Whether `measure` varies within the cells, some of several participants; if not, it is told as left out: a test
    would be of rounding.
    """
    values = table[measure].to_numpy(np.float64)
    if not group_tests.varies(values):
        found.problems[measure] = f"nothing varies: all values are the same, {values[0]:.3g}"
    elif table["cell"].value_counts().max() == 1:
        found.problems[measure] = (
            "no cell has more than one participant, so nothing can be tested against chance"
        )
    elif not group_tests.varies(*(part.to_numpy(np.float64) for _, part in table.groupby("cell")[measure])):
        found.problems[measure] = "nothing varies within the cells, so nothing can be tested against chance"
    return measure not in found.problems


def tell_left_out(found: Results, table: Any, measure: str) -> None:
    """The comparisons that `linear_section` leaves out, as nobody in `table` has one of their heatmaps."""
    there = set(table["heatmap"].astype(str))
    for one, other, bound in BOUNDS[measure]:
        absent = [name for name in (one, other) if name not in there]
        if absent:
            found.problems[f"{measure}.tost.{one}_vs_{other}.{bound}"] = (
                f"nobody with heatmap {absent[0]} is analysed"
            )


def _contrasts(model: linear.LinearModel, kind: str, suffix: str) -> Iterator[tuple[str, Any]]:
    covariance = model.covariance(kind)
    arguments = (model.design, model.coefficients, covariance, model.df, "heatmap")
    yield f"emmeans.heatmap{suffix}", linear.marginal_means(*arguments)
    for adjust in linear.ADJUSTMENTS:
        yield f"pairs.heatmap{suffix}.{adjust}", linear.pairwise(*arguments, adjust)


def _bayes_anova(model: linear.LinearModel) -> dict[str, Any]:
    of = model.design
    main = {
        name: bayes_factors.orthonormal_contrasts(len(of.levels[name]))[of.values[name]]
        for name in ("heatmap", "scores")
    }
    both = np.einsum("ni,nj->nij", main["heatmap"], main["scores"]).reshape(len(model.y), -1)
    models = {
        "heatmap": [main["heatmap"]],
        "scores": [main["scores"]],
        "heatmap + scores": [main["heatmap"], main["scores"]],
        "heatmap + scores + heatmap:scores": [main["heatmap"], main["scores"], both],
    }
    return {name: {"log_BF10": bayes_factors.design(model.y, effects)} for name, effects in models.items()}
