"""Tests that compare groups of numbers: variances, ranks, unequal variances, equivalence, range.

SciPy's and statsmodels'; written out is what they lack: Dunn's test, and pairs by Tukey's range with the error of
another model, or with the parts that R's packages tell (Games & Howell).
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap.analysis.linear_models import adjusted, tukey_critical, tukey_p
from occlumap.errors import ArgumentError

Floats = NDArray[np.float64]
Groups = Mapping[str, Floats]


ROUNDING = 1e-10
"""Values that differ by less than this share of the largest of them are the same."""


def varies(*groups: Floats) -> bool:
    """Whether the values of one of the groups differ by more than rounding."""
    return any(np.ptp(values) > ROUNDING * np.abs(values).max() for values in groups)


def describe(values: Floats) -> dict[str, float]:
    """n, mean, standard deviations (n - 1; n), quantiles of R's type 7, and Tukey's hinges (R's fivenum)."""
    q1, median, q3 = np.quantile(values, [0.25, 0.5, 0.75])
    lower, upper = hinges(values)
    return {
        "n": len(values),
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)),
        "sd_population": float(values.std()),
        "variance": float(values.var(ddof=1)),
        "min": float(values.min()),
        "q1": float(q1),
        "median": float(median),
        "q3": float(q3),
        "max": float(values.max()),
        "hinge_lower": lower,
        "hinge_upper": upper,
    }


