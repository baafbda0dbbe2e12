"""Dynamic weight average (Liu et al. 2019, arXiv 1803.10704, eq. 7)."""

import torch
from pydantic import PositiveFloat
from torch import Tensor

from counterpoint.data.schema import Strict
from counterpoint.weighting.contract import (
    Decision,
    Problem,
    Weighting,
    as_floats,
    set_gradients,
)
from counterpoint.weighting.gradients import TINY
from counterpoint.weighting.task_losses import mean_losses


class DWASettings(Strict):
    """A high ``temperature`` makes the weights alike."""

    temperature: PositiveFloat = 2.0


class DWA(Weighting):
    r"""Weigh by how slowly each loss fell between the two last epochs.

    .. math::  w_k(e) = T \frac{e^{r_k / \tau}}{\sum_i e^{r_i / \tau}},
               \qquad r_k = \frac{L_k(e - 1)}{L_k(e - 2)}

    L is the mean over the epoch's batches with rows of the task. In the first two epochs, and for
    a task of which less is known, r is 1.
    """

    total: Tensor  # [T] sums over this epoch's batches
    batches: Tensor  # [T]
    last: Tensor  # [T] mean losses of the epoch before, 0 if unknown
    before: Tensor  # [T] and of the one before that
    epoch: Tensor

    def __init__(
        self, tasks: tuple[str, ...], targets: tuple[str, ...], settings: DWASettings
    ) -> None:
        super().__init__(tasks, targets)
        self.temperature = settings.temperature
        for name in ("total", "batches", "last", "before"):
            self.register_buffer(name, torch.zeros(len(tasks)))
        self.register_buffer("epoch", torch.tensor(0))

    def fill_gradients(self, problem: Problem) -> Decision:
        """One backward pass of the weighted sum."""
        if problem.epoch != int(self.epoch):
            self._begin(problem.epoch)
        losses = problem.losses(problem.parameters)
        weights = dict(zip(self.tasks, self.weights().tolist(), strict=True))
        set_gradients(problem, losses.weighted_sum(weights))
        means, has_rows = mean_losses(problem, losses, self.tasks)
        self.total += means.to(self.total)
        self.batches += has_rows
        return Decision(as_floats(losses.means()), weights)

    def weights(self) -> Tensor:
        """``[T]`` weights of this epoch, of sum T."""
        known = (self.before > 0) & (self.last > 0)
        ratios = torch.where(known, self.last / self.before.clamp(min=TINY), 1.0)
        return len(self.tasks) * torch.softmax(ratios / self.temperature, dim=0)

    def _begin(self, epoch: int) -> None:
        # what is known of a task without a batch last epoch stays
        seen = self.batches > 0
        self.before.copy_(torch.where(seen, self.last, self.before))
        self.last.copy_(torch.where(seen, self.total / self.batches.clamp(min=1), self.last))
        self.total.zero_()
        self.batches.zero_()
        self.epoch.fill_(epoch)
