"""Progressive layered extraction (Tang et al. 2020); one level of it is CGC."""

import torch
from torch import Tensor, nn

from counterpoint.models.composed import ComposedModel, SharingSettings
from counterpoint.models.contract import Representations
from counterpoint.nn.experts import Experts, Gates, mixture
from counterpoint.nn.named import NamedModules

Paths = tuple[Tensor, ...]  # one [n, d] for all, or one a task and the shared one after them


class Level(nn.Module):
    """Experts of each task and of all, a gate a task over its own and the shared ones.

    Below another level there is a shared path too, whose gate is over all experts.
    """

    def __init__(self, tasks: list[str], d_in: int, settings: SharingSettings, top: bool) -> None:
        super().__init__()
        own, shared, width = settings.own_experts, settings.shared_experts, settings.width
        self.own = NamedModules({t: Experts(own, d_in, width) for t in tasks} if own else {})
        self.shared = Experts(shared, d_in, width)
        self.gates = NamedModules({task: Gates(d_in, own + shared) for task in tasks})
        self.shared_gate = None if top else Gates(d_in, own * len(tasks) + shared)

    def forward(self, paths: Paths) -> Paths:
        """Each task's mixture ``[n, width]``, and the shared one below another level."""
        tasks = self.gates.names
        inputs = paths if len(paths) > 1 else paths * (len(tasks) + 1)
        shared = self.shared(inputs[-1])
        by_task = dict(zip(tasks, inputs[:-1], strict=True))
        own = {task: self.own[task](by_task[task]) for task in self.own.names}
        mixed = []
        for task, h in by_task.items():
            seen = torch.cat([own[task], shared], dim=1) if task in own else shared
            mixed.append(mixture(self.gates[task](h), seen))
        if self.shared_gate is not None:
            everything = torch.cat([*own.values(), shared], dim=1)
            mixed.append(mixture(self.shared_gate(inputs[-1]), everything))
        return tuple(mixed)


class PLE(ComposedModel):
    """Levels of own and shared experts (sections 4.1 and 4.2); towers read the last level.

    Below the last level a task's own experts reach all tasks through the shared path, so they are
    ``shared``. Its gate reaches them two levels below: what it mixes feeds own experts first.
    """

    sharing: nn.ModuleList

    def make_sharing(self, d_in: int, settings: SharingSettings) -> nn.Module:
        """The levels, lowest first."""
        tasks, levels = list(self.tasks), settings.levels
        widths = [d_in] + [settings.width] * (levels - 1)
        return nn.ModuleList(
            Level(tasks, width, settings, top=number == levels)
            for number, width in enumerate(widths, start=1)
        )

    def owned(self, task: str) -> list[nn.Module]:
        """Tower, own experts of the last level, gates of the last two."""
        own = self._last_level().own
        experts = [own[task]] if task in own.names else []
        gates = [level.gates[task] for level in self.sharing[-2:] if isinstance(level, Level)]
        return [*super().owned(task), *experts, *gates]

    def last_shared(self) -> nn.Module:
        """The shared experts of the last level."""
        return self._last_level().shared

    def mix(self, h: Tensor) -> Representations:
        """Each task's mixture of the last level ``[n, width]``."""
        paths: Paths = (h,)
        for level in self.sharing:
            paths = level(paths)
        return dict(zip(self.tasks, paths, strict=True))

    def _last_level(self) -> Level:
        level = self.sharing[-1]
        assert isinstance(level, Level)
        return level
