import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from counterpoint.errors import UserError
from counterpoint.evaluation.difference import Difference, difference_over_seeds, holm_levels


def difference(**changes) -> Difference:
    fields = {
        "delta": 0.01,
        "seed_variance": 4e-4,
        "n_seeds": 10,
        "test_variance": 3e-5,
        "test_degrees_of_freedom": 150.0,
    }
    return Difference(**fields | changes)


def test_degrees_of_freedom_are_welchs():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=10), rng.normal(size=25) * 3
    welch = stats.ttest_ind(first, second, equal_var=False)
    ours = difference(
        delta=first.mean() - second.mean(),
        seed_variance=first.var(ddof=1),
        test_variance=second.var(ddof=1) / 25,
        test_degrees_of_freedom=24,
    )
    assert ours.degrees_of_freedom == pytest.approx(welch.df)
    assert ours.p_above(0) + ours.p_below(0) == pytest.approx(1)
    assert 2 * min(ours.p_above(0), ours.p_below(0)) == pytest.approx(welch.pvalue)
    interval = welch.confidence_interval(0.90)
    assert (ours.lower(0.05), ours.upper(0.05)) == pytest.approx((interval.low, interval.high))


def test_without_test_noise_it_is_the_paired_t_test():
    differences = np.random.default_rng(1).normal(0.3, 1, size=8)
    ours = difference_over_seeds(differences, np.zeros(2000), 100)
    expected = stats.ttest_1samp(differences, 0, alternative="greater")
    assert ours.degrees_of_freedom == 7
    assert ours.p_above(0) == pytest.approx(expected.pvalue)
    assert ours.lower(0.05) == pytest.approx(expected.confidence_interval(0.95).low)


def test_undefined_resamples_are_left_out():
    resampled = np.array([0.1, np.nan, 0.3, 0.2])
    ours = difference_over_seeds(np.array([0.2, 0.3]), resampled, 51)
    assert ours.test_variance == pytest.approx(0.01)
    assert ours.test_degrees_of_freedom == pytest.approx(1 / (1 / 50 + 1 / 2))


@given(
    delta=st.floats(-1, 1),
    bound=st.floats(-1, 1),
    level=st.floats(0.001, 0.499),
    n=st.integers(2, 30),
)
def test_bounds_and_p_values_tell_the_same(delta, bound, level, n):
    ours = difference(delta=delta, n_seeds=n)
    for beyond, p_value in (
        (ours.lower(level) - bound, ours.p_above(bound)),
        (bound - ours.upper(level), ours.p_below(bound)),
    ):
        if abs(beyond) > 1e-9:
            assert (beyond > 0) == (p_value < level)


def test_equal_models_differ_by_exactly_nothing():
    same = difference_over_seeds(np.zeros(10), np.zeros(2000), 50)
    assert same.lower(0.05) == same.upper(0.05) == 0
    assert same.p_above(-0.01) == 0
    assert same.p_above(0) == same.p_below(0) == 1


def test_one_cluster_is_no_test_set():
    with pytest.raises(UserError, match=r"test set: 1 cluster\(s\)"):
        difference_over_seeds(np.zeros(10), np.zeros(2000), 1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0.01, 0.2))
def test_holm_levels_reject_what_adjusted_p_values_reject(p_values, level):
    order = np.argsort(p_values, kind="stable")
    steps = np.array(p_values)[order] * (len(p_values) - np.arange(len(p_values)))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(steps)
    levels = holm_levels(p_values, level)
    for p_value, of_holm, own_level in zip(p_values, adjusted, levels, strict=True):
        if abs(of_holm - level) > 1e-12:
            assert (p_value < own_level) == (of_holm < level)
