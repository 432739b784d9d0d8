"""Every value that R gave, from the shared data set; and what must not depend on order, names or further columns."""

import json

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("statsmodels")
from occlumap.analysis import every_result, read
from occlumap.analysis.result_ids import IDS
from tests.analysis.study_tables import ALPHA, changed, differences

pytestmark = pytest.mark.skipif(not ALPHA.exists(), reason="the shared study is not there")
GOLDEN = json.loads((ALPHA / "golden.json").read_text())["entries"] if ALPHA.exists() else {}


@pytest.fixture(scope="module")
def results():
    return every_result(read(ALPHA))


@pytest.mark.parametrize("name", [name for name, entry in GOLDEN.items() if entry["tier"] != "trap"])
def test_it_is_what_r_gives(results, name):
    entry = GOLDEN[name]
    # bayes.anova has no relative tolerance: R's is a Monte Carlo estimate, good to 0.1
    rtol, atol = (0, 0.1) if entry["rtol"] is None else (entry["rtol"], entry["atol"])
    assert not list(differences(results.values[name], entry["value"], rtol, atol))


@pytest.mark.parametrize(
    ("trap", "ours"),
    [
        ("accuracy.anova.type3_treatment_TRAP", "accuracy.anova.type3"),
        ("accuracy.missing_as_wrong_TRAP", "accuracy.anova.type2"),
        ("ratio.anova.type3_treatment_TRAP", "ratio.anova.type3"),
        ("ratio.exclusions_ignored_TRAP", "ratio.white.type2.hc3"),
    ],
)
def test_a_common_mistake_is_not_made(results, trap, ours):
    assert trap not in results.values
    assert list(differences(results.values[ours], GOLDEN[trap]["value"], 1e-6, 1e-9))


@pytest.mark.parametrize("trap", ["ratio.mean_of_answer_ratios_TRAP", "ratio.pooled_by_heatmap_TRAP"])
def test_the_ratio_is_a_mean_of_participants(results, trap):
    means = {name: row["mean"] for name, row in results.values["ratio.descriptives.heatmap"].items()}
    assert list(differences(means, GOLDEN[trap]["value"], 1e-3, 0))


def test_the_ids_that_a_plan_may_name_are_those_of_the_results(results):
    assert set(IDS) == {*results.values, "design.blinded"}


def test_nothing_was_left_out(results):
    assert results.problems == results.cautions == {}


@pytest.mark.parametrize(
    ("heatmap", "p"), [("none", 0.135600), ("lrp", 1.33613e-6), ("occlusion", 4.37031e-6)]
)
def test_wilcoxons_test_of_kinds_takes_equal_differences_as_ties(results, heatmap, p):
    assert results.values["codes.kinds_within"][heatmap]["p"] == pytest.approx(p, rel=1e-3)


@pytest.mark.parametrize("level", ["code", "group"])
def test_every_agreement_of_coders_has_an_interval(results, level):
    for name in ("cohen_ab", "cohen_ac", "fleiss", "krippendorff_ab", "krippendorff_abc"):
        row = results.values[f"reliability.{level}.{name}"]
        assert row["ci_lower"] < row.get("kappa", row.get("alpha")) < row["ci_upper"] <= 1, name


def test_order_names_and_further_columns_change_nothing(results, tmp_path):
    random = np.random.default_rng(0)
    ids = sorted(pd.read_csv(ALPHA / "participants.csv")["participant_id"])
    names = dict(zip(ids, [f"x{number:04d}" for number in random.permutation(len(ids))], strict=True))

    def shuffled(table):
        table = table.iloc[random.permutation(len(table))].assign(remark="none of ours")
        return table.assign(participant_id=table["participant_id"].map(names))

    tables = dict.fromkeys(("participants", "responses", "codes", "double_coding"), shuffled)
    again = every_result(read(changed(ALPHA, tmp_path / "again", **tables)))
    assert again.values.keys() == results.values.keys()
    for name, value in results.values.items():
        iterated = name.startswith(
            ("glmm", "confidence.cl", "ratio.betabinomial", "accuracy.bayes", "ratio.bayes")
        )
        found = list(
            differences(again.values[name], value, 1e-4 if iterated else 1e-9, 1e-6 if iterated else 1e-9)
        )
        assert not found, name


@pytest.mark.parametrize("seed", [1, 2])
def test_another_data_set_has_every_result_too(tmp_path, seed):
    """Other people, exclusions, screening, ids, missing answers (cells and whole rows), rows in another order."""
    random = np.random.default_rng(seed)
    people = pd.read_csv(ALPHA / "participants.csv", dtype=str)
    kept = people.groupby(["heatmap", "scores"]).sample(13, random_state=seed)["participant_id"]
    names = dict(zip(kept, [f"{number}-ü" for number in random.permutation(len(kept))], strict=True))

    def other(table):
        table = table[table["participant_id"].isin(names)]
        table = table.assign(participant_id=table["participant_id"].map(names))
        return table.iloc[random.permutation(len(table))]

    def participants(table):
        table = other(table)
        for column, share in (("excluded_from_features", 0.1), ("screening_passed", 0.8)):
            table[column] = (random.random(len(table)) < share).astype(int).astype(str)
        return table

    def responses(table):
        table = other(table)
        gaps = random.random(len(table))
        table.loc[gaps < 0.03, ["answer", "correct", "confidence"]] = ""
        return table[gaps < 0.98]

    study = read(
        changed(
            ALPHA,
            tmp_path / "beta",
            participants=participants,
            responses=responses,
            codes=other,
            double_coding=other,
        )
    )
    found = every_result(study)
    wanted = {name for name, entry in GOLDEN.items() if entry["tier"] != "trap"}
    assert found.problems.keys() <= {"ratio.betabinomial.phi"}
    assert wanted <= found.values.keys()
    for name in wanted:
        expected = GOLDEN[name]["value"]
        assert type(found.values[name]) is type(expected) or isinstance(expected, int | float), name
