"""The gradient of weighted losses, and its derivative by the weights, which it is linear in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from counterpoint.weighting.contract import Losses, Problem
from counterpoint.weighting.gradients import TaskGradients, gradients_of
from counterpoint.weighting.per_example import PerExample, transposed

Named = Mapping[str, Tensor]


@dataclass(frozen=True)
class Rows:
    """What V is shown at one step: a row a task, or a row an example.

    Weights are ``share V / level``, where level is ``sum_r part_r V_r`` over all workers' rows.

    Shapes:
        z ``[R, F]``; task ``[R]``, to whom the row belongs; counts ``[T]``, rows of each.
        share ``[R]``; part ``[R]``, or None for a level of 1.
    """

    z: Tensor
    task: Tensor
    counts: Tensor
    share: Tensor
    part: Tensor | None

    def means(self, values: Tensor) -> Tensor:
        """Mean of ``values [R]`` over each task's rows ``[T]``; 0 for a task without any."""
        totals = values.new_zeros(len(self.counts)).index_add(0, self.task, values)
        return totals / self.counts.clamp(min=1)


@dataclass(frozen=True)
class WeightedLosses:
    """``sum_i mean_n(w_in loss_in)`` as a function of the rows' weights ``[R]``.

    Attributes:
        in_hand: gradients of the tasks, where rows are tasks and these are known: sums of them
            are all that is needed then.
        by_example: whether rows are examples.
        slopes: ``<u, gradient of the loss>`` of every example, evaluated anew; None: the
            derivative by the weights goes back through the gradient.
    """

    problem: Problem
    losses: Losses
    rows: Rows
    in_hand: TaskGradients | None
    by_example: bool
    slopes: Callable[[Named], PerExample] | None

    def gradient(self, weights: Tensor) -> dict[str, Tensor]:
        """By name, over all workers' rows."""
        if self.in_hand is not None:
            shared = weights.to(self.in_hand.shared) @ self.in_hand.shared
            return self.in_hand.combined(self.problem, shared, weights.tolist())
        return self._over_workers(self._own_gradient(weights))

    def linear(self, weights: Tensor) -> tuple[dict[str, Tensor], Callable[[Named], Tensor]]:
        """The gradient, and a function of u: ``<u, gradient of the loss>`` of each row ``[R]``."""
        if self.in_hand is not None:
            return self.gradient(weights), partial(self.in_hand.products, self.problem)
        if self.slopes is not None:
            return self.gradient(weights), partial(self._again_along, self.slopes)
        leaf = weights.detach().requires_grad_()
        own = self._own_gradient(leaf, create_graph=True)
        return self._over_workers(own), partial(self._back_along, own, leaf)

    def _own_gradient(self, weights: Tensor, *, create_graph: bool = False) -> dict[str, Tensor]:
        """Of this worker's rows."""
        if self.by_example:
            weighed = self.rows.means(weights * torch.cat(list(self.losses.per_example.values())))
        else:
            weighed = weights * torch.stack(list(self.losses.means().values()))
        own = self.problem.parameters
        return gradients_of(weighed.sum(), own, list(own), create_graph=create_graph)

    def _over_workers(self, own: Named) -> dict[str, Tensor]:
        return {name: self.problem.reduce(part.detach()) for name, part in own.items()}

    def _back_along(self, gradient: Named, weights: Tensor, u: Named) -> Tensor:
        found = transposed(gradient, weights, u) * self.rows.counts[self.rows.task]
        return found if self.by_example else self.problem.reduce(found)

    def _again_along(self, slopes: Callable[[Named], PerExample], u: Named) -> Tensor:
        found = slopes(u)
        of_rows = [found[task] for task in self.losses.per_example]
        if self.by_example:
            return torch.cat(of_rows)
        return self.problem.reduce(torch.stack([x.sum() / max(len(x), 1) for x in of_rows]))
