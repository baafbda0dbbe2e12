"""Against the first step by hand, and the objective's derivative by autograd."""

from dataclasses import replace

import pytest
import torch

from counterpoint.weighting import Losses, Problem
from counterpoint.weighting.checks import check_weighting
from counterpoint.weighting.gradnorm import GradNorm, GradNormSettings

TASKS = ("a", "b", "c")
RATE = 0.025


def made(tasks=TASKS, **settings):
    return GradNorm(tasks, tasks[:1], GradNormSettings(**settings)).double()


def of_norms(losses, norms):
    """Tasks with given losses and gradient norms on one shared number."""
    parameters = {"shared": torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))}

    def of(at):
        return Losses(
            {task: (losses[task] + norms[task] * at["shared"]).expand(2) for task in losses}
        )

    groups = {"shared": ["shared"], "last_shared": ["shared"]}
    groups |= {f"tower:{task}": [] for task in losses}
    return Problem(of, of, parameters, groups, learning_rate=0.1)


def test_two_steps_by_hand():
    """First all r are 1 and the goal is the mean norm, 3; then a and b fall faster than c."""
    weighting = made(alpha=1.0)
    norms = {"a": 1.0, "b": 2.0, "c": 6.0}
    first = weighting.fill_gradients(of_norms({"a": 2.0, "b": 4.0, "c": 1.0}, norms))
    assert first.weights == dict.fromkeys(TASKS, 1.0)
    assert first.diagnostics == {f"gradient_norm/{task}": norm for task, norm in norms.items()}
    # the first step of Adam is its rate: a and b are below the goal and rise, c falls
    w = torch.tensor([1 + RATE, 1 + RATE, 1 - RATE], dtype=torch.float64)
    w = w * 3 / w.sum()
    assert list(weighting.weight.tolist()) == pytest.approx(w.tolist())

    second = weighting.fill_gradients(of_norms({"a": 1.0, "b": 2.0, "c": 1.0}, norms))
    assert list(second.weights.values()) == pytest.approx(w.tolist())
    # ratios 1/2, 1/2, 1 over their mean 2/3 make r 0.75, 0.75, 1.5, and the goals with the mean
    # norm of 2.95 are 2.2, 2.2, 4.4
    assert weighting.weight.grad.tolist() == pytest.approx([-1.0, -2.0, 6.0])


@pytest.mark.parametrize("alpha", [0.0, 1.5])
def test_slope_is_the_derivative_of_the_objective(make_problem, draw, alpha):
    problem = make_problem({task: draw(7, seed=k) for k, task in enumerate(TASKS)}, draw(7, 3))
    weighting = made(alpha=alpha)
    weighting.initial.copy_(torch.tensor([0.9, 2.5, 1.4]))
    with torch.no_grad():
        weighting.weight.copy_(torch.tensor([0.5, 1.6, 0.9]))

    w = weighting.weight.detach().clone().requires_grad_()
    means = problem.losses(problem.parameters).means()
    last = problem.parameters["shared.weight"]  # and not the bias
    found = torch.stack(
        [
            torch.autograd.grad(w[k] * means[task], last, create_graph=True)[0].norm()
            for k, task in enumerate(TASKS)
        ]
    )
    ratios = torch.stack([means[task] for task in TASKS]).detach() / weighting.initial
    goal = (found.mean() * (ratios / ratios.mean()) ** alpha).detach()
    (expected,) = torch.autograd.grad((found - goal).abs().sum(), w)

    weighting.fill_gradients(problem)
    torch.testing.assert_close(weighting.weight.grad, expected)


def test_real_gradient_is_that_of_the_weighted_sum(make_problem, draw):
    problem = make_problem({task: draw(5, seed=k) for k, task in enumerate(TASKS)}, draw(5, 3))
    weighting = made()
    with torch.no_grad():
        weighting.weight.copy_(torch.tensor([0.5, 1.6, 0.9]))
    weights = weighting.fill_gradients(problem).weights
    means = problem.losses(problem.parameters).means()
    total = sum(weights[task] * means[task] for task in TASKS)
    expected = torch.autograd.grad(total, list(problem.parameters.values()))
    for parameter, gradient in zip(problem.parameters.values(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-12)


def test_gradients_come_to_like_norms_and_the_weights_keep_their_sum():
    weighting = made(alpha=0.0, learning_rate=0.01)
    norms = {"a": 1.0, "b": 2.0, "c": 4.0}
    for _ in range(400):
        weights = weighting.fill_gradients(of_norms(dict.fromkeys(TASKS, 1.0), norms)).weights
        assert sum(weights.values()) == pytest.approx(3.0)
        assert min(weights.values()) > 0
    for task, norm in norms.items():  # w_i proportional to 1 / norm
        assert weights[task] == pytest.approx(3 / norm / 1.75, rel=0.05)


def test_no_weight_reaches_zero():
    weighting = made(learning_rate=1.0)
    problem = of_norms(dict.fromkeys(TASKS, 1.0), {"a": 1.0, "b": 1.0, "c": 1000.0})
    for _ in range(5):
        assert min(weighting.fill_gradients(problem).weights.values()) > 0
    assert sum(weighting.weight.tolist()) == pytest.approx(3.0)


def test_a_task_without_rows_has_no_say_and_no_first_loss():
    full = of_norms(dict.fromkeys(TASKS, 1.0), {"a": 1.0, "b": 3.0, "c": 100.0})

    def without_c(at):
        found = full.losses(at).per_example
        return Losses({**found, "c": found["c"][:0]})

    weighting = made()
    weighting.fill_gradients(replace(full, losses=without_c))
    assert weighting.initial.tolist() == [1.0, 1.0, 0.0]
    assert weighting.weight.grad.tolist() == [-1.0, 3.0, 0.0]  # the goal is 2, the mean of 1 and 3


@pytest.mark.parametrize("targets", [("target",), ("target", "noise")])
@pytest.mark.parametrize("alpha", [0.0, 1.5])
def test_keeps_the_contract(targets, alpha):
    settings = GradNormSettings(alpha=alpha)
    check_weighting(lambda *names: GradNorm(*names, settings), targets=targets)
