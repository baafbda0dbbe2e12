"""Sharing architectures with stacks of graph layers for experts, as graph papers compare them."""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from counterpoint.models.blocks import BlockModel, Convolutions
from counterpoint.models.composed import InlineSettings, SharingSettings
from counterpoint.models.contract import Representations, TaskBatch
from counterpoint.models.inline import Inline
from counterpoint.nn.exchange import Routing, Stitch, open_gates
from counterpoint.nn.experts import Gates, mixture
from counterpoint.nn.named import NamedModules


class ConvolutionalModel(BlockModel):
    """Convolutions in every layer; sub-classes say what follows each."""

    def make_layers(
        self, count: int, sharing: SharingSettings
    ) -> tuple[nn.ModuleList, nn.ModuleList]:
        """Convolutions, and an exchange after each."""
        layers = (
            Convolutions(self.networks, self.encoder, self.width, self.meta) for _ in range(count)
        )
        exchanges = (self.make_exchange(last=number + 1 == count) for number in range(count))
        return nn.ModuleList(layers), nn.ModuleList(exchanges)

    @abstractmethod
    def make_exchange(self, *, last: bool) -> nn.Module:
        """What follows a layer."""

    def private(self, task: str) -> list[nn.Module | nn.Parameter]:
        """What the last exchange has for the task alone."""
        exchange = self.exchanges[-1]
        return [exchange[task]] if isinstance(exchange, NamedModules) else []


class ConvolutionalCrossStitch(ConvolutionalModel):
    """A stack a task, stitched after each layer (Misra et al. 2016)."""

    def count_networks(self, sharing: SharingSettings) -> int:
        """One a task."""
        return len(self.tasks)

    def make_exchange(self, *, last: bool) -> nn.Module:
        """A stitch."""
        return Stitch(self.networks)

    def exchanged(self, number: int, before: Tensor, after: Tensor) -> Tensor:
        """Stitched states."""
        stitched: Tensor = self.exchanges[number](after)
        return stitched


class ConvolutionalMMoE(ConvolutionalModel):
    """``settings.experts`` stacks; a task's gate reads the mean of what the last layer reads."""

    def count_networks(self, sharing: SharingSettings) -> int:
        """The experts."""
        return sharing.experts

    def make_exchange(self, *, last: bool) -> nn.Module:
        """At last, a gate a task."""
        if not last:
            return nn.Identity()
        return NamedModules({task: Gates(self.width, self.networks) for task in self.tasks})

    def exchanged(self, number: int, before: Tensor, after: Tensor) -> Tensor:
        """At last, each task's mixture."""
        gates = self.exchanges[number]
        if not isinstance(gates, NamedModules):
            return after
        read = before.mean(1)
        return torch.stack([mixture(gates[task](read), after) for task in self.tasks], 1)


class ConvolutionalSNR(ConvolutionalModel):
    """``settings.experts`` stacks, routed after each layer (Ma et al. 2019, SNR-trans)."""

    def count_networks(self, sharing: SharingSettings) -> int:
        """The sub-networks of a level."""
        self.gate_penalty = sharing.gate_penalty
        return sharing.experts

    def make_exchange(self, *, last: bool) -> nn.Module:
        """Routes to all sub-networks of the next layer, or at last to each task."""
        count, width = self.networks, self.width
        if not last:
            return Routing(count, count, width, width)
        return NamedModules({task: Routing(count, 1, width, width) for task in self.tasks})

    def exchanged(self, number: int, before: Tensor, after: Tensor) -> Tensor:
        """Routed states."""
        routes = self.exchanges[number]
        if isinstance(routes, NamedModules):
            return torch.cat([routes[task](after) for task in self.tasks], 1)
        routed: Tensor = routes(after)
        return routed

    def penalties(
        self, representations: Representations, batches: Mapping[str, TaskBatch]
    ) -> dict[str, Tensor]:
        """``open_gates``: the expected number of open connections, times ``gate_penalty``."""
        return {"open_gates": self.gate_penalty * open_gates(self)}


class ConvolutionalPLE(Inline):
    """PLE with convolutions for experts: InLINE without an inner layer, over any encoder."""

    encoders = BlockModel.encoders

    def settings(self, sharing: SharingSettings) -> InlineSettings:
        """InLINE's, with no layer disentangled."""
        return sharing.inline.model_copy(update={"disentangled_layers": 0})
