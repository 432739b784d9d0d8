"""The figures that the text prints, recomputed from their statistic and degrees of freedom."""

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Printed:
    """One test as the text prints it. `distribution`: "F", "H" (chi-square) or "W" (Shapiro-Wilk, df is n).

    `p`: as printed, "0.051" or "<0.01".
    """

    where: str
    what: str
    distribution: str
    statistic: float
    df: tuple[int, ...]
    p: str


PRINTED = (
    Printed("6.1", "accuracy, Shapiro-Wilk", "W", 0.964, (96,), "<0.01"),
    Printed("6.1", "accuracy, Levene", "F", 0.882, (5, 90), "0.497"),
    Printed("6.1", "accuracy, heatmap", "F", 3.067, (2, 90), "0.051"),
    Printed("6.1", "accuracy, scores", "F", 0.002, (1, 90), "0.964"),
    Printed("6.1", "accuracy, interaction", "F", 2.656, (2, 90), "0.076"),
    Printed("6.2", "confidence, Kruskal-Wallis", "H", 3.178, (5,), "0.673"),
    Printed("6.3.3", "ratio, Shapiro-Wilk", "W", 0.916, (94,), "<0.01"),
    Printed("6.3.3", "ratio, Levene", "F", 3.056, (5, 88), "0.014"),
    Printed("6.3.3", "ratio, heatmap", "F", 12.340, (2, 88), "<0.01"),
    Printed("6.3.3", "ratio, scores", "F", 0.788, (1, 88), "0.380"),
    Printed("6.3.3", "ratio, interaction", "F", 0.332, (2, 88), "0.719"),
    Printed("7.1", "original study, accuracy, heatmap", "F", 4.191, (1, 60), "0.045"),
)
"""Every test of sections 6 and 7 that has a statistic; Tukey's p values have none, so they cannot be recomputed."""


@dataclass(frozen=True)
class Recomputed:
    """`p`: from the printed statistic; `low`, `high`: over all statistics that round to the printed one."""

    printed: Printed
    p: float
    low: float
    high: float

    @property
    def reproduces(self) -> bool:
        """Whether some statistic that rounds to the printed one has a p that rounds to the printed one."""
        text = self.printed.p
        if text.startswith("<"):
            return self.low < float(text[1:])
        half = 0.5 * 10.0 ** -len(text.partition(".")[2])
        return self.low < float(text) + half and self.high >= float(text) - half


def recompute() -> Iterator[Recomputed]:
    """Each printed figure, with its p recomputed.

    >>> [one.printed.what for one in recompute() if not one.reproduces]
    ['ratio, scores']
    """
    for printed in PRINTED:
        ends = [_p(printed, printed.statistic + move) for move in (-0.0005, 0.0005)]
        yield Recomputed(printed, _p(printed, printed.statistic), min(ends), max(ends))


def _p(printed: Printed, statistic: float) -> float:
    from scipy import stats

    if printed.distribution == "F":
        return float(stats.f.sf(max(statistic, 0.0), *printed.df))
    if printed.distribution == "H":
        return float(stats.chi2.sf(max(statistic, 0.0), *printed.df))
    return shapiro_wilk_p(statistic, printed.df[0])


def shapiro_wilk_p(statistic: float, n: int) -> float:
    """P of Shapiro and Wilk's W for n of 12 to 5,000, by Royston's approximation (1995, algorithm AS R94)."""
    from scipy import stats

    log_n = math.log(n)
    mean = -1.5861 + log_n * (-0.31082 + log_n * (-0.083751 + log_n * 0.0038915))
    spread = math.exp(-0.4803 + log_n * (-0.082676 + log_n * 0.0030302))
    return float(stats.norm.sf((math.log(1 - statistic) - mean) / spread))


def lines() -> Iterator[str]:
    """One line for each printed figure, and what does not reproduce."""
    for one in recompute():
        printed = one.printed
        df = ", ".join(map(str, printed.df))
        about = f"{printed.distribution}({df}) = {printed.statistic:.3f}"
        verdict = "reproduces" if one.reproduces else "DOES NOT REPRODUCE"
        p = f"printed p {'' if printed.p.startswith('<') else '= '}{printed.p}"
        yield (
            f"{printed.where:6}{printed.what:36}{about:22}{p:20}recomputed {one.p:.4g} "
            f"({one.low:.4g} to {one.high:.4g})  {verdict}"
        )
