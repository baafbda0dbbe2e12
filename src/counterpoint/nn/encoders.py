"""Encoders: a view to one representation a node."""

from abc import ABC, abstractmethod
from functools import partial

from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.data.schema import Strict
from counterpoint.graph.store import GraphMeta
from counterpoint.graph.views import View
from counterpoint.nn.convolutions import GAT, GCN, GIN, HGN
from counterpoint.nn.hgt import HGT
from counterpoint.nn.inputs import InputLayer, TypeFields, field_count

CONVOLUTIONS: dict[str, type[nn.Module]] = {"gcn": GCN, "gat": GAT, "gin": GIN, "hgn": HGN}
GRAPH_ENCODERS = ("mlp", *CONVOLUTIONS, "hgt")
ENCODERS = (*GRAPH_ENCODERS, "fields")


def convolution(kind: str, width: int, meta: GraphMeta) -> nn.Module:
    """A fresh layer of an encoder, ``[n_src, width]`` to ``[n_dst, width]``."""
    if kind != "hgt":
        return CONVOLUTIONS[kind](width, width, len(meta.relations))
    place = {node_type.name: number for number, node_type in enumerate(meta.node_types)}
    ends = [(place[relation.src], place[relation.dst]) for relation in meta.relations]
    return HGT(width, width, ends, len(place))


class EncoderSettings(Strict):
    """``layers`` counts convolutions, or for ``mlp`` the hidden layers; ``fields`` has none.

    ``width`` is that of a representation, for ``fields`` of each field's embedding.
    """

    width: PositiveInt = 64
    layers: NonNegativeInt = 2
    dropout: float = Field(default=0.1, ge=0, lt=1)


class Encoder(nn.Module, ABC):
    """A view to representations ``[n_out, width]``, by way of ``depth`` blocks of edges.

    ``fields`` is the number of equal parts of a representation that are fields; None if none are.
    """

    width: int
    depth: int
    fields: int | None = None
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


def make_encoder(kind: str, meta: GraphMeta, settings: EncoderSettings) -> Encoder:
    """A fresh encoder of a kind in :data:`ENCODERS`."""
    if kind == "fields":
        return FieldEncoder(meta, settings)
    return GraphEncoder(kind, meta, settings)
