"""GradNorm (Chen et al. 2018, arXiv 1711.02257): gradients of like size, more for slow tasks."""

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from counterpoint.data.schema import Strict
from counterpoint.weighting.contract import Decision, Problem, Weighting, as_floats
from counterpoint.weighting.gradients import (
    TINY,
    TaskGradients,
    set_from_tasks,
    split,
    task_gradients,
)
from counterpoint.weighting.task_losses import in_order, mean_losses

LEAST = 1e-3  # no weight falls below it before they are renormalised


class GradNormSettings(Strict):
    """``alpha`` is how much more a slow task gets; ``learning_rate`` that of the weights."""

    alpha: NonNegativeFloat = 1.5
    learning_rate: PositiveFloat = 0.025


class GradNorm(Weighting):
    r"""Weigh the losses so that gradient norms on the last shared layer W meet their goals.

    With :math:`G_i = w_i \lVert \nabla_W L_i \rVert` and relative loss
    :math:`r_i = (L_i / L_i(0)) / \mathrm{mean}_j (L_j / L_j(0))`, a step of Adam on
    :math:`\sum_i \lvert G_i - \mathrm{sg}(\bar G r_i^\alpha) \rvert` moves the weights (eq. 2),
    which are then scaled to sum to T. G is linear in w, so its derivative is the norm itself. The
    model's step uses the weights from before (algorithm 1). A task without rows has no say.
    """

    initial: Tensor  # [T] first mean losses, 0 if there was none yet

    def __init__(
        self, tasks: tuple[str, ...], targets: tuple[str, ...], settings: GradNormSettings
    ) -> None:
        super().__init__(tasks, targets)
        self.alpha = settings.alpha
        self.weight = nn.Parameter(torch.ones(len(tasks)))
        self.register_buffer("initial", torch.zeros(len(tasks)))
        self.optimizer = torch.optim.Adam([self.weight], settings.learning_rate)

    def fill_gradients(self, problem: Problem) -> Decision:
        """One backward pass a task; the real step is the weighted sum of their gradients."""
        losses = in_order(problem.losses(problem.parameters), self.tasks)
        gradients = task_gradients(problem, losses)
        weights = self.weight.detach().to(gradients.shared)
        by_task = dict(zip(self.tasks, weights.tolist(), strict=True))
        set_from_tasks(
            problem, gradients, weights @ gradients.shared, list(by_task.values()), losses.penalty
        )
        norms = last_shared_norms(problem, gradients)
        self._move(self._slopes(norms, *mean_losses(problem, losses, self.tasks)))
        names = [f"gradient_norm/{task}" for task in self.tasks]
        return Decision(
            as_floats(losses.means()), by_task, dict(zip(names, norms.tolist(), strict=True))
        )

    def _slopes(self, norms: Tensor, means: Tensor, has_rows: Tensor) -> Tensor:
        """``[T]`` derivatives of the objective by the weights."""
        self.initial.copy_(torch.where(self.initial == 0, means, self.initial))
        judged = has_rows & (self.initial > 0)
        initial = torch.where(judged, self.initial, 1.0).to(norms)

        def level(values: Tensor) -> Tensor:
            return torch.where(judged, values, 0.0).sum() / judged.sum().clamp(min=1)

        speed = means / initial
        found = self.weight.detach().to(norms) * norms
        goal = level(found) * (speed / level(speed).clamp(min=TINY)) ** self.alpha
        return torch.where(judged, (found - goal).sign() * norms, 0.0)

    def _move(self, slopes: Tensor) -> None:
        assert self.optimizer is not None
        self.weight.grad = slopes.to(self.weight)
        self.optimizer.step()
        with torch.no_grad():
            self.weight.clamp_(min=LEAST)
            self.weight.mul_(len(self.tasks) / self.weight.sum())


def last_shared_norms(problem: Problem, gradients: TaskGradients) -> Tensor:
    """``[T]`` norms of the tasks' gradients on the last layer that all of them share."""
    rows = []
    for row in gradients.shared:
        parts = split(problem, row)
        rows.append(torch.cat([parts[name].flatten() for name in problem.groups["last_shared"]]))
    found: Tensor = torch.linalg.vector_norm(torch.stack(rows), dim=1)
    return found
