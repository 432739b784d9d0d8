"""Results of the power of the published design, and of planning another."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from occlumap.analysis import power
from occlumap.analysis.results import Results
from occlumap.analysis.tables import Study


def power_results(found: Results, study: Study) -> None:
    """For the design as it was published: three heatmaps, 32 people each, 90 degrees of freedom of error."""

    def f_power(f: float) -> float:
        return power.model_power(2, 90, f**2, n=96)

    def make() -> Iterator[tuple[str, Any]]:
        yield (
            "given_f",
            {
                f: {
                    "oneway_k3_n32": power.anova_power(3, 32, f),
                    "f2_u2_v90": power.model_power(2, 90, f**2),
                    "f2_u2_v90_ncp96": f_power(f),
                }
                for f in (0.1, 0.25, 0.4)
            },
        )
        yield (
            "sensitivity",
            {
                wanted: {
                    "oneway_f": power.effect_for(wanted, lambda f: power.anova_power(3, 32, f)),
                    "f2": power.effect_for(wanted, lambda f2: power.model_power(2, 90, f2)),
                    "f_ncp96": power.effect_for(wanted, f_power),
                }
                for wanted in (0.8, 0.9)
            },
        )
        yield "n_per_group", {f: power.per_group_for(0.8, 3, f) for f in (0.1, 0.25, 0.4)}
        yield (
            "pairwise_d",
            {
                "d_unadjusted": power.effect_for(0.8, lambda d: power.t_power(32, d)),
                "d_bonferroni3": power.effect_for(0.8, lambda d: power.t_power(32, d, 0.05 / 3)),
            },
        )

    found.add("power", make)

    found.add("power", lambda: iter([("planning", _planning())]))


@cache
def _planning() -> dict[str, Any]:
    """Of a step from 57 % to 63 % right answers: power of the published design, and what 80 % take."""
    shares, spread = {"none": 0.57, "occlusion": 0.57, "lrp": 0.63}, (0.41, 1.04)
    f = power.expected_f(shares, 14, *spread)
    simulated = power.simulated_power(shares, 32, 14, *spread, runs=300)
    return {
        "person_sd": spread[0],
        "task_sd": spread[1],
        "f": f,
        "power": power.anova_power(3, 32, f),
        "simulated": simulated["power"],
        "simulated_se": simulated["se"],
        "runs": 300,
        "people_for_80": float(np.ceil(power.per_group_for(0.8, 3, f))),
        "tasks_for_80": power.tasks_for(0.8, shares, 32, *spread),
    }
