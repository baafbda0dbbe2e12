"""Graph convolutions over one block of the flat graph.

Each maps ``h [n_src, d]`` to ``[n_dst, d']``; the block's destinations are its first sources.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.graph.ops import copy_sum, edge_softmax, gather_dst, gather_src, weighted_sum
from counterpoint.graph.views import Block


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
        scale = (block.degree + 1).to(h.dtype).rsqrt()[:, None]
        sampled = block.csr.indptr.diff().clamp(min=1)
        lift = (block.degree[:n_dst] / sampled).to(h.dtype)[:, None]
        z = self.linear(h)
        around = copy_sum(block.csr, z * scale) * lift
        return (around + z[:n_dst] * scale[:n_dst]) * scale[:n_dst]


class GAT(nn.Module):
    """Graph attention, heads concatenated, self added as in a residual (Velickovic et al. 2018)."""

    def __init__(self, d_in: int, d_out: int, n_relations: int, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.linear = nn.Linear(d_in, d_out, bias=False)
        self.own = nn.Linear(d_in, d_out)
        self.a_src = nn.Parameter(torch.empty(heads, d_out // heads))
        self.a_dst = nn.Parameter(torch.empty(heads, d_out // heads))
        nn.init.xavier_normal_(self.a_src)
        nn.init.xavier_normal_(self.a_dst)

    def forward(self, block: Block, h: Tensor) -> Tensor:
        """``[n_src, d_in]`` to ``[n_dst, d_out]``."""
        n_dst = block.csr.n_dst
        z = self.linear(h).view(len(h), self.heads, -1)
        logit_src = (z * self.a_src).sum(-1)
        logit_dst = (z[:n_dst] * self.a_dst).sum(-1)
        logits = gather_src(block.csr, logit_src) + gather_dst(block.csr, logit_dst)
        attention = edge_softmax(block.csr, F.leaky_relu(logits, 0.2))
        return weighted_sum(block.csr, attention, z).flatten(1) + self.own(h[:n_dst])


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
        degree = block.degree[:n_dst].clamp(min=1).to(h.dtype)
        sampled = block.csr.indptr.diff().clamp(min=1).to(h.dtype)
        around = copy_sum(block.csr, h) * (degree.sqrt() / sampled)[:, None]
        out: Tensor = self.mlp((1 + self.epsilon) * h[:n_dst] + around)
        return out


class HGN(nn.Module):
    """Attention with a learned vector a relation, one softmax over all relations (Lv et al. 2021).

    Simple-HGN, eq. 4, with residual; the edge-type embedding enters the logit as one scalar a
    relation and head, which is what its two linear maps amount to.
    """

    def __init__(self, d_in: int, d_out: int, n_relations: int, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.linear = nn.Linear(d_in, d_out, bias=False)
        self.own = nn.Linear(d_in, d_out)
        self.a_src = nn.Parameter(torch.empty(heads, d_out // heads))
        self.a_dst = nn.Parameter(torch.empty(heads, d_out // heads))
        self.a_relation = nn.Parameter(torch.zeros(max(n_relations, 1), heads))
        self.relation_scale = nn.Parameter(torch.ones(max(n_relations, 1), heads))
        nn.init.xavier_normal_(self.a_src)
        nn.init.xavier_normal_(self.a_dst)

    def forward(self, block: Block, h: Tensor) -> Tensor:
        """``[n_src, d_in]`` to ``[n_dst, d_out]``."""
        n_dst = block.csr.n_dst
        z = self.linear(h).view(len(h), self.heads, -1)
        logit_src = (z * self.a_src).sum(-1)
        logit_dst = (z[:n_dst] * self.a_dst).sum(-1)
        logits = gather_src(block.csr, logit_src) + gather_dst(block.csr, logit_dst)
        logits = F.leaky_relu(logits + self.a_relation[block.etype], 0.2)
        attention = edge_softmax(block.csr, logits) * self.relation_scale[block.etype]
        return weighted_sum(block.csr, attention, z).flatten(1) + self.own(h[:n_dst])
