"""The gradient of weighted losses, and its derivative by each weight, against plain loops."""

import pytest
import torch

from counterpoint.weighting.gradients import task_gradients
from counterpoint.weighting.per_example import along
from counterpoint.weighting.weighted_losses import Rows, WeightedLosses

SIZES = {"a": 5, "b": 3}


@pytest.fixture
def problem(make_problem, draw):
    labels = {task: draw(5, seed=20 + k) for k, task in enumerate(SIZES)}
    made = make_problem(labels, draw(5, 3, seed=10))
    whole = made.losses

    def losses(parameters):
        found = whole(parameters)
        rows = {task: found.per_example[task][:n] for task, n in SIZES.items()}
        return type(found)(rows, labels=found.labels)

    object.__setattr__(made, "losses", losses)
    return made


def weighted(problem, *, by_example: bool, method: str = "backward", in_hand: bool = False):
    counts = torch.tensor(list(SIZES.values())) if by_example else torch.ones(2, dtype=torch.int64)
    task = torch.arange(2).repeat_interleave(counts)
    empty = torch.empty(len(task), 0)

    def slopes(u):
        return along(lambda p: problem.losses(p).per_example, problem.parameters, u, method)

    losses = problem.losses(problem.parameters)
    return WeightedLosses(
        problem,
        losses,
        Rows(empty, task, counts, torch.ones(len(task)), None),
        task_gradients(problem, losses) if in_hand else None,
        by_example,
        None if method == "backward" else slopes,
    )


def row_gradients(problem, *, by_example: bool) -> list[dict[str, torch.Tensor]]:
    """The gradient of each row's loss, a pass a row."""
    losses = problem.losses(problem.parameters)
    rows = torch.cat(list(losses.per_example.values()))
    if not by_example:
        rows = torch.stack(list(losses.means().values()))
    own = problem.parameters
    return [
        dict(
            zip(
                own,
                torch.autograd.grad(
                    row, list(own.values()), retain_graph=True, materialize_grads=True
                ),
                strict=True,
            )
        )
        for row in rows
    ]


WAYS = [
    (True, "backward", False),
    (True, "double", False),
    (True, "forward", False),
    (False, "backward", False),
    (False, "forward", False),
    (False, "backward", True),
]


@pytest.mark.parametrize(("by_example", "method", "in_hand"), WAYS)
def test_every_way_is_the_loop(problem, draw, by_example, method, in_hand):
    sought = weighted(problem, by_example=by_example, method=method, in_hand=in_hand)
    single = row_gradients(problem, by_example=by_example)
    weights = draw(len(single), seed=50).abs()
    share = 1 / sought.rows.counts[sought.rows.task].double()
    u = {name: draw(*p.shape, seed=60 + k) for k, (name, p) in enumerate(single[0].items())}
    total, derivative = sought.linear(weights)
    again = sought.gradient(weights)
    for name in problem.parameters:
        expected = sum(w * s * row[name] for w, s, row in zip(weights, share, single, strict=True))
        torch.testing.assert_close(total[name], expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(again[name], expected, rtol=0, atol=1e-12)
        assert not total[name].requires_grad
    expected = torch.stack([sum((u[name] * row[name]).sum() for name in row) for row in single])
    torch.testing.assert_close(derivative(u), expected, rtol=0, atol=1e-12)


def test_losses_that_no_parameter_reaches_have_no_derivative(problem):
    fixed = problem.losses({name: p.detach() for name, p in problem.parameters.items()})
    object.__setattr__(problem, "losses", lambda parameters: fixed)
    total, derivative = weighted(problem, by_example=True).linear(
        torch.ones(8, dtype=torch.float64)
    )
    assert all(not part.any() for part in total.values())
    assert derivative(dict(problem.parameters)).tolist() == [0.0] * 8


def test_the_model_is_not_evaluated_again(problem):
    """Forward mode does; the default's pass goes back through what is there."""
    counted = []
    whole = problem.losses
    object.__setattr__(
        problem, "losses", lambda parameters: (counted.append(1), whole(parameters))[1]
    )
    for method, times in (("backward", 1), ("forward", 2), ("double", 2), ("difference", 3)):
        counted.clear()
        _, derivative = weighted(problem, by_example=True, method=method).linear(
            torch.ones(8, dtype=torch.float64)
        )
        derivative(dict(problem.parameters))
        assert len(counted) == times
