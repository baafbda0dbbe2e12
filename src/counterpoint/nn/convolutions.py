"""Graph convolutions over one block of the flat graph.

Each maps ``h [n_src, d]`` to ``[n_dst, d']``; the block's destinations are its first sources.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.errors import UserError
from counterpoint.graph.ops import copy_sum, edge_softmax, gather_dst, gather_src, weighted_sum
from counterpoint.graph.views import Block


def degrees(block: Block, h: Tensor) -> tuple[Tensor, Tensor]:
    """True degrees ``[n_src]`` and those in the block ``[n_dst]``, the latter at least 1.

    In float32 at least: in bfloat16, 257 edges are 256.
    """
    dtype = torch.promote_types(h.dtype, torch.float32)
    return block.degree.to(dtype), block.csr.indptr.diff().clamp(min=1).to(dtype)


class GCN(nn.Module):
    """Symmetrically normalised convolution with self loops (Kipf and Welling 2017, eq. 2).

    On a sampled block the sum over neighbours is scaled up by the true over the sampled degree,
    so that its expectation is that of the whole graph.
    """

    def __init__(self, d_in: int, d_out: int, n_relations: int) -> None:
        super().__init__()
        self.linear = nn.Linear(d_in, d_out)

    def forward(self, block: Block, h: Tensor) -> Tensor:
        """``[n_src, d_in]`` to ``[n_dst, d_out]``."""
        n_dst = block.csr.n_dst
        degree, sampled = degrees(block, h)
        scale = (degree + 1).rsqrt()[:, None]
        lift = (degree[:n_dst] / sampled)[:, None]
        z = self.linear(h)
        around = copy_sum(block.csr, z * scale) * lift
        out: Tensor = (around + z[:n_dst] * scale[:n_dst]) * scale[:n_dst]
        return out


def width_of_a_head(width: int, heads: int) -> int:
    """The width of each of the attention heads, which are concatenated."""
    if width % heads:
        raise UserError(f"encoder: width {width}: not a multiple of the {heads} attention heads")
    return width // heads


class GAT(nn.Module):
    """Graph attention, heads concatenated, self added as in a residual (Velickovic et al. 2018)."""

    def __init__(self, d_in: int, d_out: int, n_relations: int, heads: int = 2) -> None:
        super().__init__()
        self.heads, head_width = heads, width_of_a_head(d_out, heads)
        self.linear = nn.Linear(d_in, d_out, bias=False)
        self.own = nn.Linear(d_in, d_out)
        self.a_src = nn.Parameter(torch.empty(heads, head_width))
        self.a_dst = nn.Parameter(torch.empty(heads, head_width))
        nn.init.xavier_normal_(self.a_src)
        nn.init.xavier_normal_(self.a_dst)

    def forward(self, block: Block, h: Tensor) -> Tensor:
        """``[n_src, d_in]`` to ``[n_dst, d_out]``."""
        n_dst = block.csr.n_dst
        z = self.linear(h).view(len(h), self.heads, -1)
        logit_src = (z * self.a_src).sum(-1)
        logit_dst = (z[:n_dst] * self.a_dst).sum(-1)
        logits = gather_src(block.csr, logit_src) + gather_dst(block.csr, logit_dst)
        around = weighted_sum(block.csr, self.attention(block, logits), z)
        out: Tensor = around.flatten(1) + self.own(h[:n_dst])
        return out

    def attention(self, block: Block, logits: Tensor) -> Tensor:
        """Weights ``[E, heads]`` of edges from what both ends say."""
        return edge_softmax(block.csr, F.leaky_relu(logits, 0.2))


class GIN(nn.Module):
    """Sum aggregation and a two-layer perceptron (Xu et al. 2019, eq. 4.1), epsilon learned.

    Sampled sums are scaled up as in :class:`GCN`; the sum is divided by the square root of the
    degree, without which hubs of a bipartite graph saturate the perceptron.
    """

    def __init__(self, d_in: int, d_out: int, n_relations: int) -> None:
        super().__init__()
        self.epsilon = nn.Parameter(torch.zeros(()))
        self.mlp = nn.Sequential(nn.Linear(d_in, d_out), nn.ReLU(), nn.Linear(d_out, d_out))

    def forward(self, block: Block, h: Tensor) -> Tensor:
        """``[n_src, d_in]`` to ``[n_dst, d_out]``."""
        n_dst = block.csr.n_dst
        degree, sampled = degrees(block, h)
        around = copy_sum(block.csr, h) * (degree[:n_dst].sqrt() / sampled)[:, None]
        out: Tensor = self.mlp((1 + self.epsilon) * h[:n_dst] + around)
        return out


class HGN(GAT):
    """Attention with a learned vector a relation, one softmax over all relations (Lv et al. 2021).

    Simple-HGN, eq. 4, with residual; the edge-type embedding enters the logit as one scalar a
    relation and head, which is what its two linear maps amount to. Ours in addition: a learned
    factor a relation and head on what the softmax gives, 1 at the start.
    """

    def __init__(self, d_in: int, d_out: int, n_relations: int, heads: int = 2) -> None:
        super().__init__(d_in, d_out, n_relations, heads)
        self.a_relation = nn.Parameter(torch.zeros(max(n_relations, 1), heads))
        self.relation_scale = nn.Parameter(torch.ones(max(n_relations, 1), heads))

    def attention(self, block: Block, logits: Tensor) -> Tensor:
        """As in :class:`GAT`, with the relation's scalar in the logit and its factor outside."""
        attention = super().attention(block, logits + self.a_relation[block.etype])
        return attention * self.relation_scale[block.etype]
