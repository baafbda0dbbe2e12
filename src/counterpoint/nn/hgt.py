"""Heterogeneous graph transformer: projections a node type, attention and message a relation."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.graph.ops import Csr, edge_dot, edge_softmax, weighted_sum
from counterpoint.graph.views import Block
from counterpoint.nn.convolutions import width_of_a_head


class TypedLinear(nn.Module):
    """A linear map a node type; rows of a type that has none stay zero."""

    def __init__(self, n_types: int, d_in: int, d_out: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(d_in, d_out) for _ in range(n_types))

    def forward(self, h: Tensor, node_type: Tensor) -> Tensor:
        """``[n, d_in]`` to ``[n, d_out]`` by ``node_type [n]``."""
        places = [torch.nonzero(node_type == t).flatten() for t in range(len(self.maps))]
        parts = [made(h[rows]) for made, rows in zip(self.maps, places, strict=True)]
        return torch.cat(parts)[torch.argsort(torch.cat(places))]


class HGT(nn.Module):
    """Hu et al. 2020 (arXiv 2003.01332), eqs. 3 to 5, without the temporal encoding.

    For an edge of relation r from s to t, with keys, queries and values projected by node type::

        logit = mu_r <K(s) W_r, Q(t)> / sqrt(d_head),   message = V(s) M_r

    one softmax over all incoming edges of t whatever their relation, and ``A(gelu(sum))`` by the
    type of t. The residual is the encoder's. ``W_r`` and ``M_r`` begin as the identity, ``mu_r``
    as 1.
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        relations: Sequence[tuple[int, int]],
        n_types: int,
        heads: int = 2,
    ) -> None:
        """``relations`` are the node types of source and destination of each edge type."""
        super().__init__()
        self.heads, self.width = heads, width_of_a_head(d_out, heads)
        self.relations = tuple(relations)
        self.key, self.query, self.value = (TypedLinear(n_types, d_in, d_out) for _ in range(3))
        self.out = TypedLinear(n_types, d_out, d_out)
        count = max(len(self.relations), 1)
        identity = torch.eye(self.width).repeat(count, heads, 1, 1)
        self.attend = nn.Parameter(identity.clone())
        self.message = nn.Parameter(identity.clone())
        self.prior = nn.Parameter(torch.ones(count, heads))

    def forward(self, block: Block, h: Tensor) -> Tensor:
        """``[n_src, d_in]`` to ``[n_dst, d_out]``."""
        n_dst, types = block.csr.n_dst, block.node_type
        k, v = (self._heads(made, h, types) for made in (self.key, self.value))
        q = self._heads(self.query, h[:n_dst], types[:n_dst])
        parts = self._relations(block)
        if not parts:
            around = h.new_zeros(n_dst, self.heads * self.width)
            return self._updated(around, types[:n_dst])
        logits = torch.cat([self._logits(relation, csr, k, q) for relation, csr, _ in parts])
        # of all relations together, in the block's own order of edges
        order = torch.argsort(torch.cat([edges for _, _, edges in parts]))
        attention = edge_softmax(block.csr, logits[order])
        sums = [
            weighted_sum(
                csr, attention[edges], torch.einsum("nhi,hij->nhj", v, self.message[relation])
            )
            for relation, csr, edges in parts
        ]
        return self._updated(torch.stack(sums).sum(0).flatten(1), types[:n_dst])

    def _heads(self, made: TypedLinear, h: Tensor, types: Tensor) -> Tensor:
        projected: Tensor = made(h, types)
        return projected.view(len(h), self.heads, self.width)

    def _relations(self, block: Block) -> list[tuple[int, Csr, Tensor]]:
        """Each relation that has edges here: its number, adjacency, places of its edges."""
        found = []
        for relation in range(len(self.relations)):
            mask = block.etype == relation
            if bool(mask.any()):
                found.append((relation, block.csr.kept(mask), torch.nonzero(mask).flatten()))
        return found

    def _logits(self, relation: int, csr: Csr, k: Tensor, q: Tensor) -> Tensor:
        """``[E of the relation, heads]``."""
        keys = torch.einsum("nhi,hij->nhj", k, self.attend[relation])
        scale = self.prior[relation] / math.sqrt(self.width)
        return edge_dot(csr, q, keys.to(q)) * scale

    def _updated(self, around: Tensor, types: Tensor) -> Tensor:
        updated: Tensor = self.out(F.gelu(around), types)
        return updated
