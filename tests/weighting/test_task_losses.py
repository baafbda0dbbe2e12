import torch

from counterpoint.weighting import Losses, Problem
from counterpoint.weighting.task_losses import in_order, mean_losses


def test_the_order_is_what_it_is_told():
    losses = Losses({"a": torch.ones(1), "b": torch.zeros(2)}, penalty=3.0)
    ordered = in_order(losses, ("b", "a"))
    assert list(ordered.means()) == ["b", "a"]
    assert ordered.penalty == 3.0


def test_a_worker_without_rows_does_not_halve_the_loss():
    own = Losses({"a": torch.tensor([1.0, 3.0]), "b": torch.zeros(0), "c": torch.tensor([4.0])})
    other = torch.tensor([[6.0, 0.0, 0.0], [1.0, 0.0, 0.0]])  # means, and whether there are rows
    problem = Problem(
        lambda at: own, lambda at: own, {}, {}, 0.1, reduce=lambda value: (value + other) / 2
    )
    means, has_rows = mean_losses(problem, own, ("a", "b", "c"))
    assert means.tolist() == [4.0, 0.0, 4.0]
    assert has_rows.tolist() == [True, False, True]
