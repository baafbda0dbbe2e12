"""SELAR: what V is shown, that it learns, and the contract."""

import pytest
import torch

from counterpoint.weighting.checks import check_weighting
from counterpoint.weighting.selar import Selar, SelarSettings

TASKS = ("a", "b", "c")


def made(tasks=TASKS, targets=("a",), **settings) -> Selar:
    torch.manual_seed(0)
    return Selar(tasks, targets, SelarSettings(**{"hidden": 16, **settings})).double()


def labels(draw, seed=20):
    return {task: draw(8, seed=seed + k) for k, task in enumerate(TASKS)}


def test_the_network_learns_from_the_label(make_problem, draw):
    """The weights of the first layer that see the label get a gradient and move."""
    problem = make_problem(labels(draw), draw(8, 3, seed=10))
    weighting = made()
    before = weighting.network[0].weight[:, -1].detach().clone()
    weighting.fill_gradients(problem)
    assert weighting.network[0].weight.grad[:, -1].norm() > 0
    assert not torch.equal(weighting.network[0].weight[:, -1], before)


def test_the_targets_mean_weight_is_its_share_of_the_rows(make_problem, draw):
    problem = make_problem(labels(draw), draw(8, 3, seed=10))
    decision = made().fill_gradients(problem)
    assert decision.weights["a"] == pytest.approx(1 / 3)
    assert decision.diagnostics["weight_sd/a"] > 0


def test_examples_with_wrong_labels_end_below_the_others(make_problem, draw):
    """Auxiliary rows with label 1 are the target's, those with label 0 its opposite."""
    truth = draw(3, seed=50)
    weighting, values, history = made(("a", "b"), learning_rate=1e-2), {}, []
    for step in range(60):
        x = draw(64, 3, seed=step)
        y, right = (x @ truth).tanh(), (torch.arange(64) % 2).double()
        problem = make_problem({"a": y, "b": torch.where(right > 0, y, -y)}, x, towers=False)
        for name, value in values.items():
            problem.parameters[name].data.copy_(value)

        def labelled(parameters, losses=problem.losses, right=right):
            found = losses(parameters)
            return type(found)(found.per_example, labels={"a": torch.zeros(64), "b": right})

        object.__setattr__(problem, "losses", labelled)
        weighting.fill_gradients(problem)
        values = {name: (p - 0.05 * p.grad).detach() for name, p in problem.parameters.items()}
        z = torch.tensor([[1.0, 0, 1, 0], [1.0, 0, 1, 1]], dtype=torch.float64)
        history.append(weighting.network(z).squeeze(-1).detach())
    wrong, right = history[-1]
    assert wrong < 0.8 * right


@pytest.mark.parametrize("targets", [("target",), ("target", "noise")])
@pytest.mark.parametrize("granularity", ["task", "example"])
def test_keeps_the_contract(reverse_aux_ts, targets, granularity):
    settings = SelarSettings(hidden=16, granularity=granularity)
    check_weighting(
        lambda tasks, targets: Selar(tasks, targets, settings),
        targets=targets,
        reorder=reverse_aux_ts,
    )
