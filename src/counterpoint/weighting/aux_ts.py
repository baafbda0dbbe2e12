"""AUX-TS: weights learned from gradient similarity (arXiv 2107.08765), exactly and cheaply."""

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from counterpoint.weighting.contract import Losses, Problem
from counterpoint.weighting.gradients import TaskGradients
from counterpoint.weighting.learned import LearnedSettings, LearnedWeighting


class AuxTSSettings(LearnedSettings):
    """``every`` computes similarities in one step of so many and keeps them in between."""

    similarities: Literal["one", "all"] = "one"
    every: PositiveInt = 1


class AuxTS(LearnedWeighting):
    """Beside loss and type, V sees cosines of gradients on the shared parameters.

    With ``one``, task i's cosine to each target; with ``all``, the cosines of every task to every
    target on each row. With one target and ``granularity: example`` this is the paper's method.
    """

    last: Tensor
    steps: Tensor

    def __init__(
        self, tasks: tuple[str, ...], targets: tuple[str, ...], settings: AuxTSSettings
    ) -> None:
        pairs = len(targets) * (len(tasks) if settings.similarities == "all" else 1)
        super().__init__(tasks, targets, settings, pairs)
        self.shows_all, self.every = settings.similarities == "all", settings.every
        self.register_buffer("last", torch.zeros(len(tasks), len(targets)))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def wants_gradients(self) -> bool:
        """Every so many steps, the first included."""
        due = int(self.steps) % self.every == 0
        self.steps += 1
        return due

    def signals(
        self, problem: Problem, losses: Losses, gradients: TaskGradients | None
    ) -> list[Tensor]:
        """Cosines, the last ones where there are none of this step."""
        if gradients is not None:
            self.last.copy_(gradients.cosines(self.judges))
        rows = self.last.flatten()[None] if self.shows_all else self.last
        return [rows if self.shows_all else rows[[place]] for place in range(len(self.tasks))]
