"""Statistics with known answers: agreement worked by hand, models that recover what was drawn, adjustments."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occlumap import agreement
from occlumap.errors import ArgumentError

pytest.importorskip("statsmodels")
from occlumap.analysis import bayes_factors, effect_intervals, group_tests, linear_models, mixed_models, power
from occlumap.analysis.published import PRINTED, recompute, shapiro_wilk_p


def test_cohens_kappa_of_a_table_worked_by_hand():
    # 20 both yes, 5 and 10 differ, 15 both no: agreement .7, chance .5, kappa .4 (Wikipedia's example)
    first = ["y"] * 25 + ["n"] * 25
    second = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    found = agreement.cohen_kappa(first, second)
    assert found.kappa == pytest.approx(0.4)
    assert (found.agreement, found.expected) == (pytest.approx(0.7), pytest.approx(0.5))


def test_krippendorffs_alpha_of_his_own_example():
    # Krippendorff (2011), nominal data, two observers, no missing data
    first, second = "aabbddccaaee", "abbbddccaade"
    units = list(zip(first, second, strict=True))
    disagreements = 2
    n = 24
    counts = [7, 5, 5, 4, 3]
    expected = 1 - sum(c * (c - 1) for c in counts) / (n * (n - 1))
    found = agreement.krippendorff_alpha(units)
    assert found.observed == pytest.approx(disagreements / 12)
    assert found.expected == pytest.approx(expected)


def test_fleiss_kappa_of_perfect_agreement_is_one_and_of_one_code_undefined():
    assert agreement.fleiss_kappa(["aaa", "bbb"]).kappa == 1
    assert math.isnan(agreement.fleiss_kappa(["aaa", "aaa"]).kappa)


def test_the_bootstrap_of_kappa_is_near_its_formula_and_knows_no_order():
    random = np.random.default_rng(0)
    first = random.choice(list("abc"), 200)
    second = np.where(random.random(200) < 0.7, first, random.choice(list("abc"), 200))
    units = list(zip(first.tolist(), second.tolist(), strict=True))

    def kappa(drawn):
        return agreement.cohen_kappa(*zip(*drawn, strict=True)).kappa

    found = agreement.bootstrap_interval(kappa, units)
    formula = agreement.cohen_kappa(first.tolist(), second.tolist())
    assert found == pytest.approx((formula.ci_lower, formula.ci_upper), abs=0.02)
    assert agreement.bootstrap_interval(kappa, units[::-1]) == found


def test_an_agreement_that_most_draws_leave_undefined_has_no_interval():
    def alpha(drawn):
        return agreement.krippendorff_alpha(drawn).alpha

    assert all(map(math.isnan, agreement.bootstrap_interval(alpha, ["aa"] * 9)))
    assert all(map(math.isnan, agreement.bootstrap_interval(alpha, [["a", None]] * 9)))
    low, high = agreement.bootstrap_interval(alpha, ["aa", "bb"] * 5)
    assert (low, high) == (1, 1)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=30))
def test_kappa_is_symmetric_and_at_most_one(pairs):
    one, other = zip(*pairs, strict=True)
    found, back = agreement.cohen_kappa(one, other), agreement.cohen_kappa(other, one)
    if not math.isnan(found.kappa):
        assert found.kappa <= 1 + 1e-12
        assert found.kappa == pytest.approx(back.kappa)


@pytest.mark.parametrize("units", [[], ["a"], ["aa", "aaa"]])
def test_fleiss_refuses_what_it_cannot_compare(units):
    with pytest.raises(ArgumentError):
        agreement.fleiss_kappa(units)


@settings(deadline=None)  # the first call loads statsmodels
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_adjusted_p_values_are_ordered_and_not_smaller(p):
    for method in ("holm", "hochberg", "BH", "BY", "bonferroni"):
        found = linear_models.adjusted(p, method)
        assert all(one <= other + 1e-15 for one, other in zip(p, found, strict=True)) or method in ("BH",)
        order = np.argsort(p, kind="stable")
        assert (np.diff(np.array(found)[order]) >= -1e-12).all()


@pytest.mark.parametrize("method", ["holm", "hochberg", "BH", "BY", "bonferroni"])
def test_a_p_that_there_is_not_does_not_count(method):
    found = linear_models.adjusted([0.01, None, 0.04], method)
    assert math.isnan(found[1])
    assert found[::2] == linear_models.adjusted([0.01, 0.04], method)
    assert linear_models.adjusted([], method) == []


@pytest.fixture(scope="module")
def unbalanced():
    """70 rows of two factors whose means and variances differ, y; and statsmodels' own model of them."""
    from statsmodels.formula.api import ols

    random = np.random.default_rng(5)
    table = pd.DataFrame({"a": random.choice(list("xyz"), 70), "b": random.choice(list("uv"), 70)})
    table["y"] = random.normal(0, 1 + (table["a"] == "z"), 70) + 0.8 * (table["a"] == "y")
    model = linear_models.fit(linear_models.design(table, ("a", "b", "a:b")), table["y"].to_numpy())
    return table, model, ols("y ~ C(a, Sum) * C(b, Sum)", table).fit()


