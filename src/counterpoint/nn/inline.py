"""InLINE: exchange between tasks inside the graph layer, before relations are mixed (METHODS A.2).

A layer has a block a task and shared ones. Each block's expert projects the nodes; the message of
an edge to a block is a mixture of the experts that the block sees, weighed by a gate that knows
the edge's relation and both ends::

    m_e = sum_k g_ek y_u^k        for an edge e from u to v

No message is ever made: the attention's logit needs ``sum_k g_ek (a . y_u^k)``, one number an edge,
and the sum over neighbours is one weighted product an expert (METHODS A.9).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from counterpoint.graph.ops import edge_perceptron, gather_src, weighted_sum
from counterpoint.graph.views import Block
from counterpoint.nn.convolutions import HEADS, Attention


class StructureGate(nn.Module):
    """Weights of a block's experts on every edge, by a perceptron on the nodes of both ends.

    Its first layer goes by the head's type, its second by the relation, or without
    ``by_relation`` by the head's type again. Starts uniform.
    """

    def __init__(
        self, d_in: int, hidden: int, experts: int, relations: int, types: int, *, by_relation: bool
    ) -> None:
        super().__init__()
        self.by_relation = by_relation
        self.at_dst = nn.Parameter(torch.empty(types, d_in, hidden))
        self.at_src = nn.Parameter(torch.empty(types, d_in, hidden))
        self.bias = nn.Parameter(torch.zeros(types, hidden))
        self.out = nn.Parameter(torch.zeros(relations if by_relation else types, hidden, experts))
        bound = (2 * d_in) ** -0.5  # of one linear layer on both ends
        nn.init.uniform_(self.at_dst, -bound, bound)
        nn.init.uniform_(self.at_src, -bound, bound)

    def forward(self, block: Block, h: Tensor) -> Tensor:
        """Weights ``[E, experts]``, which sum to one, from states ``h [n_src, d_in]``."""
        parts = block.by_relation
        at_dst = [
            torch.addmm(self.bias[part.dst_type], h[part.dst], self.at_dst[part.dst_type])
            for part in parts
        ]
        at_src = [h[part.src] @ self.at_src[part.dst_type] for part in parts]
        rows = [part.relation if self.by_relation else part.dst_type for part in parts]
        logits = edge_perceptron(
            [(part.csr, part.places) for part in parts], at_dst, at_src, [self.out[r] for r in rows]
        )
        return logits.softmax(-1)


def gated_read(
    attention: Attention, block: Block, h: Tensor, z_dst: Tensor, experts: Tensor, gates: Tensor
) -> Tensor:
    """A block's output ``[n_dst, d]`` from mixed messages.

    Args:
        attention: the block's own.
        block: edges.
        h: the block's states ``[n_src, d_in]``.
        z_dst: their projections at the destinations ``[n_dst, heads, d / heads]``.
        experts: projections by the experts that the block sees ``[n_src, k, heads, d / heads]``.
        gates: ``[E, k]``.
    """
    said = gather_src(block.csr, attention.said_by(experts))
    weights = attention.weights(block, z_dst, (gates[:, :, None] * said).sum(1))
    by_expert = (gates[:, :, None] * weights[:, None]).flatten(1)
    around = weighted_sum(block.csr, by_expert, experts.flatten(1, 2))
    n_dst, (_, k, heads, width) = block.csr.n_dst, experts.shape
    return attention.with_own(block, h, around.view(n_dst, k, heads, width).sum(1))


class InlineLayer(nn.Module):
    """Blocks 0 to ``len(seen) - 1`` read off the experts that each of them sees.

    There may be more experts than blocks: after the last layer nobody needs the shared ones.
    With one expert and one block it is the convolution of the encoder.
    """

    def __init__(
        self,
        width: int,
        experts: int,
        seen: Sequence[Sequence[int]],
        relations: int,
        types: int,
        *,
        attends_relations: bool,
        gates_relations: bool,
        gate_width: int,
    ) -> None:
        super().__init__()
        self.seen = [list(places) for places in seen]
        self.experts = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(experts))
        known = max(relations, 1) if attends_relations else 0
        self.attention = nn.ModuleList(Attention(width, width, HEADS, known) for _ in seen)
        self.gates = nn.ModuleList(
            StructureGate(
                width, gate_width, len(places), relations, types, by_relation=gates_relations
            )
            for places in seen
        )

    def forward(self, block: Block, states: Tensor) -> Tensor:
        """States ``[n_src, experts, d]`` to the blocks' outputs ``[n_dst, blocks, d]``."""
        made = [expert(h) for expert, h in zip(self.experts, states.unbind(1), strict=True)]
        z = torch.stack(made, 1).view(len(states), len(made), HEADS, -1)
        return torch.stack(
            [self._read(number, block, states[:, number], z) for number in range(len(self.seen))], 1
        )

    def _read(self, number: int, block: Block, h: Tensor, z: Tensor) -> Tensor:
        attention, places = self.attention[number], self.seen[number]
        assert isinstance(attention, Attention)
        z_dst = z[: block.csr.n_dst, number]
        if len(places) == 1 or not block.csr.n_edges:
            return attention.forward(block, h, z_dst, z[:, places[0]])
        gates = self.gates[number](block, h)
        return gated_read(attention, block, h, z_dst, z[:, places], gates)
