"""MoGENet's graph network: the bipartite graph and the similarity graphs, a channel each."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.errors import UserError
from counterpoint.graph.ops import (
    Csr,
    edge_dot,
    edge_softmax,
    gather_dst,
    gather_src,
    weighted_sum,
)
from counterpoint.graph.store import GraphMeta
from counterpoint.graph.views import Block, View
from counterpoint.nn.encoder import Encoder, EncoderSettings, MGNNSettings
from counterpoint.nn.experts import SLOPE
from counterpoint.nn.inputs import InputLayer


class ScaledDot(nn.Module):
    """Logits of edges, ``(h_a Q) . (h_b K) / sqrt(d)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key = (nn.Linear(width, width, bias=False) for _ in range(2))

    def forward(self, csr: Csr, h: Tensor) -> Tensor:
        """``[E]`` for sources ``[n_src, d]``."""
        logits: Tensor = edge_dot(csr, self.query(h[: csr.n_dst]), self.key(h))
        return logits / math.sqrt(h.shape[1])


class Additive(nn.Module):
    """Logits of edges, ``v . tanh(h_a S + h_b D)`` (GeniePath)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.own, self.other = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.vector = nn.Linear(width, 1, bias=False)

    def forward(self, csr: Csr, h: Tensor) -> Tensor:
        """``[E]`` for sources ``[n_src, d]``."""
        ends = gather_dst(csr, self.own(h[: csr.n_dst])) + gather_src(csr, self.other(h))
        logits: Tensor = self.vector(torch.tanh(ends))
        return logits.squeeze(-1)


class Message(nn.Module):
    """``m_a = LeakyReLU((sum_b alpha_ab h_b) W)``, alpha a softmax over neighbours (eq. 1-2)."""

    def __init__(self, width: int, attention: str, matrix: nn.Linear) -> None:
        super().__init__()
        self.attention = ScaledDot(width) if attention == "scaled_dot" else Additive(width)
        self.matrix = matrix

    def forward(self, csr: Csr, h: Tensor) -> Tensor:
        """``[n_src, d]`` to ``[n_dst, d]``; zeros for a node without neighbours."""
        around = weighted_sum(csr, edge_softmax(csr, self.attention(csr, h)), h)
        return F.leaky_relu(self.matrix(around), SLOPE)


class Cell(nn.Module):
    """An LSTM cell: input, output and forget gates and a candidate from some inputs."""

    def __init__(self, d_in: int, width: int) -> None:
        super().__init__()
        self.gates = nn.Linear(d_in, 4 * width)
        with torch.no_grad():
            self.gates.bias[3 * width :] = 1.0  # remember, at first

    def forward(self, inputs: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """State ``h``, ``c [n, d]`` after ``inputs [n, d_in]``."""
        i, g, o, f = self.gates(inputs).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class LayersByLstm(nn.Module):
    """Weights of layers by a bidirectional LSTM over them (jumping knowledge, Xu et al. 2018)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = (Cell(2 * width, width) for _ in range(2))
        self.score = nn.Linear(2 * width, 1)

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Weighted sum of layers ``[n, d]``."""
        up = self._states(self.up, layers)
        down = self._states(self.down, layers[::-1])[::-1]
        both = [torch.cat(pair, dim=1) for pair in zip(up, down, strict=True)]
        weights = self.score(torch.stack(both, dim=1)).softmax(1)
        found: Tensor = (weights * torch.stack(list(layers), dim=1)).sum(1)
        return found

    def _states(self, cell: Cell, layers: Sequence[Tensor]) -> list[Tensor]:
        h = c = torch.zeros_like(layers[0])
        states = []
        for layer in layers:
            h, c = cell(torch.cat([layer, h], dim=1), c)
            states.append(h)
        return states


class Channel(nn.Module):
    """Layers of messages over the edges of some relations, and f, LSTM-like, between them.

    ``lstm``: gates of message and state; ``geniepath``: of the message alone; either carries its
    cell state upwards from zero. ``jk_lstm``: messages are the next state, and the result is a
    weighted sum of all layers. With ``among``, a node type by its place, whose nodes all the edges
    join, states are of the nodes of this type alone.
    """

    relations: Tensor

    def __init__(
        self,
        relations: Sequence[int],
        layers: int,
        width: int,
        dropout: float,
        own: MGNNSettings,
        among: int | None = None,
    ) -> None:
        super().__init__()
        self.dropout, self.update, self.among = dropout, own.update, among
        self.register_buffer(
            "relations", torch.tensor(relations, dtype=torch.int64), persistent=False
        )
        matrices = [nn.Linear(width, width, bias=False) for _ in range(1 if own.tied else layers)]
        self.messages = nn.ModuleList(
            Message(width, own.attention, matrices[layer % len(matrices)])
            for layer in range(layers)
        )
        self.jumps = LayersByLstm(width) if own.update == "jk_lstm" else None
        d_in = {"lstm": 2 * width, "geniepath": width, "jk_lstm": 0}[own.update]
        self.cells = nn.ModuleList(Cell(d_in, width) for _ in range(layers if d_in else 0))

    def forward(self, blocks: Sequence[Block], h: Tensor) -> Tensor:
        """``[n_src, d]`` of the first block to ``[n_out, d]``, rows of the channel's nodes."""
        if self.among is not None:
            h = h[blocks[0].node_type == self.among]
        # all layers of a whole graph are one block
        edges = {block: self.neighbours(block) for block in dict.fromkeys(blocks)}
        c, states = torch.zeros_like(h), [h]
        for number, block in enumerate(blocks):
            csr = edges[block]
            message, own = self.messages[number](csr, h), h[: csr.n_dst]
            if self.update == "jk_lstm":
                h = message
            else:
                heard = message if self.update == "geniepath" else torch.cat([message, own], dim=1)
                h, c = self.cells[number](heard, c[: csr.n_dst])
            if number + 1 < len(blocks):
                h = F.dropout(h, self.dropout, self.training)
            states.append(h)
        if self.jumps is None:
            return h
        jumped: Tensor = self.jumps([state[: len(h)] for state in states])
        return jumped

    def neighbours(self, block: Block) -> Csr:
        """The channel's edges of a block; edges of several relations between two nodes are one."""
        csr = block.csr.kept(torch.isin(block.etype, self.relations)).distinct()
        return csr if self.among is None else csr.among(block.node_type == self.among)


