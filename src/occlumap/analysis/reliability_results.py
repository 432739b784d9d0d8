"""Results of the coders' agreement."""

from collections.abc import Iterator, Sequence
from typing import Any

from occlumap import agreement
from occlumap.analysis.results import Results
from occlumap.analysis.tables import Study


def reliability_results(found: Results, study: Study) -> None:
    """Put the coders' agreement on codes and on their groups into `found`."""
    if study.double_coding is None:
        found.problems["reliability"] = "no double_coding.csv"
        return
    if not len(study.double_coding):
        found.problems["reliability"] = "double_coding.csv has no rows: no answer was coded twice yet"
        return
    group_of = dict(zip(study.codes["code"], study.codes["group"], strict=True))

    def make() -> Iterator[tuple[str, Any]]:
        table = study.double_coding
        coders = {name: [value or None for value in table[f"coder_{name}"]] for name in "abc"}
        for level in ("code", "group"):
            of = {
                name: [
                    group_of.get(value) if level == "group" and value is not None else value
                    for value in values
                ]
                for name, values in coders.items()
            }
            yield f"{level}.cohen_ab", _kappa(agreement.cohen_kappa(of["a"], of["b"]))
            yield f"{level}.krippendorff_ab", _alpha(list(zip(of["a"], of["b"], strict=True)))
            if not any(value is not None for value in of["c"]):
                continue
            units = list(zip(of["a"], of["b"], of["c"], strict=True))
            yield f"{level}.krippendorff_abc", _alpha(units)
            yield f"{level}.cohen_ac", _kappa(agreement.cohen_kappa(of["a"], of["c"]))
            yield f"{level}.fleiss", _fleiss([unit for unit in units if None not in unit])

    found.add("reliability", make)


def _kappa(kappa: agreement.CohenKappa) -> dict[str, float]:
    return {
        "kappa": kappa.kappa,
        "se0": kappa.se0,
        "z": kappa.z,
        "p": kappa.p,
        "agreement": kappa.agreement,
        "expected": kappa.expected,
        "n": kappa.n,
        "se_asymptotic": kappa.se,
        "ci_lower": kappa.ci_lower,
        "ci_upper": kappa.ci_upper,
        "se_psych": kappa.se,
    }


def _fleiss(units: Sequence[Sequence[Any]]) -> dict[str, float]:
    fleiss = agreement.fleiss_kappa(units)
    lower, upper = agreement.bootstrap_interval(lambda drawn: agreement.fleiss_kappa(drawn).kappa, units)
    return {
        "kappa": fleiss.kappa,
        "Pbar": fleiss.agreement,
        "Pe": fleiss.expected,
        "n": fleiss.n,
        "raters": fleiss.raters,
        "ci_lower": lower,
        "ci_upper": upper,
    }


def _alpha(units: Sequence[Sequence[Any]]) -> dict[str, float]:
    alpha = agreement.krippendorff_alpha(units)
    lower, upper = agreement.bootstrap_interval(
        lambda drawn: agreement.krippendorff_alpha(drawn).alpha, units
    )
    return {
        "alpha": alpha.alpha,
        "pairable_values": alpha.pairable_values,
        "Do": alpha.observed,
        "De": alpha.expected,
        "ci_lower": lower,
        "ci_upper": upper,
    }
