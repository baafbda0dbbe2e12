import math
from dataclasses import replace

import pytest
import torch

from counterpoint.weighting import Losses
from counterpoint.weighting.checks import check_weighting
from counterpoint.weighting.uncertainty import Uncertainty, UncertaintySettings

LOSSES = {"rare": 0.08, "half": 0.5, "usual": 0.7, "far": 9.0}


def made(tasks=tuple(LOSSES), **settings):
    return Uncertainty(tasks, tasks[:1], UncertaintySettings(**settings))


def weights_after(weighting, steps, *problems):
    for step in range(steps):
        decision = weighting.fill_gradients(problems[step % len(problems)])
    return decision.weights


def test_weights_settle_at_one_over_the_loss(make_constant):
    """Below a loss of one half too, where clamping at zero would leave a task at weight 2."""
    weights = weights_after(made(learning_rate=0.05), 600, make_constant(LOSSES))
    for task, loss in LOSSES.items():
        assert weights[task] == pytest.approx(1 / loss, rel=0.02)


def test_log_variances_follow_the_gradient_of_the_objective(make_constant):
    weighting = made()
    with torch.no_grad():
        weighting.log_variance.copy_(torch.tensor([0.3, -1.0, 0.0, 2.0]))
    s = weighting.log_variance.detach().clone().requires_grad_()
    losses = torch.tensor(list(LOSSES.values()))
    (expected,) = torch.autograd.grad((torch.exp(-s) * losses + s).sum(), s)
    weighting.fill_gradients(make_constant(LOSSES))
    torch.testing.assert_close(weighting.log_variance.grad, expected)


@pytest.mark.parametrize("cap", [20.0, 0.5])
def test_no_weight_passes_the_cap(make_constant, cap):
    weighting = made(learning_rate=0.1, cap=cap)
    problem = make_constant({**LOSSES, "rare": 1e-4})
    for _ in range(100):
        weights = weighting.fill_gradients(problem).weights
        assert max(weights.values()) <= cap * (1 + 1e-6)
    assert weights["rare"] == pytest.approx(cap, rel=1e-6)


def test_no_weight_falls_to_nothing(make_constant):
    weighting = made(learning_rate=1.0)
    with torch.no_grad():
        weighting.log_variance.fill_(9.9)
    weights = weights_after(weighting, 3, make_constant({**LOSSES, "far": 1e9}))
    assert weights["far"] == pytest.approx(math.exp(-10), rel=1e-5)


def test_normalised_weights_have_mean_one_and_the_same_ratios(make_constant):
    weights = weights_after(made(learning_rate=0.05, normalised=True), 600, make_constant(LOSSES))
    assert sum(weights.values()) == pytest.approx(len(LOSSES), rel=1e-5)
    assert weights["rare"] / weights["usual"] == pytest.approx(0.7 / 0.08, rel=0.03)


@pytest.mark.parametrize("normalised", [False, True])
def test_gradient_is_that_of_the_weighted_sum(make_problem, draw, normalised):
    tasks = ("a", "b")
    problem = make_problem({"a": draw(5), "b": draw(5, seed=1)}, draw(5, 3))
    weighting = made(tasks, normalised=normalised)
    with torch.no_grad():
        weighting.log_variance.copy_(torch.tensor([1.0, -1.0]))
    raw = {"a": math.exp(-1), "b": math.exp(1)}
    mean = (raw["a"] + raw["b"]) / 2 if normalised else 1.0
    means = problem.losses(problem.parameters).means()
    total = sum(raw[task] / mean * means[task] for task in tasks)
    expected = torch.autograd.grad(total, list(problem.parameters.values()))
    weighting.fill_gradients(problem)
    for parameter, gradient in zip(problem.parameters.values(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-6, atol=1e-6)


def test_an_empty_batch_says_nothing(make_constant):
    """A task with fewer rows than steps: its weight is still that of the rows it has."""
    full = make_constant(LOSSES)

    def without(parameters):
        found = full.losses(parameters).per_example
        return Losses({**found, "usual": found["usual"][:0]})

    weights = weights_after(made(learning_rate=0.05), 1200, full, replace(full, losses=without))
    assert weights["usual"] == pytest.approx(1 / LOSSES["usual"], rel=0.02)
    assert weights["rare"] == pytest.approx(1 / LOSSES["rare"], rel=0.02)


@pytest.mark.parametrize("normalised", [False, True])
def test_keeps_the_contract(normalised):
    settings = UncertaintySettings(normalised=normalised)
    check_weighting(lambda tasks, targets: Uncertainty(tasks, targets, settings))
