import numpy as np
import pytest
from scipy.stats import ks_2samp

from counterpoint.data.distributions import distribution
from counterpoint.evaluation.drift import (
    Drift,
    DriftSettings,
    fact_changes,
    page,
    population_stability,
    shift,
)

SETTINGS = DriftSettings()


def drawn(seed: int, n: int, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, size=n)


def test_psi_is_a_plain_sum():
    before, today = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    by_hand = sum((q - p) * np.log(q / p) for p, q in zip(before, today, strict=True))
    many = 10**9
    assert population_stability(before, many, today, many) == pytest.approx(by_hand)
    assert population_stability(before, 10, before, 10) == 0
    empty = population_stability(np.array([1.0, 0.0]), 9, np.array([0.0, 1.0]), 19)
    by_hand = (0.025 - 0.95) * np.log(0.025 / 0.95) + (0.975 - 0.05) * np.log(0.975 / 0.05)
    assert empty == pytest.approx(by_hand)


def test_ks_is_scipys_to_the_hundredth_that_the_points_give():
    then, today = drawn(0, 3000), drawn(1, 2000, 0.3)
    found = shift("x", distribution(then), today, SETTINGS)
    exact = ks_2samp(then, today).statistic
    assert exact - 0.011 <= found.ks <= exact
    few = np.random.default_rng(2).integers(0, 6, 500), np.random.default_rng(3).integers(0, 8, 400)
    found = shift("x", distribution(few[0]), few[1], SETTINGS)
    assert found.ks == pytest.approx(ks_2samp(*few).statistic)


def test_bins_are_tenths_of_the_reference():
    then = drawn(0, 5000)
    today = drawn(1, 5000, 0.5)
    found = shift("x", distribution(then), today, SETTINGS)
    cuts = np.quantile(then, np.arange(1, 10) / 10, method="inverted_cdf")
    shares = [
        np.histogram(values, [-np.inf, *np.nextafter(cuts, np.inf), np.inf])[0] / 5000
        for values in (then, today)
    ]
    expected = population_stability(shares[0], 5000, shares[1], 5000)
    assert found.psi == pytest.approx(expected, rel=0.01)


def test_no_alarm_where_nothing_has_changed_and_one_where_something_has():
    """Small samples: there the thresholds alone would be crossed by chance."""
    above = alarms = 0
    for seed in range(300):
        found = shift("x", distribution(drawn(seed, 60)), drawn(seed + 1000, 60), SETTINGS)
        above += found.psi > SETTINGS.psi or found.ks > SETTINGS.ks
        alarms += found.drifted
    assert above > 100
    assert alarms <= 6
    for seed in range(20):
        assert shift(
            "x", distribution(drawn(seed, 500)), drawn(seed + 1, 500, 1.0), SETTINGS
        ).drifted


def test_a_change_that_does_not_matter_is_none_however_sure():
    found = shift("x", distribution(drawn(0, 200_000)), drawn(1, 200_000, 0.05), SETTINGS)
    assert found.ks > found.ks_by_chance
    assert not found.drifted


def test_categories_have_a_psi_and_no_ks():
    then, today = np.array(["a"] * 700 + ["b"] * 300), np.array(["a"] * 300 + ["c"] * 700)
    found = shift("x", distribution(then), today, SETTINGS)
    shares = np.array([0.7, 0.3, 0.0]), np.array([0.3, 0.0, 0.7])
    assert found.psi == pytest.approx(population_stability(shares[0], 1000, shares[1], 1000))
    assert found.ks is None
    assert found.drifted
    assert not shift("x", distribution(then), then, SETTINGS).drifted


def test_a_constant_that_stays_and_one_that_moves():
    then = distribution(np.ones(100))
    assert shift("x", then, np.ones(50), SETTINGS).psi == 0
    assert shift("x", then, np.zeros(50), SETTINGS).ks == 0
    assert shift("x", then, np.full(50, 2.0), SETTINGS).drifted


def test_facts_change_relatively_appear_and_vanish():
    then = {"a": 100.0, "b": 0.0, "c": 0.0, "gone": 1.0}
    today = {"a": 124.0, "b": 0.01, "c": 0.02, "new": 1.0}
    drifted = {one.name: one.drifted for one in fact_changes(then, today, SETTINGS)}
    assert drifted == {"a": False, "b": False, "c": True, "gone": True, "new": True}
    assert fact_changes({"a": 100.0}, {"a": 126.0}, SETTINGS)[0].drifted


def test_the_page_names_what_drifted_and_needs_nothing_else():
    drift = Drift(
        model="market",
        version=3,
        thresholds=SETTINGS,
        features=[shift("user.<age>", distribution(drawn(0, 500)), drawn(1, 500, 2.0), SETTINGS)],
        facts=fact_changes({"user: nodes": 3.0}, {"user: nodes": 3.0}, SETTINGS),
        predictions=[],
        notes=["feature x is new"],
        report=None,
    )
    assert drift.drifted == ["feature user.<age>"]
    html = page(drift)
    assert "1 drifted" in html
    assert "user.&lt;age&gt;" in html
    assert "feature x is new" in html
    assert "http" not in html
    assert "<script" not in html
    assert "The registry has no report" in html
    assert "href" not in html
    linked = page(drift.model_copy(update={"report": "report.html"}))
    assert '<a href="report.html">The version' in linked