@pytest.mark.parametrize(("type_", "robust"), [(1, None), (2, None), (3, None), (2, "hc3"), (3, "hc3")])
def test_an_anova_is_the_one_that_statsmodels_makes_of_a_formula(unbalanced, type_, robust):
    from statsmodels.stats.anova import anova_lm

    _, model, other = unbalanced
    found = linear_models.white_anova(model, type_, "HC3") if robust else linear_models.anova(model, type_)
    expected = anova_lm(other, typ=type_, robust=robust).drop(index=["Intercept"], errors="ignore")
    names = ["C(a, Sum)", "C(b, Sum)", "C(a, Sum):C(b, Sum)"]
    np.testing.assert_allclose([found[term]["F"] for term in ("a", "b", "a:b")], expected["F"][names])
    np.testing.assert_allclose([found[term]["p"] for term in ("a", "b", "a:b")], expected["PR(>F)"][names])


def test_tukeys_differences_are_those_of_statsmodels(unbalanced):
    from statsmodels.stats.multicomp import pairwise_tukeyhsd

    table, _, _ = unbalanced
    groups = group_tests.groups_of(table["y"].to_numpy(), table["a"].to_numpy(), "xyz")
    df = len(table) - 3
    variance = sum(((values - values.mean()) ** 2).sum() for values in groups.values()) / df
    found = group_tests.tukey_hsd(groups, variance, df)
    expected = pairwise_tukeyhsd(table["y"], table["a"])
    np.testing.assert_allclose([row["diff"] for row in found.values()], expected.meandiffs)
    np.testing.assert_allclose([row["p"] for row in found.values()], expected.pvalues, rtol=1e-6)
    bounds = [(row["lower"], row["upper"]) for row in found.values()]
    np.testing.assert_allclose(bounds, expected.confint, rtol=1e-6)


def test_groups_that_do_not_vary_are_not_compared_by_rounding():
    random = np.random.default_rng(0)
    groups = {"x": np.full(20, 0.1), "y": np.full(20, 0.7), "z": random.normal(0, 1, 20)}
    assert list(group_tests.games_howell(groups)) == ["z-x", "z-y"]
    assert math.isnan(effect_intervals.standardised_differences(groups)["y-x"]["d"])
    with pytest.raises(ArgumentError, match="nothing varies in x, y"):
        group_tests.welch_anova(groups)
    with pytest.raises(ArgumentError, match="nothing varies"):
        group_tests.tost(groups["x"], groups["y"], 1.0)
    design = linear_models.design(pd.DataFrame({"a": list("xy") * 20}), ("a",))
    with pytest.raises(ArgumentError, match="nothing varies within"):
        linear_models.fit(design, np.array([0.1, 0.7] * 20))
    table = pd.DataFrame({"a": [name for name in "xyz" for _ in range(20)], "b": list("uv") * 30})
    y = np.concatenate(list(groups.values()))
    model = linear_models.fit(linear_models.design(table, ("a", "b", "a:b")), y)
    of = (model.design, model.coefficients, model.covariance("HC3"), model.df, "a", "none")
    pairs = linear_models.pairwise(*of)
    assert math.isnan(pairs["x - y"]["p"])
    assert pairs["x - z"]["p"] < 1
    assert math.isnan(linear_models.white_anova(model, 3, "HC3")["a:b"]["p"])


def test_distances_from_the_median_that_are_equal_are_ties():
    whole = {"x": np.arange(1.0, 10), "y": np.arange(1.0, 10)[::2] * 2, "z": np.array([3.0, 5, 6, 7, 12])}
    tenths = {name: values / 10 for name, values in whole.items()}
    assert group_tests.fligner_exact(tenths)["chi2"] == group_tests.fligner(whole)["chi2"]