class MGNN(Encoder):
    """MoGENet's graph network (METHODS C.2): ``[x || h || h_similar]``, each ``width`` wide.

    One channel of layers over all edges but similarities, one over each similarity relation; all
    begin at the same x. A node of a type without such a relation has x for ``h_similar``.
    """

    channels = 3

    def __init__(self, meta: GraphMeta, settings: EncoderSettings) -> None:
        super().__init__()
        layers, width = settings.layers, settings.width
        self.dropout, self.depth, self.width = settings.dropout, layers, self.channels * width
        self.input = InputLayer(meta, width)
        numbered = list(enumerate(meta.relations))
        others = [number for number, relation in numbered if not relation.similarity]
        similar = [(number, relation) for number, relation in numbered if relation.similarity]
        names = [relation.src for _, relation in similar]
        place = {node_type.name: number for number, node_type in enumerate(meta.node_types)}
        self.types = [place[name] for name in names]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UserError(
                f"encoder mgnn: build.similarities has several relations of {', '.join(twice)}; "
                "leave one a node type"
            )
        edges: list[tuple[list[int], int | None]] = [(others, None)]
        edges += [([number], t) for (number, _), t in zip(similar, self.types, strict=True)]
        self.layers = nn.ModuleList(
            Channel(relations, layers, width, settings.dropout, settings.mgnn, among)
            for relations, among in edges
        )

    def forward(self, view: View) -> Tensor:
        """Own features and channels of the view's outputs ``[n_out, 3 width]``."""
        x = F.dropout(self.input(view), self.dropout, self.training)
        bipartite, *similar = (channel(view.blocks[: self.depth], x) for channel in self.layers)
        own = x[: len(bipartite)]
        around = own
        for place, h in zip(self.types, similar, strict=True):
            rows = torch.nonzero(view.node_type[: len(own)] == place).flatten()
            around = around.index_put((rows,), h)
        return torch.cat([own, bipartite, around], dim=1)

    def last_layer(self) -> nn.Module:
        """All channels: none is above another."""
        return self.layers
