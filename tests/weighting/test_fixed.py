import torch

from counterpoint.weighting.checks import check_weighting
from counterpoint.weighting.fixed import Fixed, FixedSettings

TASKS = ("a", "b", "c")


def sum_of_gradients(problem, weights):
    means = problem.losses(problem.parameters).means()
    total = sum(weights[task] * means[task] for task in TASKS)
    return torch.autograd.grad(total, list(problem.parameters.values()))


def test_plain_sum(make_problem, draw):
    problem = make_problem({task: draw(5, seed=k) for k, task in enumerate(TASKS)}, draw(5, 3))
    decision = Fixed(TASKS, ("a",), FixedSettings()).fill_gradients(problem)
    expected = sum_of_gradients(problem, dict.fromkeys(TASKS, 1.0))
    for parameter, gradient in zip(problem.parameters.values(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-12)
    assert decision.weights == dict.fromkeys(TASKS, 1.0)
    means = problem.losses(problem.parameters).means()
    assert decision.losses == {task: float(mean.detach()) for task, mean in means.items()}


def test_given_weights_and_one_for_the_others(make_problem, draw):
    problem = make_problem({task: draw(5, seed=k) for k, task in enumerate(TASKS)}, draw(5, 3))
    weighting = Fixed(TASKS, ("a",), FixedSettings(weights={"b": 0.25, "c": 0.0, "gone": 9.0}))
    assert weighting.fill_gradients(problem).weights == {"a": 1.0, "b": 0.25, "c": 0.0}
    expected = sum_of_gradients(problem, {"a": 1.0, "b": 0.25, "c": 0.0})
    for parameter, gradient in zip(problem.parameters.values(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-12)
    assert not problem.parameters["tower.c"].grad.any()


def test_a_twin_is_not_weakened_by_the_weights_of_the_joint_model():
    settings = FixedSettings(weights={"a": 0.01})
    assert Fixed(("a",), ("a",), settings).weights == {"a": 1.0}
    assert Fixed(("a", "b"), ("a",), settings).weights == {"a": 0.01, "b": 1.0}


def test_keeps_the_contract():
    check_weighting(
        lambda tasks, targets: Fixed(tasks, targets, FixedSettings(weights={"noise": 0.5}))
    )
