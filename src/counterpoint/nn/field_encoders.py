"""Encoders of a node's features alone that keep fields apart: the recommenders' baselines."""

import itertools
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.graph.store import GraphMeta
from counterpoint.graph.views import View
from counterpoint.nn.encoder import Encoder, EncoderSettings
from counterpoint.nn.experts import SLOPE
from counterpoint.nn.inputs import InputLayer, TypeFields, field_count
from counterpoint.nn.interactions import (
    CompressedInteraction,
    CrossNetwork,
    FieldNetwork,
    PooledProducts,
)


def field_inputs(meta: GraphMeta, width: int) -> tuple[InputLayer, int]:
    """Fields of ``width`` side by side, and how many: those of the node type with most features."""
    count = max(field_count(t) for t in meta.node_types)
    return InputLayer(meta, width, partial(TypeFields, count=count)), count


class FieldEncoder(Encoder):
    """An embedding a feature, side by side."""

    def __init__(self, meta: GraphMeta, settings: EncoderSettings) -> None:
        super().__init__()
        self.dropout, self.depth = settings.dropout, 0
        self.input, self.fields = field_inputs(meta, settings.field_width)
        self.width = self.fields * settings.field_width
        self.layers = nn.ModuleList()

    def forward(self, view: View) -> Tensor:
        """Fields of the view's outputs ``[n_out, fields * field_width]``."""
        return F.dropout(self.input(view), self.dropout, self.training)


class Deep(nn.Sequential):
    """Hidden layers with leaky ReLUs, ``[n, ...]`` flat to ``[n, width]``."""

    def __init__(self, d_in: int, settings: EncoderSettings) -> None:
        widths = [d_in] + [settings.width] * settings.layers
        linear = (nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        layers = (layer for made in linear for layer in (made, nn.LeakyReLU(SLOPE)))
        super().__init__(nn.Flatten(1), *layers)
        self.width = widths[-1]


Branches = Callable[[int, int, EncoderSettings], list[tuple[nn.Module, int]]]


def _deep(fields: int, e: int, settings: EncoderSettings) -> tuple[nn.Module, int]:
    made = Deep(fields * e, settings)
    return made, made.width


def _dcn(fields: int, e: int, settings: EncoderSettings) -> list[tuple[nn.Module, int]]:
    cross = CrossNetwork(fields * e, settings.layers, "dcn_v2")
    return [(cross, fields * e), _deep(fields, e, settings)]


def _fint(fields: int, e: int, settings: EncoderSettings) -> list[tuple[nn.Module, int]]:
    deep, width = _deep(fields, e, settings)
    return [(nn.Sequential(FieldNetwork(fields, settings.layers, "fint"), deep), width)]


def _nfm(fields: int, e: int, settings: EncoderSettings) -> list[tuple[nn.Module, int]]:
    deep = Deep(e, settings)
    return [(nn.Sequential(PooledProducts(), deep), deep.width)]


def _xdeepfm(fields: int, e: int, settings: EncoderSettings) -> list[tuple[nn.Module, int]]:
    compressed = CompressedInteraction(fields, settings.layers, settings.width)
    return [(compressed, settings.layers * settings.width), _deep(fields, e, settings)]


# branches on fields [n, C, e], and how wide each is
BRANCHES: dict[str, Branches] = {
    "wide_deep": lambda fields, e, settings: [_deep(fields, e, settings)],
    "dcn_v2": _dcn,
    "fint": _fint,
    "nfm": _nfm,
    "xdeepfm": _xdeepfm,
}
WIDE = ("wide_deep", "nfm", "xdeepfm")


class InteractionEncoder(Encoder):
    """Branches on the fields of a node, side by side; some have a number a feature besides.

    Wide & Deep (Cheng et al. 2016), DCN-V2 in parallel (Wang et al. 2021), FINT (Zhao et al. 2021),
    NFM (He and Chua 2017), xDeepFM (Lian et al. 2018), without their last, linear layer: that is
    what follows an encoder.
    """

    def __init__(self, kind: str, meta: GraphMeta, settings: EncoderSettings) -> None:
        super().__init__()
        self.dropout, self.depth = settings.dropout, 0
        self.input, self.count = field_inputs(meta, settings.field_width)
        branches = BRANCHES[kind](self.count, settings.field_width, settings)
        self.layers = nn.ModuleList(branch for branch, _ in branches)
        self.wide = field_inputs(meta, 1)[0] if kind in WIDE else None
        self.width = sum(width for _, width in branches) + self.count * (kind in WIDE)

    def forward(self, view: View) -> Tensor:
        """All branches of the view's outputs ``[n_out, width]``."""
        z = F.dropout(self.input(view), self.dropout, self.training)
        tokens = z.view(len(z), self.count, z.shape[1] // self.count)
        parts = [branch(tokens) for branch in self.layers]
        return torch.cat(parts if self.wide is None else [*parts, self.wide(view)], dim=1)

    def last_layer(self) -> nn.Module:
        """All branches: none is above another."""
        return self.layers
