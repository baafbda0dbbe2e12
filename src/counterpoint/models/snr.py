"""Sub-network routing with transformations, SNR-trans (Ma et al. 2019)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.models.composed import ComposedModel, SharingSettings
from counterpoint.models.contract import Representations, TaskBatch
from counterpoint.nn.exchange import Routing, open_gates
from counterpoint.nn.experts import SLOPE, Experts
from counterpoint.nn.named import NamedModules


class RoutedLevel(nn.Module):
    """A level of sub-networks above another: ``LeakyReLU(routing(u) + bias)``."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.routing = Routing(count, count, width, width)
        self.bias = nn.Parameter(torch.zeros(count, width))

    def forward(self, u: Tensor) -> Tensor:
        """Outputs ``[n, count, width]`` for those of the level below, of the same shape."""
        return F.leaky_relu(self.routing(u) + self.bias, SLOPE)


class SNR(ComposedModel):
    """Levels of ``settings.experts`` sub-networks; gates choose the connections upwards.

    The lowest level reads the encoder. A task's connections to the last level are its own; what
    each pays for being open is a penalty, constant in the data.
    """

    sharing: nn.Sequential

    def make_sharing(self, d_in: int, settings: SharingSettings) -> nn.Module:
        """The levels, lowest first."""
        self.gate_penalty = settings.gate_penalty
        count, width = settings.experts, settings.width
        above = (RoutedLevel(count, width) for _ in range(settings.levels - 1))
        return nn.Sequential(Experts(count, d_in, width), *above)

    def make_private(self, d_in: int, settings: SharingSettings) -> NamedModules:
        """Each task's connections to the last level."""
        width = settings.width
        return NamedModules(
            {task: Routing(settings.experts, 1, width, width) for task in self.tasks}
        )

    def last_shared(self) -> nn.Module:
        """The last level."""
        return self.sharing[-1]

    def mix(self, h: Tensor) -> Representations:
        """What reaches each task ``[n, width]``."""
        outputs = self.sharing(h)
        return {task: self.private[task](outputs).squeeze(1) for task in self.tasks}

    def penalties(
        self, representations: Representations, batches: Mapping[str, TaskBatch]
    ) -> dict[str, Tensor]:
        """``open_gates``: the expected number of open connections, times ``gate_penalty``."""
        return {"open_gates": self.gate_penalty * open_gates(self)}
