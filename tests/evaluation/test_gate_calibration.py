"""The small version of benchmarks/gate_calibration.py, with binomial tolerance."""

import importlib.util
import sys
from pathlib import Path

import pytest
from scipy.stats import binomtest

REPETITIONS = 40
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "gate_calibration.py"


@pytest.fixture(scope="module")
def calibration():
    spec = importlib.util.spec_from_file_location("gate_calibration", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def rates(calibration):
    """Rates of each scenario, half of the variance from the seeds and half from the clusters."""
    cell = calibration.additive_cell("small", 0.5, 0.5, 0.0, n_clusters=100)
    return {
        scenario: calibration.rates(calibration.judged(cell, scenario, range(REPETITIONS)))
        for scenario in calibration.SCENARIOS
    }


@pytest.mark.parametrize(
    ("scenario", "outcome", "alternative", "target"),
    [
        ("worse", "promoted", "greater", 0.05),
        ("better", "promoted", "less", 0.80),
        ("twice", "rejected", "less", 0.80),
        ("twice", "promoted", "greater", 0.01),
    ],
)
def test_the_gate_keeps_its_promises(rates, scenario, outcome, alternative, target):
    count = round(rates[scenario][outcome]["rate"] * REPETITIONS)
    assert binomtest(count, REPETITIONS, target, alternative=alternative).pvalue > 0.001


def test_seeds_alone_would_let_harm_through_where_test_noise_rules(calibration):
    cell = calibration.additive_cell("test noise", 0.05, 0.95, 0.0, n_clusters=100)
    found = calibration.rates(calibration.judged(cell, "worse", range(REPETITIONS)))
    assert found["passed by seeds alone"]["low"] > 0.05
    assert found["promoted"]["low"] < 0.05


def test_the_auc_experiment_has_the_difference_it_states(calibration):
    (cell,) = [cell for cell in calibration.CELLS if cell.simulate is calibration.auc]
    verdicts = calibration.judged(cell, "better", range(4))
    for index, effect in enumerate((1, 0)):
        differences = [verdict.tasks[index].difference for verdict in verdicts]
        error = sum(d.delta - effect * 0.03 for d in differences) / 4
        assert abs(error) < 4 * differences[0].standard_error / 2
