"""Encoders: a view to one representation a node."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.data.schema import Strict
from counterpoint.errors import UserError
from counterpoint.graph.store import GraphMeta
from counterpoint.graph.views import View
from counterpoint.nn.convolutions import GAT, GCN, GIN, HGN
from counterpoint.nn.hgt import HGT
from counterpoint.nn.inputs import InputLayer, TypeFields, field_count
from counterpoint.nn.mgnn import Channel, MGNNSettings

CONVOLUTIONS: dict[str, type[nn.Module]] = {"gcn": GCN, "gat": GAT, "gin": GIN, "hgn": HGN}
GRAPH_ENCODERS = ("mlp", *CONVOLUTIONS, "hgt")


def convolution(kind: str, width: int, meta: GraphMeta) -> nn.Module:
    """A fresh layer of an encoder, ``[n_src, width]`` to ``[n_dst, width]``."""
    if kind != "hgt":
        return CONVOLUTIONS[kind](width, width, len(meta.relations))
    place = {node_type.name: number for number, node_type in enumerate(meta.node_types)}
    ends = [(place[relation.src], place[relation.dst]) for relation in meta.relations]
    return HGT(width, width, ends, len(place))


class EncoderSettings(Strict):
    """``layers`` counts convolutions, or for ``mlp`` the hidden layers; ``fields`` has none.

    ``width`` is that of a representation, for ``fields`` of each field's embedding, for ``mgnn`` of
    each channel.
    """

    width: PositiveInt = 64
    layers: NonNegativeInt = 2
    dropout: float = Field(default=0.1, ge=0, lt=1)
    mgnn: MGNNSettings = MGNNSettings()


class Encoder(nn.Module, ABC):
    """A view to representations ``[n_out, width]``, by way of ``depth`` blocks of edges.

    A representation may be made of equal parts: ``fields`` fields, or ``channels`` (the node's own
    features, what its neighbours say, what nodes like it say).
    """

    width: int
    depth: int
    fields: int | None = None
    channels: int | None = None
    input: InputLayer
    layers: nn.ModuleList

    @abstractmethod
    def forward(self, view: View) -> Tensor:
        """Representations of the view's outputs ``[n_out, width]``."""


class FieldEncoder(Encoder):
    """The features of a node and nothing else, an embedding each, side by side.

    For what multiplies fields: as many as the node type with most features has.
    """

    def __init__(self, meta: GraphMeta, settings: EncoderSettings) -> None:
        super().__init__()
        self.dropout, self.depth = settings.dropout, 0
        self.fields = max(field_count(t) for t in meta.node_types)
        self.width = self.fields * settings.width
        self.input = InputLayer(meta, settings.width, partial(TypeFields, count=self.fields))
        self.layers = nn.ModuleList()

    def forward(self, view: View) -> Tensor:
        """Fields of the view's outputs ``[n_out, fields * width]``."""
        return F.dropout(self.input(view), self.dropout, self.training)


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
        self.layers = nn.ModuleList(
            Channel(relations, layers, width, settings.dropout, settings.mgnn)
            for relations in (others, *([number] for number, _ in similar))
        )

    def forward(self, view: View) -> Tensor:
        """Own features and channels of the view's outputs ``[n_out, 3 width]``."""
        x = F.dropout(self.input(view), self.dropout, self.training)
        bipartite, *similar = (channel(view.blocks[: self.depth], x) for channel in self.layers)
        own = x[: len(bipartite)]
        node_type = view.node_type[: len(own), None]
        around = own
        for place, h in zip(self.types, similar, strict=True):
            around = torch.where(node_type == place, h, around)
        return torch.cat([own, bipartite, around], dim=1)


class GraphEncoder(Encoder):
    """Input layer, then convolutions with residuals: ``h' = dropout(ReLU(conv(h))) + h``.

    The last layer has no ReLU, so that representations may be negative.
    """

    def __init__(self, kind: str, meta: GraphMeta, settings: EncoderSettings) -> None:
        super().__init__()
        width = settings.width
        self.dropout = settings.dropout
        self.width = width
        self.depth = 0 if kind == "mlp" else settings.layers
        self.input = InputLayer(meta, width)
        if kind == "mlp":
            self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(settings.layers))
        else:
            self.layers = nn.ModuleList(
                convolution(kind, width, meta) for _ in range(settings.layers)
            )

    def forward(self, view: View) -> Tensor:
        """Representations of the view's outputs ``[n_out, width]``."""
        h = F.dropout(self.input(view), self.dropout, self.training)
        for number, layer in enumerate(self.layers):
            if self.depth:
                block = view.blocks[number]
                own, out = h[: block.csr.n_dst], layer(block, h)
            else:
                own, out = h, layer(h)
            if number + 1 < len(self.layers):
                out = F.dropout(F.relu(out), self.dropout, self.training)
            h = own + out
        return h


OTHERS: dict[str, Callable[[GraphMeta, EncoderSettings], Encoder]] = {
    "fields": FieldEncoder,
    "mgnn": MGNN,
}
ENCODERS = (*GRAPH_ENCODERS, *OTHERS)


def make_encoder(kind: str, meta: GraphMeta, settings: EncoderSettings) -> Encoder:
    """A fresh encoder of a kind in :data:`ENCODERS`."""
    if kind in OTHERS:
        return OTHERS[kind](meta, settings)
    return GraphEncoder(kind, meta, settings)