def hinges(values: Floats) -> tuple[float, float]:
    """Tukey's lower and upper hinge (R's fivenum)."""
    ordered = np.sort(values)
    n = len(ordered)
    depth = ((n + 3) // 2) / 2
    places = np.array([depth, n + 1 - depth]) - 1
    low, high = 0.5 * (ordered[np.floor(places).astype(int)] + ordered[np.ceil(places).astype(int)])
    return float(low), float(high)


def box(values: Floats, kind: str) -> dict[str, Any]:
    """A box plot's numbers: "hinges" (R's boxplot.stats) or "type7" (NumPy's and Matplotlib's quartiles)."""
    lower, upper = hinges(values) if kind == "hinges" else np.quantile(values, [0.25, 0.75]).tolist()
    reach = 1.5 * (upper - lower)
    inside = values[(values >= lower - reach) & (values <= upper + reach)]
    outliers = np.sort(values[(values < lower - reach) | (values > upper + reach)])
    return {
        "whisker_lower": float(inside.min()),
        "lower": lower,
        "median": float(np.median(values)),
        "upper": upper,
        "whisker_upper": float(inside.max()),
        "outliers": outliers.tolist(),
    }


def shapiro_wilk(values: Floats) -> dict[str, float]:
    """Shapiro & Wilk (1965), Royston (1995): a small p speaks against normality."""
    from scipy import stats

    found = stats.shapiro(values)
    return {"W": float(found.statistic), "p": float(found.pvalue), "n": len(values)}


def levene(groups: Groups, center: str) -> dict[str, float]:
    """Levene's test of equal variances; center "median" (Brown & Forsythe 1974) or "mean"."""
    from scipy import stats

    middle = np.median if center == "median" else np.mean
    count = sum(map(len, groups.values()))
    df1, df2 = len(groups) - 1, count - len(groups)
    if not varies(*(np.abs(values - middle(values)) for values in groups.values())):
        return {"F": np.nan, "df1": df1, "df2": df2, "p": np.nan}
    found = stats.levene(*groups.values(), center=center)
    return {"F": float(found.statistic), "df1": df1, "df2": df2, "p": float(found.pvalue)}


def bartlett(groups: Groups) -> dict[str, float]:
    """Bartlett's test of equal variances (1937). ArgumentError for a group that does not vary."""
    from scipy import stats

    _check_each_varies(groups)

    found = stats.bartlett(*groups.values())
    return {"K2": float(found.statistic), "df": len(groups) - 1, "p": float(found.pvalue)}


def fligner(groups: Groups) -> dict[str, float]:
    """Fligner & Killeen's test of equal variances (1976), centred at medians.

    As R's fligner.test, it ranks distances from the median as they come, so that rounding decides between those that
    are the same; `fligner_exact` does not.
    """
    from scipy import stats

    found = stats.fligner(*groups.values(), center="median")
    return {"chi2": float(found.statistic), "df": len(groups) - 1, "p": float(found.pvalue)}


def fligner_exact(groups: Groups) -> dict[str, float]:
    """`fligner`, distances that differ by rounding only being ties."""
    return fligner({name: (values - np.median(values)).round(10) for name, values in groups.items()})


def kruskal(groups: Groups) -> dict[str, float]:
    """Kruskal & Wallis (1952), corrected for ties; epsilon and eta squared of H. ArgumentError for one group."""
    from scipy import stats

    if len(groups) < 2:
        raise ArgumentError(f"expected two groups or more to compare, got {', '.join(groups) or 'none'}")

    found = stats.kruskal(*groups.values())
    n, k, value = sum(map(len, groups.values())), len(groups), float(found.statistic)
    return {
        "H": value,
        "df": k - 1,
        "p": float(found.pvalue),
        "n": n,
        "epsilon2": value * (n + 1) / (n**2 - 1),
        "eta2_H": (value - k + 1) / (n - k),
    }


def dunn(groups: Groups) -> dict[str, dict[str, float]]:
    """Dunn's test (1964) of each pair after Kruskal-Wallis, with the correction for ties; p raw and by Holm."""
    from scipy import stats

    names = list(groups)
    everything = np.concatenate([groups[name] for name in names])
    ranks = stats.rankdata(everything)
    n = len(everything)
    _, ties = np.unique(everything, return_counts=True)
    variance = (n * (n + 1) - (ties**3 - ties).sum() / (n - 1)) / 12
    ends = np.cumsum([0, *(len(groups[name]) for name in names)])
    means = [ranks[ends[i] : ends[i + 1]].mean() for i in range(len(names))]
    found = {}
    for one, other in combinations(range(len(names)), 2):
        spread = np.sqrt(variance * (1 / len(groups[names[one]]) + 1 / len(groups[names[other]])))
        z = float((means[other] - means[one]) / spread)
        found[f"{names[other]}-{names[one]}"] = {"z": z, "p": float(2 * stats.norm.sf(abs(z)))}
    holm = adjusted([row["p"] for row in found.values()], "holm")
    for row, p in zip(found.values(), holm, strict=True):
        row["p_holm"] = p
    return found


def welch_anova(groups: Groups) -> dict[str, float]:
    """Welch's one-way ANOVA without equal variances (1951; R's oneway.test). ArgumentError as `bartlett`."""
    from statsmodels.stats.oneway import anova_oneway

    _check_each_varies(groups)

    found = anova_oneway(list(groups.values()), use_var="unequal")
    df1, df2 = found.df
    return {"F": float(found.statistic), "df1": int(df1), "df2": float(df2), "p": float(found.pvalue)}


def games_howell(groups: Groups) -> dict[str, dict[str, float]]:
    """Games & Howell (1976): each pair without equal variances, with Tukey's range and Welch's df.

    A pair of which neither varies is left out.
    """
    names = list(groups)
    found = {}
    for one, other in combinations(names, 2):
        first, second = groups[one], groups[other]
        if not varies(first, second):
            continue
        parts = first.var(ddof=1) / len(first), second.var(ddof=1) / len(second)
        diff, se = float(second.mean() - first.mean()), float(np.sqrt(sum(parts)))
        df = float(sum(parts) ** 2 / (parts[0] ** 2 / (len(first) - 1) + parts[1] ** 2 / (len(second) - 1)))
        critical = tukey_critical(len(names), df)
        found[f"{other}-{one}"] = {
            "diff": diff,
            "se_difference": se,
            "se_range": se / np.sqrt(2),
            "t": diff / se,
            "q": abs(diff) / se * np.sqrt(2),
            "df": df,
            "lower": diff - critical * se,
            "upper": diff + critical * se,
            "p": tukey_p(abs(diff) / se, len(names), df),
        }
    return found


def tukey_hsd(groups: Groups, variance: float, df: float) -> dict[str, dict[str, float]]:
    """Tukey's honest significant differences (Kramer's for unequal groups), given the error variance of a model."""
    names = list(groups)
    critical = tukey_critical(len(names), df)
    found = {}
    for one, other in combinations(names, 2):
        diff = float(groups[other].mean() - groups[one].mean())
        se = float(np.sqrt(variance * (1 / len(groups[one]) + 1 / len(groups[other]))))
        found[f"{other}-{one}"] = {
            "diff": diff,
            "t": diff / se,
            "lower": diff - critical * se,
            "upper": diff + critical * se,
            "p": tukey_p(abs(diff) / se, len(names), df),
        }
    return found


def tost(first: Floats, second: Floats, bound: float) -> dict[str, float]:
    """Two one-sided Welch tests (Schuirmann 1987): a small p says that the means differ by less than `bound`.

    ArgumentError where neither varies.
    """
    from statsmodels.stats.weightstats import CompareMeans

    if not varies(first, second):
        raise ArgumentError("nothing varies in the two groups")

    means = CompareMeans.from_data(first, second)
    low, p_low, df = means.ttest_ind(alternative="larger", usevar="unequal", value=-bound)
    high, p_high, _ = means.ttest_ind(alternative="smaller", usevar="unequal", value=bound)
    lower, upper = means.tconfint_diff(alpha=0.1, usevar="unequal")
    return {
        "diff": float(first.mean() - second.mean()),
        "bound": bound,
        "t_lower": float(low),
        "p_lower": float(p_low),
        "t_upper": float(high),
        "p_upper": float(p_high),
        "df": float(df),
        "p": float(max(p_low, p_high)),
        "ci90_lower": float(lower),
        "ci90_upper": float(upper),
    }


def _check_each_varies(groups: Groups) -> None:
    constant = [name for name, values in groups.items() if not varies(values)]
    if constant:
        raise ArgumentError(f"nothing varies in {', '.join(constant)}")


def groups_of(values: Any, labels: Any, order: Sequence[str]) -> dict[str, Floats]:
    """`values` by label, in `order`; labels without a value are left out."""
    found = {name: np.asarray(values[labels == name], np.float64) for name in order}
    return {name: group for name, group in found.items() if len(group)}
