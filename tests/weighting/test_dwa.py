"""Against the formula, over epochs of given losses."""

import math
from dataclasses import replace

import pytest
import torch

from counterpoint.weighting import Losses
from counterpoint.weighting.checks import check_weighting
from counterpoint.weighting.dwa import DWA, DWASettings

TASKS = ("a", "b")
# two batches an epoch
EPOCHS = [
    [{"a": 1.0, "b": 4.0}, {"a": 3.0, "b": 6.0}],
    [{"a": 0.5, "b": 5.0}, {"a": 1.5, "b": 5.0}],
    [{"a": 1.0, "b": 4.0}, {"a": 1.0, "b": 2.0}],
    [{"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 1.0}],
]


def made(tasks=TASKS, targets=("a",), temperature=2.0):
    return DWA(tasks, targets, DWASettings(temperature=temperature))


def weights_by_epoch(weighting, make_constant, epochs, first=0):
    found = []
    for epoch, batches in enumerate(epochs, start=first):
        steps = [
            weighting.fill_gradients(replace(make_constant(losses), epoch=epoch)).weights
            for losses in batches
        ]
        assert all(step == steps[0] for step in steps)
        found.append(steps[0])
    return found


def by_formula(ratios, temperature):
    powers = [math.exp(r / temperature) for r in ratios]
    return dict(zip(TASKS, (2 * p / sum(powers) for p in powers), strict=True))


@pytest.mark.parametrize("temperature", [2.0, 0.5])
def test_weights_follow_the_ratios_of_the_two_last_epochs(make_constant, temperature):
    found = weights_by_epoch(made(temperature=temperature), make_constant, EPOCHS)
    assert found[0] == found[1] == {"a": 1.0, "b": 1.0}
    # epoch means of a: 2, 1, 1; of b: 5, 5, 3
    assert found[2] == pytest.approx(by_formula((1 / 2, 5 / 5), temperature))
    assert found[3] == pytest.approx(by_formula((1 / 1, 3 / 5), temperature))


def test_state_between_and_inside_epochs_is_kept(make_constant):
    kept = made()
    weights_by_epoch(kept, make_constant, EPOCHS[:1])
    kept.fill_gradients(replace(make_constant(EPOCHS[1][0]), epoch=1))
    resumed = made()
    resumed.load_state_dict(kept.state_dict())
    for weighting in (kept, resumed):
        weighting.fill_gradients(replace(make_constant(EPOCHS[1][1]), epoch=1))
    first, second = (weights_by_epoch(w, make_constant, EPOCHS[2:], 2) for w in (kept, resumed))
    assert first == second
    assert first[0] == pytest.approx(by_formula((1 / 2, 5 / 5), 2.0))


@pytest.fixture
def without_b(make_constant):
    """The problem of given losses whose batch has no rows of b."""

    def problem(losses):
        full = make_constant(losses)

        def of(at):
            found = full.losses(at).per_example
            return Losses({**found, "b": found["b"][:0]})

        return replace(full, losses=of)

    return problem


def test_batches_without_rows_are_no_losses_of_zero(make_constant, without_b):
    weighting = made()
    weights_by_epoch(weighting, make_constant, EPOCHS[:2])
    weighting.fill_gradients(replace(without_b({"a": 1.0, "b": 9.0}), epoch=1))
    found = weighting.fill_gradients(replace(make_constant(EPOCHS[2][0]), epoch=2)).weights
    assert found == pytest.approx(by_formula((1 / 2, 5 / 5), 2.0))


def test_an_epoch_without_rows_leaves_what_is_known(make_constant, without_b):
    weighting = made()
    weights_by_epoch(weighting, make_constant, EPOCHS[:3])
    weighting.fill_gradients(replace(without_b({"a": 4.0, "b": 9.0}), epoch=3))
    found = weighting.fill_gradients(replace(make_constant(EPOCHS[3][0]), epoch=4)).weights
    assert found == pytest.approx(by_formula((4 / 1, 3 / 5), 2.0))


def test_gradient_is_that_of_the_weighted_sum(make_problem, draw):
    problem = make_problem({"a": draw(5), "b": draw(5, seed=1)}, draw(5, 3))
    weighting = made()
    weighting.last.copy_(torch.tensor([1.0, 3.0]))
    weighting.before.copy_(torch.tensor([2.0, 3.0]))
    weights = weighting.fill_gradients(problem).weights
    assert weights == pytest.approx(by_formula((0.5, 1.0), 2.0))
    means = problem.losses(problem.parameters).means()
    expected = torch.autograd.grad(
        sum(weights[task] * means[task] for task in TASKS), list(problem.parameters.values())
    )
    for parameter, gradient in zip(problem.parameters.values(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-12)


class EveryStepAnEpoch(DWA):
    """Without it the checks, which stay in one epoch, would see weights of 1 alone."""

    def fill_gradients(self, problem):
        return super().fill_gradients(replace(problem, epoch=int(self.epoch) + 1))


@pytest.mark.parametrize("targets", [("target",), ("target", "noise")])
@pytest.mark.parametrize("kind", [DWA, EveryStepAnEpoch])
def test_keeps_the_contract(targets, kind):
    check_weighting(lambda *names: kind(*names, DWASettings()), targets=targets)
