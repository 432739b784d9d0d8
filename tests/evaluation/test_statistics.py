import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("scipy")
pytest.importorskip("statsmodels")

from scipy import stats

from occlumap.errors import ArgumentError
from occlumap.evaluation.statistics import Interval, Paired, holm, mean_interval, paired, smallest_p

VALUES = np.array([0.31, 0.55, 0.42, 0.12, 0.77, 0.45, 0.38, 0.61, 0.5, 0.29])
finite = st.floats(-1e6, 1e6, allow_subnormal=False)


def test_the_interval_is_that_of_scipy():
    of = stats.bootstrap(
        (VALUES,), np.mean, n_resamples=9999, method="BCa", random_state=np.random.default_rng(4)
    ).confidence_interval
    found = mean_interval(VALUES, seed=4)
    np.testing.assert_allclose((found.low, found.high), (of.low, of.high), rtol=1e-12)
    assert (found.mean, found.n) == (VALUES.mean(), 10)


def test_the_interval_is_near_that_of_students_t_for_many_normal_values():
    values = np.random.default_rng(0).normal(2, 3, 400)
    found = mean_interval(values)
    expected = stats.t.interval(0.95, 399, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose((found.low, found.high), expected, atol=0.03)


def test_nineteen_of_twenty_intervals_hold_the_true_mean():
    rng = np.random.default_rng(0)
    intervals = [mean_interval(rng.exponential(size=60), seed=seed) for seed in range(150)]
    held = np.mean([one.low <= 1 <= one.high for one in intervals])
    assert 0.9 <= held <= 0.99


def test_same_values_and_seed_same_interval_and_another_seed_another():
    assert mean_interval(VALUES, seed=1) == mean_interval(VALUES, seed=1)
    assert mean_interval(VALUES, seed=1) != mean_interval(VALUES, seed=2)


def test_one_value_has_no_interval_and_none_has_no_mean():
    one, none = mean_interval([0.5]), mean_interval([])
    assert (one.mean, one.n) == (0.5, 1)
    assert none.n == 0
    assert all(map(math.isnan, (one.low, one.high, none.mean, none.low, none.high)))


def test_equal_values_have_an_interval_of_no_width():
    assert mean_interval([0.25] * 7) == Interval(0.25, 0.25, 0.25, 7)
    sums = mean_interval([0.3, 0.1 + 0.2, 0.3])  # equal but for rounding
    assert sums.low == sums.high == sums.mean


def test_huge_and_tiny_values_have_intervals():
    for scale in (2.0**800, 2.0**-800):  # exact, so that ties stay ties
        found, plain = mean_interval(VALUES * scale), mean_interval(VALUES)
        np.testing.assert_allclose(
            (found.low / scale, found.high / scale), (plain.low, plain.high), rtol=1e-9
        )


@given(st.lists(finite, min_size=2, max_size=12), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_an_interval_lies_within_the_values(values, seed):
    found = mean_interval(values, seed)
    slack = 1e-9 * max(map(abs, values))
    assert min(values) - slack <= found.low <= found.high <= max(values) + slack


def test_p_is_the_share_of_sign_combinations_as_far_from_zero():
    a = np.array([0.5, 0.7, 0.2, 0.9, 0.4, 0.8])
    b = np.array([0.4, 0.3, 0.3, 0.5, 0.35, 0.6])
    d = a - b
    flipped = [abs(np.mean(d * signs)) for signs in itertools.product((1, -1), repeat=6)]
    assert paired(a, b).p == pytest.approx(np.mean(np.array(flipped) >= abs(d.mean()) - 1e-12))


def test_p_of_a_constant_difference_is_the_smallest_that_there_is():
    for n in (2, 5, 10, 15, 30):  # of 16 to 22, random signs may be all the same
        found = paired(np.full(n, 0.75), np.full(n, 0.5))
        assert found.p == pytest.approx(smallest_p(n))
        assert (found.difference, found.low, found.high, found.n) == (0.25, 0.25, 0.25, n)


def test_random_sign_flips_agree_with_students_paired_t():
    rng = np.random.default_rng(3)
    a = rng.normal(0.03, 0.1, 60)
    expected = stats.ttest_1samp(a, 0).pvalue
    assert 0.005 < expected < 0.2
    assert paired(a, np.zeros(60)).p == pytest.approx(expected, abs=0.01)


def test_equal_methods_differ_by_nothing():
    assert paired(VALUES, VALUES) == Paired(0.0, 0.0, 0.0, 1.0, 10)
    assert not paired(VALUES, VALUES).excludes_zero


def test_turned_round_the_difference_changes_sign_and_p_stays():
    one, other = paired(VALUES, VALUES[::-1] * 0.8), paired(VALUES[::-1] * 0.8, VALUES)
    assert one.difference == pytest.approx(-other.difference)
    assert one.p == pytest.approx(other.p)


def test_one_photograph_shows_no_difference():
    found = paired([0.9], [0.1])
    assert (found.difference, found.p, found.n) == (0.8, 1.0, 1)
    assert math.isnan(found.low)
    assert not found.excludes_zero


def test_no_photograph_has_no_p():
    found = paired([], [])
    assert found.n == 0
    assert math.isnan(found.p)
    assert math.isnan(found.difference)


def test_an_interval_that_ends_at_zero_holds_zero():
    assert not Paired(0.1, 0.0, 0.2, 0.01, 9).excludes_zero
    assert Paired(0.1, 0.01, 0.2, 0.01, 9).excludes_zero
    assert Paired(-0.1, -0.2, -0.01, 0.01, 9).excludes_zero


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, and none below the one before
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1.0, 1.0])


def test_holm_counts_no_test_that_could_not_be_made():
    np.testing.assert_allclose(holm([math.nan, 0.01, 0.02]), [math.nan, 0.02, 0.02])
    assert holm([]).shape == (0,)
    assert np.isnan(holm([math.nan])).all()


@pytest.mark.parametrize("values", [[0.1, math.nan], [math.inf, 1.0], [[0.1, 0.2]]])
def test_values_that_are_no_row_of_finite_numbers_are_refused(values):
    with pytest.raises(ArgumentError, match="expected values to be one row of finite numbers"):
        mean_interval(values)


def test_rows_of_different_length_are_not_paired():
    with pytest.raises(ArgumentError, match="keep only the photographs that both methods have"):
        paired([0.1, 0.2], [0.1])


@pytest.mark.parametrize("p", [[1.5], [-0.1], [[0.1]]])
def test_no_p_values_are_refused(p):
    with pytest.raises(ArgumentError, match="numbers from 0 to 1"):
        holm(p)
