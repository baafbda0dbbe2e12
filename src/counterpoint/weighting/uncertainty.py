"""Homoscedastic uncertainty weighting (Kendall et al. 2018, in the form of MoGENet eq. 6)."""

import math

import torch
from pydantic import PositiveFloat
from torch import nn

from counterpoint.data.schema import Strict
from counterpoint.weighting.contract import (
    Decision,
    Problem,
    Weighting,
    as_floats,
    set_gradients,
)


class UncertaintySettings(Strict):
    """``cap`` bounds every weight; ``normalised`` divides the weights by their mean after that."""

    learning_rate: PositiveFloat = 0.01
    cap: PositiveFloat = 20.0
    normalised: bool = False


class Uncertainty(Weighting):
    r"""Minimise :math:`\sum_k e^{-s_k} L_k + s_k` over the model and the log-variances s.

    The fixed point is :math:`e^{-s_k} = 1 / L_k`, so a rare task with a small loss gets a large
    weight: hence the cap, as a bound on s. With ``normalised`` the model's gradient uses weights
    divided by their mean, while s still moves by the objective above.
    """

    def __init__(
        self, tasks: tuple[str, ...], targets: tuple[str, ...], settings: UncertaintySettings
    ) -> None:
        super().__init__(tasks, targets)
        self.floor = -math.log(settings.cap)
        self.log_variance = nn.Parameter(torch.full((len(tasks),), max(0.0, self.floor)))
        self.normalised = settings.normalised
        self.optimizer = torch.optim.Adam([self.log_variance], settings.learning_rate)

    def fill_gradients(self, problem: Problem) -> Decision:
        """One backward pass of the weighted sum; the log-variances have a closed-form gradient."""
        losses = problem.losses(problem.parameters)
        means = losses.means()
        weights = torch.exp(-self.log_variance.detach())
        applied = weights / weights.mean() if self.normalised else weights
        by_task = dict(zip(self.tasks, applied.tolist(), strict=True))
        set_gradients(problem, losses.weighted_sum(by_task))
        slopes = [
            1 - weight * means[task].detach().to(weight)
            # a task without rows says nothing of its loss
            if len(losses.per_example[task])
            else torch.zeros_like(weight)
            for task, weight in zip(self.tasks, weights, strict=True)
        ]
        self._move(problem.reduce(torch.stack(slopes)))
        return Decision(as_floats(means), by_task)

    def _move(self, slope: torch.Tensor) -> None:
        assert self.optimizer is not None
        self.log_variance.grad = slope
        self.optimizer.step()
        with torch.no_grad():
            self.log_variance.clamp_(min=self.floor, max=10.0)
