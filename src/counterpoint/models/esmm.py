"""Entire-space multi-task model, ESMM (Ma et al. 2018): a funnel's probabilities multiply."""

from collections.abc import Mapping

from torch import nn

from counterpoint.data.schema import Task, TaskKind
from counterpoint.errors import UserError
from counterpoint.models.composed import SharingSettings
from counterpoint.models.funnel import funnel_of
from counterpoint.models.shared_bottom import SharedBottom
from counterpoint.nn.encoders import Encoder


class ESMM(SharedBottom):
    """Shared bottom; a child's tower scores it given its parent's positive label (eq. 1).

    A child's label says that parent and child both happened (click and conversion), on any row of
    the parent's, so ``p_child = p_parent * p_tower`` and the logits, the loss and the metrics are
    of that product. A parent's tower learns from its children too and is ``shared``. Other tasks
    are scored as by a shared bottom; among them links, since a probability among drawn negatives
    is no part of a funnel.
    """

    def __init__(
        self, encoder: Encoder, tasks: Mapping[str, Task], settings: SharingSettings
    ) -> None:
        binary = {name: task for name, task in tasks.items() if task.kind is TaskKind.BINARY}
        funnels = {name: funnel_of(binary, name) for name in binary}
        self.conditions = {name: found[-2] for name, found in funnels.items() if len(found) > 1}
        if not self.conditions:
            raise UserError(
                "grid: esmm needs a funnel, and no binary task has a binary parent; name it in "
                "dataset.yaml (conversion: {parent: click}) or take another architecture"
            )
        super().__init__(encoder, tasks, settings)

    def condition(self, task: str) -> str | None:
        """The parent in the funnel."""
        return self.conditions.get(task)

    def owned(self, task: str) -> list[nn.Module]:
        """The tower, unless children learn through it."""
        return [] if task in self.conditions.values() else super().owned(task)
