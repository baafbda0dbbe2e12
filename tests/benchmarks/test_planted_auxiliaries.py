import pytest

from benchmarks.planted_auxiliaries import ARMS, EPOCHS, dropped_after, summary

ARMS_BUT_NONE = [arm for arm in ARMS if arm != "none"]


def test_dropped_is_what_stays_below_half_of_the_mean_weight():
    assert dropped_after([1.0, 0.4, 0.6, 0.4, 0.3]) == 3
    assert dropped_after([0.4, 0.3]) == 0
    assert dropped_after([0.4, 0.5]) is None


def test_levels_are_over_the_mean_of_all_tasks():
    """Late weighs as much as all others until its turn, and nothing two epochs after it."""
    half = EPOCHS // 2
    weights = {task: [2.0] * EPOCHS for task in ("click", "helpful", "competing", "random")}
    weights["late"] = [2.0] * (half + 2) + [0.0] * (half - 2)
    arms = {arm: {"auc": 0.7, "weights": weights} for arm in ARMS_BUT_NONE}
    markets = [{"none": {"auc": auc, "weights": {"click": [1.0]}}, **arms} for auc in (0.5, 0.6)]
    rows = {row["arm"]: row for row in summary(markets)}
    assert "levels" not in rows["none"]
    assert rows["fixed"]["gain"] == pytest.approx(0.15)
    assert rows["fixed"]["first_half"] == dict.fromkeys(weights, 1.0)
    assert rows["fixed"]["levels"]["click"][-1] == 1.25
    assert rows["fixed"]["dropped_after"] == {"competing": None, "random": None, "late": 2}
