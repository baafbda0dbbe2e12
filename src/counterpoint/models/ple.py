"""Progressive layered extraction (Tang et al. 2020); one level of it is CGC."""

import torch
from torch import Tensor, nn

from counterpoint.models.composed import ComposedModel, SharingSettings
from counterpoint.models.contract import Representations
from counterpoint.nn.experts import Experts, Gates, gates_of, mixtures
from counterpoint.nn.named import NamedModules

Paths = tuple[Tensor, ...]  # one [n, d] for all, or one a task and the shared one after them


class Level(nn.Module):
    """Experts of each task and of all, a gate a task over its own and the shared ones.

    Below another level there is a shared path too, whose gate is over all experts.
    """

    def __init__(self, tasks: list[str], d_in: int, settings: SharingSettings, top: bool) -> None:
        super().__init__()
        own, shared, width = settings.own_experts, settings.shared_experts, settings.width
        self.own_experts, self.shared_experts = own, shared
        self.own = NamedModules({t: Experts(own, d_in, width) for t in tasks} if own else {})
        self.shared = Experts(shared, d_in, width)
        self.gates = NamedModules({task: Gates(d_in, own + shared) for task in tasks})
        self.shared_gate = None if top else Gates(d_in, own * len(tasks) + shared)

    def forward(self, paths: Paths) -> Paths:
        """Each task's mixture ``[n, width]``, and the shared one below another level."""
        names, count = self.gates.names, len(self.gates.names)
        inputs = paths if len(paths) > 1 else paths * (count + 1)
        if len(paths) == 1:
            gates = [*gates_of([self.gates[task] for task in names], paths[0]).unbind(1)]
        else:
            gates = [self.gates[task](h) for task, h in zip(names, inputs, strict=False)]
        if self.shared_gate is not None:
            gates.append(self.shared_gate(inputs[-1]))
        # experts that the same gates weigh are mixed together: nothing is copied side by side
        of_shared = [gate[:, -self.shared_experts :] for gate in gates]
        mixed = list(mixtures(torch.stack(of_shared, 1), self.shared(inputs[-1])))
        for place, task in enumerate(self.own.names):
            readers = [place] if self.shared_gate is None else [place, count]
            starts = (0, place * self.own_experts)  # in the task's gate, in the shared one
            of_own = [
                gates[reader][:, start : start + self.own_experts]
                for reader, start in zip(readers, starts, strict=False)
            ]
            parts = mixtures(torch.stack(of_own, 1), self.own[task](inputs[place]))
            for reader, part in zip(readers, parts, strict=True):
                mixed[reader] = mixed[reader] + part
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
