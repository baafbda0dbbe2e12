"""The calibration on trained models: effects are what they are said to be, repetitions repeat."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from benchmarks.gate_trained import (
    OTHER,
    SCENARIOS,
    SETUP,
    Cell,
    Models,
    Setup,
    measured,
    moved,
    repetition_result,
    results,
    rows_of_users,
    seed_mean,
    strength_of,
)
from counterpoint.errors import UserError
from counterpoint.files import write_json
from counterpoint.metrics import Parts

SMALL = Setup(
    market={"interactions": 2000, "temperature": 0.2, "split": {"valid": 0.2, "test": 0.4}},
    training=SETUP.training.model_copy(update={"epochs": 3, "evaluate_every": 3}),
    cells=(Cell("small", "logloss", 40, {"click": 0.01, "complaint": 0.01}),),
    n_seeds=2,
)


@pytest.fixture
def models() -> Models:
    """Three seeds a side whose logits are Bayes' with noise; the tasks have nothing in common."""
    rng = np.random.default_rng(0)
    user, row = np.repeat(np.arange(100), 10), np.arange(1000)
    twin, joint, bayes = {}, {}, {}
    for task in OTHER:
        truth = 2 * rng.normal(size=1000)
        label = rng.random(1000) < expit(truth)

        def scored(noise: float, truth=truth, label=label) -> Parts:
            score = expit(truth + noise * rng.normal(size=1000))
            return Parts("binary", user, row, label, score)

        bayes[task, "test"] = scored(0.0)
        twin[task, "test"] = [scored(1.5) for _ in range(3)]
        joint[task, "test"] = [scored(1.5) for _ in range(3)]
    return Models(twin, joint, bayes)


@pytest.mark.parametrize("effect", [-0.04, -0.02, 0.0, 0.02])
@pytest.mark.parametrize("metric", ["auc", "logloss"])
@pytest.mark.parametrize("task", list(OTHER))
def test_the_strength_reaches_the_effect_on_the_population(models, task, metric, effect):
    strength = strength_of(models, task, metric, effect)
    start = seed_mean(metric, models.joint[task, "test"])
    found = seed_mean(metric, moved(models, task, "test", strength)) - start
    assert found == pytest.approx(effect, abs=3e-4)
    assert np.sign(strength) == np.sign(effect)


def test_an_effect_out_of_reach_is_refused(models):
    with pytest.raises(UserError, match="no strength moves auc by"):
        strength_of(models, "click", "auc", 0.3)


def test_a_user_drawn_twice_is_two_clusters_of_the_same_rows(models):
    parts = models.bayes["click", "test"]
    shuffled = np.random.default_rng(1).permutation(len(parts))
    columns = (parts.cluster, parts.row, parts.label, parts.score)
    parts = Parts("binary", *(column[shuffled] for column in columns))
    rows, cluster = rows_of_users(parts, np.array([7, 3, 7]))
    assert parts.cluster[rows].tolist() == 10 * [7] + 10 * [3] + 10 * [7]
    assert np.array_equal(rows[:10], rows[20:])
    assert cluster.tolist() == 10 * [0] + 10 * [1] + 10 * [2]


@pytest.fixture(scope="module")
def repetition():
    return repetition_result(SMALL, 3) | {"commit": "none"}


def test_a_repetition_is_deterministic(repetition):
    again = repetition_result(SMALL, 3)
    for measured_again in ("cells", "auc"):
        assert repetition[measured_again] == again[measured_again]


def test_scenarios_differ_by_their_effects_alone(repetition):
    scenarios = repetition["cells"]["small"]
    for scenario, (in_turn, other) in SCENARIOS.items():
        assert scenarios[scenario]["effects"] == {"complaint": in_turn, "click": other}
    unmoved = scenarios["better"]["population"]["click"]  # what the seeds alone differ by
    assert abs(unmoved) > 0.01
    for scenario in ("worse", "twice"):
        assert scenarios[scenario]["population"]["click"] - unmoved == pytest.approx(1, abs=0.05)


def test_results_are_read_and_what_was_left_out_is_counted(repetition, tmp_path: Path):
    for number, result in enumerate([repetition, {"left_out": "out of reach"}, repetition]):
        write_json(tmp_path / SMALL.digest[:16] / f"{number}.json", result)
    cell = measured(SMALL, SMALL.cells[0], results(SMALL, range(3), tmp_path))
    assert cell["repetitions"] == 2
    assert cell["left_out"] == ["out of reach"]
    assert len(cell["promises"]) == 4


def test_the_digest_moves_with_every_setting():
    other = (dataclasses.replace(SMALL, n_seeds=3), dataclasses.replace(SMALL, market={}))
    assert len({SMALL.digest, *(one.digest for one in other)}) == 3
