"""Auxiliary gradients that agree with the targets' (Du et al. 2018, arXiv 1812.02224)."""

import torch
from torch import Tensor

from counterpoint.data.schema import Strict
from counterpoint.weighting.contract import Decision, Problem, Weighting, as_floats
from counterpoint.weighting.gradients import TINY, set_from_tasks, task_gradients
from counterpoint.weighting.task_losses import in_order


class CosineSettings(Strict):
    """``weighted`` multiplies by the cosine, instead of letting in whatever has a positive one."""

    weighted: bool = False


class Cosine(Weighting):
    r"""Give the shared parameters :math:`g_0 + \sum_i s_i g_i`.

    :math:`g_0` is the sum of the targets' gradients, and of an auxiliary task's cosine to it
    :math:`s_i = 1[\cos(g_0, g_i) > 0]`, or :math:`\max(0, \cos(g_0, g_i))` if ``weighted``. Towers
    always follow their own task, so the decision's weights are all 1 and s is a diagnostic.
    """

    def __init__(
        self, tasks: tuple[str, ...], targets: tuple[str, ...], settings: CosineSettings
    ) -> None:
        super().__init__(tasks, targets)
        self.weighted = settings.weighted

    def fill_gradients(self, problem: Problem) -> Decision:
        """One backward pass a task."""
        losses = in_order(problem.losses(problem.parameters), self.tasks)
        gradients = task_gradients(problem, losses)
        cosines = self._cosines(gradients.shared)
        scales = cosines.clamp(min=0) if self.weighted else (cosines > 0).to(cosines)
        is_target = torch.tensor([task in self.targets for task in self.tasks])
        scales = torch.where(is_target.to(scales.device), 1.0, scales)
        ones = dict.fromkeys(self.tasks, 1.0)
        set_from_tasks(
            problem, gradients, scales @ gradients.shared, list(ones.values()), losses.penalty
        )
        diagnostics = {}
        for task, cosine, scale in zip(self.tasks, cosines.tolist(), scales.tolist(), strict=True):
            diagnostics[f"shared_weight/{task}"] = scale
            if task not in self.targets:
                diagnostics[f"cosine/{task}~targets"] = cosine
        return Decision(as_floats(losses.means()), ones, diagnostics)

    def _cosines(self, shared: Tensor) -> Tensor:
        """``[T]`` cosines to the sum of the targets' gradients; 0 where either is zero."""
        target = shared[[self.tasks.index(task) for task in self.targets]].sum(dim=0)
        norms = torch.linalg.vector_norm(shared, dim=1) * torch.linalg.vector_norm(target)
        cosines: Tensor = (shared @ target) / norms.clamp(min=TINY)
        return cosines
