"""Architectures whose networks are stacks of graph layers, and exchange between these.

All networks start from one input layer. With one task and nothing to share, each architecture
here is the single-task twin of its encoder.
"""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.data.schema import Task
from counterpoint.errors import UserError
from counterpoint.graph.store import GraphMeta
from counterpoint.graph.views import Block, View
from counterpoint.models.composed import SharingSettings
from counterpoint.models.contract import Model, Representations, grouped, make_towers
from counterpoint.models.shared_bottom import bottom
from counterpoint.nn.encoders import CONVOLUTIONS, TYPED, EncoderSettings, advanced, convolution
from counterpoint.nn.inputs import InputLayer
from counterpoint.nn.named import NamedModules


class Convolutions(nn.Module):
    """A convolution a network, each on states of its own."""

    def __init__(self, networks: int, encoder: str, width: int, meta: GraphMeta) -> None:
        super().__init__()
        self.networks = nn.ModuleList(convolution(encoder, width, meta) for _ in range(networks))

    def forward(self, block: Block, states: Tensor) -> Tensor:
        """``[n_src, S, d]`` to ``[n_dst, S, d]``."""
        pairs = zip(self.networks, states.unbind(1), strict=True)
        return torch.stack([made(block, h) for made, h in pairs], 1)


class BlockModel(Model):
    """Input layer, ``layers`` of several networks, a bottom and a tower a task.

    A layer maps states ``[n_src, S, d]`` to ``[n_dst, S', d]``; residual and ReLU follow as in the
    encoder, then :meth:`exchanged`. After the last exchange there is one state a task.
    """

    encoders: tuple[str, ...] = (*CONVOLUTIONS, *TYPED)  # of whose layers it can be made

    def __init__(
        self,
        encoder: str,
        meta: GraphMeta,
        tasks: Mapping[str, Task],
        settings: EncoderSettings,
        sharing: SharingSettings,
    ) -> None:
        super().__init__()
        if not settings.layers:
            raise UserError("train.encoder.layers: 0: no graph layer to exchange in; use 1 or more")
        self.tasks = dict(tasks)
        self.encoder, self.meta = encoder, meta
        self.width, self.dropout = settings.width, settings.dropout
        self.representation_width = sharing.width
        self.input = InputLayer(meta, settings.width)
        self.networks = self.count_networks(sharing)
        self.layers, self.exchanges = self.make_layers(settings.layers, sharing)
        self.bottoms = NamedModules({t: bottom(settings.width, sharing.width) for t in tasks})
        self.towers = make_towers(
            tasks, sharing.width, sharing.tower_width, normalise=sharing.normalise_logits
        )

    @abstractmethod
    def count_networks(self, sharing: SharingSettings) -> int:
        """How many states a node has after the input layer."""

    @abstractmethod
    def make_layers(
        self, count: int, sharing: SharingSettings
    ) -> tuple[nn.ModuleList, nn.ModuleList]:
        """The layers, and what :meth:`exchanged` uses after each."""

    def exchanged(self, number: int, before: Tensor, after: Tensor) -> Tensor:
        """States ``[n, S', d]`` after layer ``number``, of those before and after it."""
        return after

    @abstractmethod
    def private(self, task: str) -> list[nn.Module | nn.Parameter]:
        """What lies below its bottom and no other task's loss reaches."""

    @property
    def depth(self) -> int:
        """How many blocks of edges a view needs."""
        return len(self.layers)

    def states(self, view: View) -> Tensor:
        """One state a task ``[n_out, T, d]``."""
        h = F.dropout(self.input(view), self.dropout, self.training)
        states = h.unsqueeze(1).expand(-1, self.networks, -1)
        for number, layer in enumerate(self.layers):
            block = view.blocks[number]
            before = block.at_destinations(states)
            out = layer(block, states)
            last = number + 1 == len(self.layers)
            own = before[:, : out.shape[1]]
            after = advanced(own, out, self.dropout, last=last, training=self.training)
            states = self.exchanged(number, before, after)
        return states

    def encode(self, view: View) -> Representations:
        """Representations of the view's outputs for each task ``[n_out, width]``."""
        states = self.states(view).unbind(1)
        return {t: self.bottoms[t](h) for t, h in zip(self.tasks, states, strict=True)}

    def trunk(self, view: View) -> Tensor:
        """The mean of the tasks' states ``[n_out, d]``."""
        return self.states(view).mean(1)

    @property
    def trunk_width(self) -> int:
        """The encoder's width."""
        return self.width

    def trunk_names(self) -> list[str]:
        """None: no part depends on the encoder alone, so there is nothing to pre-train."""
        return []

    def parameter_groups(self) -> dict[str, list[str]]:
        """``shared``, ``last_shared`` (the last layer's and its exchange's), ``tower:<task>``."""
        owned = {t: [self.towers[t], self.bottoms[t], *self.private(t)] for t in self.tasks}
        return grouped(self, owned, [self.layers[-1], self.exchanges[-1]])
