"""SELAR: weights of examples learned from loss and label (Hwang et al. 2020, METHODS B.5)."""

from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from counterpoint.weighting.contract import Losses, Problem
from counterpoint.weighting.gradients import TaskGradients
from counterpoint.weighting.learned import LearnedSettings, LearnedWeighting


class SelarSettings(LearnedSettings):
    """SELAR's own choices: an example at a time, held-out folds, the targets' mean weight as 1."""

    granularity: Literal["task", "example"] = "example"
    meta_batch: Literal["next", "same", "fold"] = "fold"
    output: Literal["softplus", "sigmoid"] = "sigmoid"
    learning_rate: PositiveFloat = 5e-3
    normalise: Literal["none", "sum_to_T", "selar"] = "selar"
    weight_decay: NonNegativeFloat = 0.0


class Selar(LearnedWeighting):
    """Beside loss and type, V sees the label; no gradient of a single task is ever taken.

    The type is one-hot over all tasks. The released code leaves the target's at zero, which for
    a network with biases is the same class of functions.
    """

    def __init__(
        self, tasks: tuple[str, ...], targets: tuple[str, ...], settings: SelarSettings
    ) -> None:
        super().__init__(tasks, targets, settings, 1)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )

    def wants_gradients(self) -> bool:
        """Never."""
        return False

    def signals(
        self, problem: Problem, losses: Losses, gradients: TaskGradients | None
    ) -> list[Tensor]:
        """Labels of the rows, or their mean."""
        labels = [losses.labels[task][:, None] for task in self.tasks]
        if self.settings.granularity == "example":
            return labels
        means = [label.sum(0, keepdim=True) / max(len(label), 1) for label in labels]
        return [problem.reduce(mean) for mean in means]
