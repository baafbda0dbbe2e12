"""Adaptive information transfer along a funnel, AITM (Xi et al. 2021), without its calibrator."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from counterpoint.data.schema import Task
from counterpoint.models.composed import ComposedModel, SharingSettings
from counterpoint.models.contract import Representations
from counterpoint.models.funnel import funnel_of
from counterpoint.nn.experts import SLOPE, mixture
from counterpoint.nn.named import NamedModules


class Transfer(nn.Module):
    """Attention between what the task above passes on and what the task itself knows.

    ``p = g(z_above)``, and with ``k`` the width ``z = sum_u softmax_u(<h2(u), h3(u)> / sqrt(k))
    h1(u)`` over u in p and q.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.passed = nn.Linear(width, width)
        self.value, self.key, self.query = (nn.Linear(width, width) for _ in range(3))

    def forward(self, above: Tensor, own: Tensor) -> Tensor:
        """``[n, width]`` of the task above and of the task itself, to ``[n, width]``."""
        both = torch.stack([self.passed(above), own], dim=1)
        scores = (self.key(both) * self.query(both)).sum(-1) / both.shape[-1] ** 0.5
        return mixture(scores.softmax(1), self.value(both))


class TaskPart(nn.Module):
    """A task's network on the encoder's output, and the transfer from above if there is one."""

    def __init__(self, d_in: int, width: int, below: bool) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(d_in, width), nn.LeakyReLU(SLOPE))
        self.transfer = Transfer(width) if below else None

    def forward(self, h: Tensor, above: Tensor | None) -> Tensor:
        """``z [n, width]`` for the encoder's ``h [n, d_in]`` and the z of the task above."""
        own: Tensor = self.network(h)
        if self.transfer is None or above is None:
            return own
        found: Tensor = self.transfer(above, own)
        return found


class AITM(ComposedModel):
    """Each task reads the task above it: its ``parent``, or the one before where none has any.

    A part that others read is ``shared``. The last layer of all tasks is the encoder's.
    """

    def make_sharing(self, d_in: int, settings: SharingSettings) -> nn.Module:
        """Nothing: only the encoder serves all tasks."""
        return nn.Identity()

    def make_private(self, d_in: int, settings: SharingSettings) -> NamedModules:
        """Each task's part."""
        self.above = tasks_above(self.tasks)
        return NamedModules(
            {
                task: TaskPart(d_in, settings.width, below=above is not None)
                for task, above in self.above.items()
            }
        )

    def owned(self, task: str) -> list[nn.Module]:
        """The tower, and the task's part if no other task reads it."""
        return [self.towers[task]] if task in self.above.values() else super().owned(task)

    def last_shared(self) -> nn.Module:
        """The encoder's last layer."""
        return self.encoder.last_layer()

    def mix(self, h: Tensor) -> Representations:
        """Each task's z ``[n, width]``, from the top of its funnel down."""
        found: Representations = {}
        for task, above in self.above.items():
            found[task] = self.private[task](h, None if above is None else found[above])
        return found


def tasks_above(tasks: Mapping[str, Task]) -> dict[str, str | None]:
    """Which task each reads from, parents before their children."""
    funnels = {task: funnel_of(tasks, task) for task in tasks}
    if all(len(funnel) == 1 for funnel in funnels.values()):
        names = list(tasks)
        return dict(zip(names, [None, *names[:-1]], strict=True))
    down = sorted(tasks, key=lambda task: len(funnels[task]))
    return {task: funnels[task][-2] if len(funnels[task]) > 1 else None for task in down}
