"""What a weighting is given, and what it must do."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from counterpoint.nn.hints import HintSettings

Parameters = Mapping[str, Tensor]
MetaRows = Literal["none", "next", "fold"]


@dataclass(frozen=True)
class Hinted:
    """Logits ``[n]`` of a binary or link task by the model and by a hint network.

    ``share [n]`` is the model's part in the prediction.
    """

    model: Tensor
    hint: Tensor
    share: Tensor | float = 1.0

    def logits(self) -> Tensor:
        """Of the mixed prediction ``[n]``."""
        return self.share * self.model + (1 - self.share) * self.hint


@dataclass(frozen=True)
class Losses:
    """Per-example losses ``[n]`` a task, the sum of the model's penalties, labels as numbers.

    ``labels [n]`` a task are 0 or 1 in binary and link tasks, the value in regression, the share
    of classes that hold in multilabel ones, and 0 for multiclass, whose classes have no order.
    ``hints`` are there for a weighting that asks for hint networks.
    """

    per_example: dict[str, Tensor]
    penalty: Tensor | float = 0.0
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    hints: Mapping[str, Hinted] = field(default_factory=dict)

    def weighted_sum(self, weights: Mapping[str, float]) -> Tensor:
        """Weighted sum of the mean losses, plus the penalty."""
        terms = [weights[task] * loss for task, loss in self.means().items()]
        return torch.stack(terms).sum() + self.penalty

    def ordered(self, tasks: Sequence[str]) -> "Losses":
        """The same losses in the order of ``tasks``."""
        labels = {task: self.labels[task] for task in tasks if task in self.labels}
        per_example = {task: self.per_example[task] for task in tasks}
        return replace(self, per_example=per_example, labels=labels)

    def means(self) -> dict[str, Tensor]:
        """Mean loss of each task; 0 for an empty batch."""
        return {task: loss.sum() / max(len(loss), 1) for task, loss in self.per_example.items()}


def _same(value: Tensor) -> Tensor:
    return value


@dataclass(frozen=True)
class AdamState:
    """What the model's optimiser remembers of one parameter before this step.

    Attributes:
        mean, square: running means of gradient and squared gradient, not yet corrected.
        step: how many steps they have seen; 0 and zeros at first.
    """

    mean: Tensor
    square: Tensor
    step: int
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8


def _no_state() -> Mapping[str, AdamState]:
    return {}


@dataclass(frozen=True)
class Problem:
    """One training step as a weighting sees it: losses as functions of named parameters.

    Attributes:
        losses: per-example losses of all tasks at given parameters.
        meta_losses: the same for the batches that judge the weights (targets at least).
        parameters: the model's, by name; their ``grad`` is to be filled.
        groups: names in ``shared``, ``last_shared`` and ``tower:<task>``.
        learning_rate: of the model's optimiser, now.
        epoch: number of the epoch, from 0.
        clip: norm above which the optimiser's gradient is shortened to it.
        optimizer_state: the optimiser's memory by parameter; empty if it has none yet.
        reduce: mean over workers of a tensor; each worker sees its own part of the batch.
    """

    losses: Callable[[Parameters], Losses]
    meta_losses: Callable[[Parameters], Losses]
    parameters: Mapping[str, nn.Parameter]
    groups: Mapping[str, list[str]]
    learning_rate: float
    epoch: int = 0
    clip: float = float("inf")
    optimizer_state: Callable[[], Mapping[str, AdamState]] = _no_state
    reduce: Callable[[Tensor], Tensor] = _same


@dataclass(frozen=True)
class Decision:
    """What a weighting did: the mean losses, the weights, and anything worth a curve.

    Where examples differ in weight, ``weights`` holds their means, and ``of_examples`` the weights
    ``[n]`` themselves.
    """

    losses: dict[str, float]
    weights: dict[str, float]
    diagnostics: dict[str, float] = field(default_factory=dict)
    of_examples: dict[str, Tensor] = field(default_factory=dict, compare=False)


class Weighting(nn.Module, ABC):
    """Turns several losses into gradients. Owns its state and its optimiser, if any.

    ``hints`` describes the hint networks to train beside the model, if it mixes any in.
    """

    optimizer: torch.optim.Optimizer | None = None
    hints: HintSettings | None = None

    @property
    def meta_rows(self) -> MetaRows:
        """Which rows judge the weights: none of their own, the targets' next batch, or a fold."""
        return "none"

    def __init__(self, tasks: tuple[str, ...], targets: tuple[str, ...]) -> None:
        super().__init__()
        self.tasks, self.targets = tasks, targets

    @abstractmethod
    def fill_gradients(self, problem: Problem) -> Decision:
        """Set ``grad`` of every parameter of the model, and update the weighting's own state."""

    def get_extra_state(self) -> dict[str, Any]:
        """State of the own optimiser, so that ``state_dict`` is all there is to checkpoint."""
        return {} if self.optimizer is None else self.optimizer.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`get_extra_state` gave."""
        if self.optimizer is not None and state:
            self.optimizer.load_state_dict(state)


def set_gradients(problem: Problem, total: Tensor) -> None:
    """Gradient of one scalar into every parameter; zero where it does not reach."""
    names = list(problem.parameters)
    tensors = [problem.parameters[name] for name in names]
    gradients = torch.autograd.grad(total, tensors, allow_unused=True)
    for tensor, gradient in zip(tensors, gradients, strict=True):
        tensor.grad = problem.reduce(torch.zeros_like(tensor) if gradient is None else gradient)


def as_floats(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Detached Python numbers."""
    return {name: float(value.detach()) for name, value in values.items()}
