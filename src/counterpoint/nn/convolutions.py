"""Graph convolutions over one block of the flat graph.

Each maps ``h [n_src, d]`` to ``[n_dst, d']``; the block's destinations are its first sources.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.errors import UserError
from counterpoint.graph.ops import copy_sum, edge_softmax, gather_dst, gather_src, weighted_sum
from counterpoint.graph.views import Block

HEADS = 2


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
        degree, sampled = degrees(block, h)
        scale = (degree + 1).rsqrt()[:, None]
        z = self.linear(h) * scale
        around = copy_sum(block.csr, z)
        if not block.is_whole:
            around = around * (block.at_destinations(degree) / sampled)[:, None]
        out: Tensor = (around + block.at_destinations(z)) * block.at_destinations(scale)
        return out


def width_of_a_head(width: int, heads: int) -> int:
    """The width of each of the attention heads, which are concatenated."""
    if width % heads:
        raise UserError(f"encoder: width {width}: not a multiple of the {heads} attention heads")
    return width // heads


def by_head(values: Tensor, vectors: Tensor) -> Tensor:
    """Each head's inner product ``[..., heads]`` of ``[..., heads, d]`` and ``[heads, d]``.

    As one matrix product: products that are summed after cost seven times as much.
    """
    by_column = torch.block_diag(*vectors).t()  # type: ignore[no-untyped-call]
    found: Tensor = values.flatten(-2) @ by_column
    return found


class Attention(nn.Module):
    """What a node reads off its neighbours: weights of edges, and what is added of its own.

    With ``n_relations`` Simple-HGN's (Lv et al. 2021, eq. 4): a learned vector a relation enters
    the logit as one scalar a relation and head, which is what its two linear maps amount to. Ours
    in addition: a learned factor a relation and head on what the softmax gives, 1 at the start.
    ``logit_dropout`` is the share of logits that training sets to 0, not the share of edges that
    it drops.
    """

    def __init__(
        self, d_in: int, d_out: int, heads: int, n_relations: int = 0, logit_dropout: float = 0.0
    ) -> None:
        super().__init__()
        width = width_of_a_head(d_out, heads)
        self.logit_dropout = logit_dropout
        self.own = nn.Linear(d_in, d_out)
        self.a_src = nn.Parameter(torch.empty(heads, width))
        self.a_dst = nn.Parameter(torch.empty(heads, width))
        nn.init.xavier_normal_(self.a_src)
        nn.init.xavier_normal_(self.a_dst)
        self.by_relation = n_relations > 0
        if self.by_relation:
            self.a_relation = nn.Parameter(torch.zeros(n_relations, heads))
            self.relation_scale = nn.Parameter(torch.ones(n_relations, heads))

    def forward(self, block: Block, h: Tensor, z_dst: Tensor, experts: Tensor) -> Tensor:
        """One kind of message, ``experts [n_src, heads, d / heads]``, to ``[n_dst, d_out]``."""
        around = weighted_sum(block.csr, self.of_edges(block, z_dst, experts), experts)
        return self.with_own(block, h, around)

    def of_edges(self, block: Block, z_dst: Tensor, experts: Tensor) -> Tensor:
        """Weights of edges ``[E, heads]`` whose messages are ``experts`` of their sources."""
        return self.weights(block, z_dst, gather_src(block.csr, self.said_by(experts)))

    def said_by(self, experts: Tensor) -> Tensor:
        """What sources say in the logits ``[..., heads]``, of ``[..., heads, d / heads]``."""
        return by_head(experts, self.a_src)

    def weights(
        self, block: Block, z_dst: Tensor, said: Tensor, relations: "Attention | None" = None
    ) -> Tensor:
        """Weights of edges ``[E, heads]`` from what their sources say, of the same shape.

        ``relations``: whose logits and factors of relations count, by default its own.
        """
        of = relations or self
        logits = said + gather_dst(block.csr, by_head(z_dst, self.a_dst))
        if not of.by_relation:
            return edge_softmax(block.csr, self._dropped(logits))
        both = torch.cat([of.a_relation, of.relation_scale], 1).index_select(0, block.etype)
        added, scale = both.chunk(2, 1)
        return edge_softmax(block.csr, self._dropped(logits + added)) * scale

    def _dropped(self, logits: Tensor) -> Tensor:
        return F.dropout(F.leaky_relu(logits, 0.2), self.logit_dropout, self.training)

    def with_own(self, block: Block, h: Tensor, around: Tensor) -> Tensor:
        """``[n_dst, d_out]`` of what was read ``[n_dst, heads, d / heads]`` and the nodes' own."""
        out: Tensor = around.flatten(1) + self.own(block.at_destinations(h))
        return out


class GAT(nn.Module):
    """Graph attention, heads concatenated, self added as in a residual (Velickovic et al. 2018)."""

    attends_relations = False

    def __init__(self, d_in: int, d_out: int, n_relations: int, heads: int = HEADS) -> None:
        super().__init__()
        self.heads = heads
        self.linear = nn.Linear(d_in, d_out, bias=False)
        self.attention = Attention(
            d_in, d_out, heads, max(n_relations, 1) if self.attends_relations else 0
        )

    def forward(self, block: Block, h: Tensor) -> Tensor:
        """``[n_src, d_in]`` to ``[n_dst, d_out]``."""
        z = self._projected(h)
        out: Tensor = self.attention(block, h, block.at_destinations(z), z)
        return out

    def edge_attention(self, block: Block, h: Tensor) -> Tensor:
        """Weights of edges ``[E, heads]``, for who wants to look at them."""
        z = self._projected(h)
        return self.attention.of_edges(block, block.at_destinations(z), z)

    def _projected(self, h: Tensor) -> Tensor:
        projected: Tensor = self.linear(h)
        return projected.view(len(h), self.heads, projected.shape[1] // self.heads)


class HGN(GAT):
    """Attention that knows relations, one softmax over all of them (:class:`Attention`)."""

    attends_relations = True


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
