"""Attention within each relation, then over relations: one task's part of StrucHIS (METHODS A.3).

With one task it is the convolution ``relgat``, the twin of StrucHIS; HAN (Wang et al. 2019) is of
this form, with relations in the place of its meta-paths.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.graph.ops import edge_softmax, gather_dst, gather_src, weighted_sum
from counterpoint.graph.views import Block, RelationEdges


def _places_by_head(block: Block) -> list[list[int]]:
    """Places in ``block.by_relation`` of the relations that lead to each type of head."""
    places: dict[int, list[int]] = {}
    for place, part in enumerate(block.by_relation):
        places.setdefault(part.dst_type, []).append(place)
    return list(places.values())


class RelationAttention(nn.Module):
    """``[n_src, d_in]`` to ``[n_dst, d_out]``; projections go by the type of the head.

    ``mask_absent``: a relation by which a node has no neighbour gets no attention. The reference
    lets its row of zeros take part.
    """

    def __init__(
        self, d_in: int, d_out: int, relations: int, types: int, *, mask_absent: bool = True
    ) -> None:
        super().__init__()
        self.mask_absent = mask_absent
        self.weight = nn.Parameter(torch.empty(types, d_in, d_out))
        self.a_src = nn.Parameter(torch.empty(types, d_out))
        self.a_dst = nn.Parameter(torch.empty(types, d_out))
        self.a_relation = nn.Parameter(torch.zeros(max(relations, 1)))
        self.score = nn.Parameter(torch.empty(types, d_out))
        self.own = nn.Linear(d_in, d_out)
        nn.init.uniform_(self.weight, -(d_in**-0.5), d_in**-0.5)
        for vector in (self.a_src, self.a_dst, self.score):
            nn.init.uniform_(vector, -(d_out**-0.5), d_out**-0.5)

    def forward(self, block: Block, h: Tensor) -> Tensor:
        """The convolution of a single task."""
        return self.read(block, h, self.messages(block, h))

    def messages(self, block: Block, h: Tensor) -> list[Tensor]:
        """What each relation that has edges here says to its heads ``[n_d, d_out]``."""
        return [self._message(part, h) for part in block.by_relation]

    def _message(self, part: RelationEdges, h: Tensor) -> Tensor:
        head = part.dst_type
        y_src, y_dst = h[part.src] @ self.weight[head], h[part.dst] @ self.weight[head]
        logits = gather_src(part.csr, y_src @ self.a_src[head])
        logits = logits + gather_dst(part.csr, y_dst @ self.a_dst[head])
        logits = logits + self.a_relation[part.relation]
        return weighted_sum(part.csr, edge_softmax(part.csr, F.leaky_relu(logits, 0.2)), y_src)

    def read(self, block: Block, h: Tensor, messages: Sequence[Tensor]) -> Tensor:
        """``[n_dst, d_out]`` of messages by relation, weighed by attention, and the own state."""
        out: Tensor = self.own(block.at_destinations(h))
        for parts in _places_by_head(block):
            weights = self.attention(block, messages, parts)
            stacked = torch.stack([messages[n] for n in parts], 1)
            around = (weights.unsqueeze(-1) * stacked).sum(1)
            out = out.index_add(0, block.by_relation[parts[0]].dst, around.to(out))
        return out

    def relation_attention(self, block: Block, messages: Sequence[Tensor]) -> list[Tensor]:
        """Weights ``[n_d]`` of each relation that has edges here, for who wants to look at them."""
        found: dict[int, Tensor] = {}
        for parts in _places_by_head(block):
            weights = self.attention(block, messages, parts).unbind(1)
            found |= dict(zip(parts, weights, strict=True))
        return [found[n] for n in range(len(messages))]

    def attention(self, block: Block, messages: Sequence[Tensor], parts: Sequence[int]) -> Tensor:
        """Weights ``[n_d, len(parts)]`` of relations that lead to one type of head.

        The paper's score reads the head's state too; the same for all relations, it leaves a
        softmax over them as it is.
        """
        score = self.score[block.by_relation[parts[0]].dst_type]
        logits = torch.stack([messages[n] @ score for n in parts], 1)
        if not self.mask_absent:
            return logits.softmax(1)
        degrees = [block.by_relation[n].csr.indptr.diff() for n in parts]
        absent = torch.stack(degrees, 1) == 0
        logits = logits.masked_fill(absent, torch.finfo(logits.dtype).min)
        return logits.softmax(1).masked_fill(absent, 0.0)
