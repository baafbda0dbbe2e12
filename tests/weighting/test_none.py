import pytest
import torch

from counterpoint.weighting.checks import check_weighting
from counterpoint.weighting.none import NoHelp, NoHelpSettings

TASKS = ("a", "b", "c")


@pytest.mark.parametrize("targets", [("a",), ("a", "c")])
def test_the_targets_alone_are_trained(make_problem, draw, targets):
    problem = make_problem({task: draw(5, seed=k) for k, task in enumerate(TASKS)}, draw(5, 3))
    decision = NoHelp(TASKS, targets, NoHelpSettings()).fill_gradients(problem)
    means = problem.losses(problem.parameters).means()
    total = sum(means[task] for task in targets)
    expected = torch.autograd.grad(total, list(problem.parameters.values()), materialize_grads=True)
    for parameter, gradient in zip(problem.parameters.values(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-12)
    assert not problem.parameters["tower.b"].grad.any()
    assert decision.weights == {task: float(task in targets) for task in TASKS}
    assert set(decision.losses) == set(TASKS)


@pytest.mark.parametrize("targets", [("target",), ("target", "noise")])
def test_keeps_the_contract(targets):
    check_weighting(lambda *names: NoHelp(*names, NoHelpSettings()), targets=targets)
