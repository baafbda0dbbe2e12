"""What training, weighting and serving may ask of a model, whatever is inside."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from counterpoint.auxiliary.contract import AuxiliaryBatch
from counterpoint.data.schema import Task, TaskKind
from counterpoint.errors import UserError
from counterpoint.graph.views import View
from counterpoint.nn.heads import (
    FactorisedTower,
    NodeTower,
    NormalisedTower,
    PairFactors,
    PairTower,
    joint_logit,
)
from counterpoint.nn.named import NamedModules

Representations = dict[str, Tensor]  # task -> [n_out, d]


@dataclass(frozen=True)
class TaskBatch:
    """Rows of one task, scored on one view.

    Shapes: ``entity [n]`` or ``[n, 2]``, rows of the view's output; ``label [n]`` or ``[n, C]``.
    """

    task: str
    view: View
    entity: Tensor
    label: Tensor


@dataclass(frozen=True)
class Step:
    """One training step: a batch a task, for methods that ask a meta batch a target, objectives."""

    batches: Mapping[str, TaskBatch]
    meta: Mapping[str, TaskBatch] | None = None
    auxiliary: Mapping[str, AuxiliaryBatch] = field(default_factory=dict)


@dataclass(frozen=True)
class Output:
    """Logits ``[n]`` or ``[n, C]`` a task, and penalties that no weighting touches.

    ``representations [n_out, d]`` a task are those that its logits were made of.
    """

    logits: dict[str, Tensor]
    penalties: dict[str, Tensor] = field(default_factory=dict)
    representations: Representations = field(default_factory=dict)


class Model(nn.Module, ABC):
    """An architecture over an encoder. It never sees a loss.

    Parameters are grouped by name: ``shared``, ``last_shared`` (the last layer that all tasks
    use, a part of ``shared``) and ``tower:<task>``.
    """

    tasks: dict[str, Task]
    towers: NamedModules
    representation_width: int  # of each task's representation
    factorised: bool = True  # a pair's logit is a product of one vector a side, and biases

    @property
    @abstractmethod
    def depth(self) -> int:
        """How many blocks of edges a view needs."""

    @abstractmethod
    def encode(self, view: View) -> Representations:
        """Representations of the view's outputs for each task ``[n_out, d]``."""

    @abstractmethod
    def trunk(self, view: View) -> Tensor:
        """What all tasks share of the view's outputs ``[n_out, d]``: what auxiliaries train."""

    @property
    @abstractmethod
    def trunk_width(self) -> int:
        """Width d of :meth:`trunk`."""

    @abstractmethod
    def trunk_names(self) -> list[str]:
        """Names of the parameters behind :meth:`trunk`, which depend on the encoder alone."""

    @abstractmethod
    def parameter_groups(self) -> dict[str, list[str]]:
        """Names of parameters by group; ``shared`` and the towers cover all of them once."""

    def observe(self, step: Step) -> None:
        """Let buffers take in the rows of a training step that is about to be taken."""

    def penalties(
        self, representations: Representations, batches: Mapping[str, TaskBatch]
    ) -> dict[str, Tensor]:
        """Named penalties of the batches on one view, their constant coefficient applied."""
        return {}

    def condition(self, task: str) -> str | None:
        """The task given whose positive label this task's tower scores; here none.

        The probability of ``task`` is the tower's times that of its condition.
        """
        return None

    def logits(self, representations: Representations, batch: TaskBatch) -> Tensor:
        """What the task's tower says of a batch ``[n]`` or ``[n, C]``, whatever its condition."""
        h = representations[batch.task]
        sides = batch.entity.unbind(-1) if self.tasks[batch.task].is_pair else (batch.entity,)
        logits: Tensor = self.towers[batch.task](*(h.index_select(0, rows) for rows in sides))
        return logits

    def score(self, representations: Representations, batch: TaskBatch) -> Tensor:
        """Logits of a batch ``[n]`` or ``[n, C]``."""
        logits = self.logits(representations, batch)
        condition = self.condition(batch.task)
        if condition is None:
            return logits
        return joint_logit(self.score(representations, replace(batch, task=condition)), logits)

    def scored(
        self, representations: Representations, batch: TaskBatch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits of a batch, and named penalties of its rows; here none."""
        return self.score(representations, batch), {}

    def forward(self, step: Step) -> Output:
        """Score all batches of a step, encoding each distinct view once."""
        encoded: dict[int, Representations] = {}
        logits: dict[str, Tensor] = {}
        used: Representations = {}
        penalties: dict[str, Tensor] = {}
        for task, batch in step.batches.items():
            key = id(batch.view)
            if key not in encoded:
                encoded[key] = self.encode(batch.view)
                on_view = {t: b for t, b in step.batches.items() if b.view is batch.view}
                penalties.update(self.penalties(encoded[key], on_view))
            logits[task], of_rows = self.scored(encoded[key], batch)
            penalties.update(of_rows)
            used[task] = encoded[key][task]
        return Output(logits, penalties, used)

    def pair_factors(self, h: Tensor, task: str, side: str) -> PairFactors:
        """Vectors and biases of one side of a pair task's tower, for full rankings and serving.

        Only of a model that is ``factorised``.
        """
        tower = self.towers[task]
        assert isinstance(tower, FactorisedTower)
        return tower.factors(h, side)


def make_towers(
    tasks: Mapping[str, Task],
    d_in: int,
    width: int,
    *,
    hidden: bool = True,
    normalise: bool = False,
) -> NamedModules:
    """A tower a task, by the kind of its entity; linear without a hidden layer.

    Raises:
        UserError: ``normalise`` asks for logits of length 1 where there is no row of them.
    """
    if normalise:
        _refuse_lone_logits(tasks)
    node_tower = NormalisedTower if normalise else NodeTower
    return NamedModules(
        {
            name: PairTower(d_in, width, hidden)
            if task.is_pair
            else node_tower(d_in, width, task.classes, hidden)
            for name, task in tasks.items()
        }
    )


def _refuse_lone_logits(tasks: Mapping[str, Task]) -> None:
    faults = [
        f"train.sharing.normalise_logits: task {name} has one number a row; leave it off"
        for name, task in tasks.items()
        if task.is_pair or task.kind is TaskKind.REGRESSION or task.classes == 1
    ]
    if faults:
        raise UserError(*faults)


def grouped(
    model: nn.Module,
    owned: Mapping[str, Sequence[nn.Module | nn.Parameter]],
    last: Sequence[nn.Module],
) -> dict[str, list[str]]:
    """Names of parameters by group, as :class:`Model` has them.

    Args:
        model: whose parameters they are.
        owned: for each task the modules and parameters that no other task's loss reaches.
        last: the modules of the last shared layer, less what some task owns.
    """
    groups: dict[str, list[str]] = {"shared": [], "last_shared": []}
    groups |= {f"tower:{task}": [] for task in owned}
    owner = {
        id(parameter): task
        for task, parts in owned.items()
        for part in parts
        for parameter in (part.parameters() if isinstance(part, nn.Module) else [part])
    }
    of_last = {id(parameter) for part in last for parameter in part.parameters()}
    for name, parameter in model.named_parameters():
        if id(parameter) in owner:
            groups[f"tower:{owner[id(parameter)]}"].append(name)
            continue
        groups["shared"].append(name)
        if id(parameter) in of_last:
            groups["last_shared"].append(name)
    return groups


def per_example_loss(kind: TaskKind, logits: Tensor, label: Tensor) -> Tensor:
    """Loss of each row ``[n]``: cross-entropy, or squared error for regression.

    A multilabel row's loss is the mean over its classes.
    """
    if kind is TaskKind.MULTICLASS:
        return nn.functional.cross_entropy(logits, label, reduction="none")
    if kind is TaskKind.REGRESSION:
        return (logits - label) ** 2
    # of one type: with float32 labels torch is right to 1e-6 alone, whatever the logits are
    label = label.to(logits.dtype)
    loss = nn.functional.binary_cross_entropy_with_logits(logits, label, reduction="none")
    return loss.mean(-1) if kind is TaskKind.MULTILABEL else loss


def number_of(kind: TaskKind, label: Tensor) -> Tensor:
    """A label as one number ``[n]``, as :class:`counterpoint.weighting.contract.Losses` says."""
    if kind is TaskKind.MULTICLASS:
        return torch.zeros(len(label), device=label.device)
    return label.float().mean(-1) if kind is TaskKind.MULTILABEL else label.float()


def probabilities(kind: TaskKind, logits: Tensor) -> Tensor:
    """Predictions in the unit of the label."""
    if kind is TaskKind.MULTICLASS:
        return logits.softmax(-1)
    return logits if kind is TaskKind.REGRESSION else torch.sigmoid(logits)
