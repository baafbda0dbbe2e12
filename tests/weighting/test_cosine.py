"""Against the sums written out from explicit gradients."""

import pytest
import torch
from torch.nn import functional as F

from counterpoint.weighting import Losses, Problem
from counterpoint.weighting.checks import check_weighting
from counterpoint.weighting.cosine import Cosine, CosineSettings

TASKS = ("a", "b", "c", "d")


def linear(**gradients):
    """A problem whose shared gradients are the given vectors, with a tower each of gradient 2."""
    names = [f"tower.{task}" for task in gradients]
    parameters = {"shared": torch.nn.Parameter(torch.zeros(2))}
    parameters |= {name: torch.nn.Parameter(torch.zeros(1)) for name in names}

    def losses(at):
        return Losses(
            {
                task: (at["shared"] @ torch.tensor(g) + 2 * at[f"tower.{task}"]).expand(3)
                for task, g in gradients.items()
            }
        )

    groups = {"shared": ["shared"], "last_shared": ["shared"]}
    groups |= {f"tower:{task}": [f"tower.{task}"] for task in gradients}
    return Problem(losses, losses, parameters, groups, learning_rate=0.1)


@pytest.mark.parametrize(("weighted", "expected"), [(False, [4.0, 4.0]), (True, [2.8, 2.4])])
def test_what_points_away_or_across_is_left_out(weighted, expected):
    """b agrees by 0.6, c is at a right angle, which is not agreement, and d points away."""
    problem = linear(a=[1.0, 0.0], b=[3.0, 4.0], c=[0.0, -1.0], d=[-1.0, 5.0])
    decision = Cosine(TASKS, ("a",), CosineSettings(weighted=weighted)).fill_gradients(problem)
    torch.testing.assert_close(problem.parameters["shared"].grad, torch.tensor(expected))
    for task in TASKS:
        assert problem.parameters[f"tower.{task}"].grad.item() == 2.0
    assert decision.weights == dict.fromkeys(TASKS, 1.0)
    scale = 0.6 if weighted else 1.0
    found = [decision.diagnostics[f"shared_weight/{task}"] for task in TASKS]
    assert found == pytest.approx([1.0, scale, 0.0, 0.0])
    assert decision.diagnostics["cosine/b~targets"] == pytest.approx(0.6)


@pytest.mark.parametrize("targets", [("a",), ("a", "c")])
@pytest.mark.parametrize("weighted", [False, True])
def test_against_explicit_gradients(make_problem, draw, targets, weighted):
    problem = make_problem({task: draw(7, seed=k) for k, task in enumerate(TASKS)}, draw(7, 3))
    shared = [problem.parameters[name] for name in problem.groups["shared"]]
    means = problem.losses(problem.parameters).means()
    flat = {
        task: torch.cat(
            [g.flatten() for g in torch.autograd.grad(means[task], shared, retain_graph=True)]
        )
        for task in TASKS
    }
    target = sum(flat[task] for task in targets)
    expected = target.clone()
    for task in set(TASKS) - set(targets):
        cosine = F.cosine_similarity(flat[task], target, dim=0)
        if cosine > 0:
            expected += flat[task] * (cosine if weighted else 1)
    weighting = Cosine(TASKS, targets, CosineSettings(weighted=weighted))
    weighting.fill_gradients(problem)
    found = torch.cat([parameter.grad.flatten() for parameter in shared])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("targets", [("target",), ("target", "noise")])
@pytest.mark.parametrize("weighted", [False, True])
def test_keeps_the_contract(targets, weighted):
    settings = CosineSettings(weighted=weighted)
    check_weighting(lambda *names: Cosine(*names, settings), targets=targets)
