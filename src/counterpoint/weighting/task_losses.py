"""A step's losses task by task, whoever orders them and whichever worker has rows of them."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from counterpoint.weighting.contract import Losses, Problem


def in_order(losses: Losses, tasks: Sequence[str]) -> Losses:
    """The same losses with the tasks in this order, so that gradients of them are, too."""
    return replace(losses, per_example={task: losses.per_example[task] for task in tasks})


def mean_losses(problem: Problem, losses: Losses, tasks: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Mean loss ``[T]`` over the workers that have rows of the task, and whether any has.

    It is 0 where none has.
    """
    means = losses.means()
    own = torch.stack([means[task].detach() for task in tasks])
    has_rows = own.new_tensor([float(len(losses.per_example[task]) > 0) for task in tasks])
    mean, share = problem.reduce(torch.stack([own, has_rows]))
    return mean / torch.where(share > 0, share, 1.0), share > 0
