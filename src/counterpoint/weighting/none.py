"""No help: the targets alone are trained, which is what any help has to beat."""

import torch

from counterpoint.data.schema import Strict
from counterpoint.weighting.contract import (
    Decision,
    Problem,
    Weighting,
    as_floats,
    set_gradients,
)


class NoHelpSettings(Strict):
    """There is nothing to set."""


class NoHelp(Weighting):
    """Minimise the sum of the targets' mean losses; auxiliary tasks weigh 0.

    Unlike a single-task twin the model has the auxiliary tasks' towers, and several targets are
    still trained jointly.
    """

    def __init__(
        self, tasks: tuple[str, ...], targets: tuple[str, ...], settings: NoHelpSettings
    ) -> None:
        super().__init__(tasks, targets)

    def fill_gradients(self, problem: Problem) -> Decision:
        """One backward pass of the targets' losses."""
        losses = problem.losses(problem.parameters)
        means = losses.means()
        total = torch.stack([means[task] for task in self.targets]).sum() + losses.penalty
        set_gradients(problem, total)
        weights = {task: float(task in self.targets) for task in self.tasks}
        return Decision(as_floats(means), weights)
