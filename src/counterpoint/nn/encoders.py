"""Encoders: a view to one representation a node."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.graph.store import GraphMeta
from counterpoint.graph.views import View
from counterpoint.nn.collaborative import NGCF, LightGCN
from counterpoint.nn.convolutions import GAT, GCN, GIN, HGN
from counterpoint.nn.encoder import Encoder, EncoderSettings
from counterpoint.nn.field_encoders import BRANCHES, FieldEncoder, InteractionEncoder
from counterpoint.nn.hgt import HGT
from counterpoint.nn.inputs import InputLayer
from counterpoint.nn.mgnn import MGNN
from counterpoint.nn.relation_attention import RelationAttention

CONVOLUTIONS: dict[str, type[nn.Module]] = {"gcn": GCN, "gat": GAT, "gin": GIN, "hgn": HGN}
TYPED = ("hgt", "relgat")  # whose layers know the types of nodes
GRAPH_ENCODERS = ("mlp", *CONVOLUTIONS, *TYPED)


def convolution(kind: str, width: int, meta: GraphMeta) -> nn.Module:
    """A fresh layer of an encoder, ``[n_src, width]`` to ``[n_dst, width]``."""
    if kind in CONVOLUTIONS:
        return CONVOLUTIONS[kind](width, width, len(meta.relations))
    if kind == "relgat":
        return RelationAttention(width, width, len(meta.relations), len(meta.node_types))
    place = {node_type.name: number for number, node_type in enumerate(meta.node_types)}
    ends = [(place[relation.src], place[relation.dst]) for relation in meta.relations]
    return HGT(width, width, ends, len(place))


def advanced(own: Tensor, out: Tensor, dropout: float, *, last: bool, training: bool) -> Tensor:
    """The states after a layer ``[n, d]``: ``own + dropout(ReLU(out))``, or ``own + out`` at last.

    The last layer has no ReLU, so that representations may be negative.
    """
    return own + (out if last else F.dropout(F.relu(out), dropout, training))


class GraphEncoder(Encoder):
    """Input layer, then convolutions with residuals (:func:`advanced`)."""

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
                own, out = block.at_destinations(h), layer(block, h)
            else:
                own, out = h, layer(h)
            last = number + 1 == len(self.layers)
            h = advanced(own, out, self.dropout, last=last, training=self.training)
        return h


OTHERS: dict[str, Callable[[GraphMeta, EncoderSettings], Encoder]] = {
    "mgnn": MGNN,
    "ngcf": NGCF,
    "lightgcn": LightGCN,
    "fields": FieldEncoder,
    **{kind: partial(InteractionEncoder, kind) for kind in BRANCHES},
}
ENCODERS = (*GRAPH_ENCODERS, *OTHERS)


def make_encoder(kind: str, meta: GraphMeta, settings: EncoderSettings) -> Encoder:
    """A fresh encoder of a kind in :data:`ENCODERS`."""
    if kind in OTHERS:
        return OTHERS[kind](meta, settings)
    return GraphEncoder(kind, meta, settings)


__all__ = ["ENCODERS", "Encoder", "EncoderSettings", "GraphEncoder", "make_encoder"]