def test_a_mixed_model_finds_what_was_drawn():
    random = np.random.default_rng(0)
    people, tasks = 200, 30
    person, task = np.repeat(np.arange(people), tasks), np.tile(np.arange(tasks), people)
    x = np.repeat(random.choice([-1.0, 1.0], people), tasks)
    eta = 0.3 + 0.5 * x + random.normal(0, 0.7, people)[person] + random.normal(0, 0.9, tasks)[task]
    y = (random.random(len(eta)) < 1 / (1 + np.exp(-eta))).astype(float)
    matrix = np.stack([np.ones(len(x)), x], axis=1)
    found = mixed_models.logistic(matrix, ("(Intercept)", "x"), y, {"person": person, "task": task})
    assert found.converged
    assert not found.singular
    assert abs(found.coefficients()["x"]["estimate"] - 0.5) < 3 * found.coefficients()["x"]["se"]
    assert found.random_sd["person"] == pytest.approx(0.7, abs=0.15)
    assert found.random_sd["task"] == pytest.approx(0.9, abs=0.35)


def test_a_grouping_without_effect_makes_a_singular_fit():
    y = np.tile([0.0, 1.0], 60)  # each group has as many right as wrong
    found = mixed_models.logistic(np.ones((120, 1)), ("(Intercept)",), y, {"group": np.arange(120) // 12})
    assert found.singular
    assert found.random_sd == {"group": 0}
    assert found.coefficients()["(Intercept)"]["estimate"] == pytest.approx(0, abs=1e-6)


def test_a_design_whose_rows_cannot_tell_its_coefficients_apart_is_refused_though_no_cell_is_empty():
    table = pd.DataFrame({"a": list("xxyy") * 3, "b": list("uuvv") * 3})
    with pytest.raises(ArgumentError, match=r"12 rows can tell apart, got a singular one of 3 coefficients"):
        linear_models.design(table, ("a", "b")).check()


def test_a_cumulative_model_without_effects_gives_the_logits_of_shares():
    y = np.repeat([0, 1, 2, 3], [10, 20, 30, 40])
    found = mixed_models.cumulative(np.zeros((100, 0)), (), y, {})
    np.testing.assert_allclose(
        found.estimates, np.log(np.array([0.1, 0.3, 0.6]) / [0.9, 0.7, 0.4]), atol=1e-5
    )


def test_a_bayes_factor_of_equal_groups_speaks_against_a_difference():
    values = np.linspace(-1, 1, 50)
    assert bayes_factors.two_groups(values, values)["log_BF10"] < 0
    assert bayes_factors.two_groups(values, values + 2)["log_BF10"] > 10


def test_equivalence_is_shown_within_a_wide_bound_only():
    random = np.random.default_rng(0)
    one, other = random.normal(0, 1, 100), random.normal(0, 1, 100)
    assert group_tests.tost(one, other, 1.0)["p"] < 0.05
    assert group_tests.tost(one, other, 0.01)["p"] > 0.05


def test_simulated_power_is_the_level_without_an_effect_and_grows_with_one():
    none = power.simulated_power({"a": 0.6, "b": 0.6}, 20, 14, 0.4, 0.5, runs=400, seed=1)
    large = power.simulated_power({"a": 0.4, "b": 0.8}, 20, 14, 0.4, 0.5, runs=100, seed=1)
    assert none["power"] == pytest.approx(0.05, abs=3 * 0.011 + 0.01)
    assert large["power"] > 0.95
    assert power.simulated_power({"a": 0.6, "b": 0.6}, 20, 14, 0.4, 0.5, runs=400, seed=1) == none


@pytest.mark.parametrize("spread", [(0, 0), (0.41, 1.04), (20, 20)])
def test_shares_of_a_power_are_means_over_people_and_tasks(spread):
    shares = {"a": 1e-6, "b": 0.57, "c": 0.63}
    middles = power.middle_logits(shares, *spread)
    random = np.random.default_rng(0)
    logits = middles[1:, None] + np.hypot(*spread) * random.normal(size=400_000)
    right = random.random(logits.shape) < 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(right.mean(axis=1), [0.57, 0.63], atol=0.004)
    assert power.middle_logits({"a": 0.37, "b": 0.63}, *spread).sum() == pytest.approx(0, abs=1e-8)


def test_a_run_in_which_nothing_varies_is_counted():
    found = power.simulated_power({"a": 1e-6, "b": 1 - 1e-6}, 3, 2, 0, 0, runs=5)
    assert (found["power"], found["untested"]) == (0, 5)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_simulation_runs_on_one_thread_and_puts_the_limit_back(monkeypatch, threads):
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info, threadpool_limits

    def limits():
        return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}

    inside = []
    fit = linear_models.fit
    monkeypatch.setattr(linear_models, "fit", lambda *given: inside.append(limits()) or fit(*given))
    with threadpool_limits(threads, user_api="blas"):
        power.simulated_power({"a": 0.4, "b": 0.8}, 3, 4, 0.4, 0.5, runs=2)
        assert limits() == {threads}
    assert all(one == {1} for one in inside)


def test_one_printed_figure_of_the_text_does_not_reproduce():
    assert [one.printed.statistic for one in recompute() if not one.reproduces] == [0.788]
    assert len(PRINTED) == 12


def test_roystons_p_is_scipys():
    from scipy import stats

    values = np.random.default_rng(3).gamma(2, size=96)
    found = stats.shapiro(values)
    assert shapiro_wilk_p(float(found.statistic), 96) == pytest.approx(float(found.pvalue), rel=1e-5)


def test_the_formula_of_power_is_what_the_simulation_finds_and_tells_how_many_tasks():
    shares = {"a": 0.5, "b": 0.62}
    f = power.expected_f(shares, 14, 0.4, 0.9)
    found = power.simulated_power(shares, 40, 14, 0.4, 0.9, runs=600, seed=2)["power"]
    assert power.anova_power(2, 40, f) == pytest.approx(found, abs=0.07)
    tasks = power.tasks_for(0.8, shares, 40, 0.4, 0.9)
    assert power.anova_power(2, 40, power.expected_f(shares, tasks, 0.4, 0.9)) >= 0.8
    assert power.anova_power(2, 40, power.expected_f(shares, tasks - 1, 0.4, 0.9)) < 0.8
    assert power.tasks_for(0.8, {"a": 0.5, "b": 0.51}, 10, 1.0, 0.9) is None


@settings(deadline=None)  # the first call loads SciPy
@given(st.floats(0.01, 60), st.integers(1, 5), st.integers(10, 200))
def test_the_interval_of_eta_squared_leaves_out_zero_just_when_p_is_below_05(f, df1, df2):
    from scipy import stats

    found = effect_intervals.partial_eta2(f, df1, df2)
    assert 0 <= found["eta2_lower"] <= found["eta2_upper"] < 1
    assert (found["eta2_lower"] > 1e-9) == (stats.f.sf(f, df1, df2) < 0.05 - 1e-9)


def test_the_interval_of_eta_squared_is_that_of_the_f_tests_that_its_ends_make():
    """As effectsize::F_to_eta2(12.34, 2, 88, ci = .9, alternative = "two.sided"): F = c / df1 at each end."""
    from scipy import stats

    found = effect_intervals.partial_eta2(12.34, 2, 88)
    for end, tail in (("lower", 0.95), ("upper", 0.05)):
        share = found[f"eta2_{end}"]
        noncentrality = share / (1 - share) * 88
        assert stats.ncf.cdf(12.34, 2, 88, noncentrality) == pytest.approx(tail)
        assert found[f"f_{end}"] == pytest.approx(math.sqrt(noncentrality / 88))


def test_the_interval_of_d_leaves_out_zero_just_when_the_t_test_does():
    from scipy import stats

    random = np.random.default_rng(0)
    for shift in (0.0, 0.3, 0.5, 0.7, 1.0, 30.0):
        groups = {"a": random.normal(0, 1, 30), "b": random.normal(shift, 1, 25)}
        row = effect_intervals.standardised_differences(groups)["b-a"]
        assert row["lower"] < row["d"] < row["upper"]
        assert (row["lower"] > 0 or row["upper"] < 0) == (stats.ttest_ind(*groups.values()).pvalue < 0.05)


def test_epsilon_squared_is_that_of_kruskal_and_wallis_whatever_the_order_of_rows():
    random = np.random.default_rng(0)
    groups = {name: random.integers(1, 5, 20).astype(float) + (name == "a") for name in "abc"}
    found = effect_intervals.epsilon2(groups, resamples=200)
    assert found["epsilon2"] == pytest.approx(group_tests.kruskal(groups)["epsilon2"])
    assert found["lower"] < found["epsilon2"] < found["upper"]
    assert (
        effect_intervals.epsilon2({name: row[::-1] for name, row in groups.items()}, resamples=200) == found
    )
