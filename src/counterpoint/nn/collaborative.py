"""Graph encoders of recommenders: NGCF and LightGCN, without self loops in the propagation."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.graph.ops import copy_sum
from counterpoint.graph.store import GraphMeta
from counterpoint.graph.views import Block, View
from counterpoint.nn.convolutions import degrees
from counterpoint.nn.encoder import Encoder, EncoderSettings
from counterpoint.nn.experts import SLOPE
from counterpoint.nn.inputs import InputLayer


def propagated(block: Block, h: Tensor) -> Tensor:
    """``D^-1/2 A D^-1/2 h``, ``[n_src, d]`` to ``[n_dst, d]``; 0 for a node without edges.

    On a sampled block the sum is scaled up by the true over the sampled degree.
    """
    n_dst = block.csr.n_dst
    degree, sampled = degrees(block, h)
    scale = degree.clamp(min=1).rsqrt()[:, None]
    return copy_sum(block.csr, h * scale) * scale[:n_dst] * (degree[:n_dst] / sampled)[:, None]


class NGCFLayer(nn.Module):
    """``LeakyReLU((L + I) E W_1 + (L E * E) W_2)`` with L as in :func:`propagated` (eq. 7)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.own, self.product = (nn.Linear(width, width, bias=False) for _ in range(2))

    def forward(self, block: Block, h: Tensor) -> Tensor:
        """``[n_src, d]`` to ``[n_dst, d]``."""
        around, own = propagated(block, h), h[: block.csr.n_dst]
        return F.leaky_relu(self.own(around + own) + self.product(around * own), SLOPE)


class NGCF(Encoder):
    """Neural graph collaborative filtering (Wang et al. 2019): its layers side by side."""

    inner_product = True

    def __init__(self, meta: GraphMeta, settings: EncoderSettings) -> None:
        super().__init__()
        self.dropout, self.depth = settings.dropout, settings.layers
        self.width = (1 + settings.layers) * settings.width
        self.input = InputLayer(meta, settings.width)
        self.layers = nn.ModuleList(NGCFLayer(settings.width) for _ in range(settings.layers))

    def forward(self, view: View) -> Tensor:
        """Inputs and all layers of the view's outputs ``[n_out, (1 + layers) width]``."""
        h = F.dropout(self.input(view), self.dropout, self.training)
        states = [h]
        for layer, block in zip(self.layers, view.blocks, strict=False):
            h = F.dropout(layer(block, h), self.dropout, self.training)
            states.append(h)
        return torch.cat([state[: len(h)] for state in states], dim=1)


class LightGCN(Encoder):
    """Propagation of the inputs and nothing else, the mean of all layers (He et al. 2020)."""

    inner_product = True

    def __init__(self, meta: GraphMeta, settings: EncoderSettings) -> None:
        super().__init__()
        self.dropout, self.depth = settings.dropout, settings.layers
        self.width = settings.width
        self.input = InputLayer(meta, settings.width)
        self.layers = nn.ModuleList()

    def forward(self, view: View) -> Tensor:
        """Mean of inputs and layers of the view's outputs ``[n_out, width]``."""
        h = F.dropout(self.input(view), self.dropout, self.training)
        states = [h]
        for block in view.blocks[: self.depth]:
            h = propagated(block, h)
            states.append(h)
        return torch.stack([state[: len(h)] for state in states]).mean(0)
