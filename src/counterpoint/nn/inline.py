"""InLINE: exchange between tasks inside the graph layer, before relations are mixed (METHODS A.2).

A layer has a block a task and shared ones. Each block's expert projects the nodes; the message of
an edge to a block is a mixture of the experts that the block sees, weighed by a gate that knows
the edge's relation and both ends::

    m_e = sum_k g_ek y_u^k        for an edge e from u to v

No message is ever made: the attention's logit needs ``sum_k g_ek (a . y_u^k)``, one number an edge,
and the sum over neighbours is one weighted product an expert (METHODS A.9).
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
        return logits.t().softmax(0).t()  # by column, as the logits are stored


@dataclass(frozen=True)
class EdgeWeights:
    """How a block reads edges: ``gates [E, k]`` over the experts it sees, ``attention [E, heads]``.

    ``gates`` is None where it sees one expert alone.
    """

    gates: Tensor | None
    attention: Tensor


class InlineLayer(nn.Module):
    """Blocks 0 to ``len(seen) - 1`` read off the experts that each of them sees.

    There may be more experts than blocks: after the last layer nobody needs the shared ones.
    With one expert and one block it is the convolution of the encoder.

    ``context`` None is the paper's layer. The reference code's takes from one block, the shared
    one, for all of them what the gates read, the nodes' own projections, the relations' logits and
    what is added of the nodes' own; a block's are then its expert, a_src, a_dst and its gate.
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
        logit_dropout: float = 0.0,
        context: int | None = None,
    ) -> None:
        super().__init__()
        self.seen = [list(places) for places in seen]
        self.experts = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(experts))
        known = max(relations, 1) if attends_relations else 0
        self.context = context
        readers = len(seen) if context is None else max(len(seen), context + 1)
        self.attention = nn.ModuleList(
            Attention(width, width, HEADS, known, logit_dropout) for _ in range(readers)
        )
        self.gates = nn.ModuleList(
            StructureGate(
                width, gate_width, len(places), relations, types, by_relation=gates_relations
            )
            if len(places) > 1
            else nn.Identity()  # there is nothing to weigh
            for places in seen
        )

    def forward(self, block: Block, states: Tensor) -> Tensor:
        """States ``[n_src, experts, d]`` to the blocks' outputs ``[n_dst, blocks, d]``."""
        z = self._projected(states)
        read = []
        for number in range(len(self.seen)):
            experts = self._seen(number, z)
            weights = self._weights(number, block, states, z, experts)
            read.append(self._read(number, block, states, experts, weights))
        return torch.stack(read, 1)

    def edge_weights(self, block: Block, states: Tensor) -> list[EdgeWeights]:
        """Gates and attention of each block, for who wants to look at them."""
        z = self._projected(states)
        return [
            self._weights(number, block, states, z, self._seen(number, z))
            for number in range(len(self.seen))
        ]

    def _projected(self, states: Tensor) -> list[Tensor]:
        """Of all nodes by each expert ``[n_src, heads, d / heads]``."""
        return [
            expert(h).unflatten(1, (HEADS, -1))
            for expert, h in zip(self.experts, states.unbind(1), strict=True)
        ]

    def _seen(self, number: int, z: Sequence[Tensor]) -> Tensor:
        """Of the experts that a block sees ``[n_src, k, heads, d / heads]``."""
        return torch.stack([z[place] for place in self.seen[number]], 1)

    def _attention(self, number: int) -> Attention:
        attention = self.attention[number]
        assert isinstance(attention, Attention)
        return attention

    def _context(self, number: int) -> int:
        """The block whose nodes and relations a block goes by, its own or the one for all."""
        return number if self.context is None else self.context

    def _weights(
        self, number: int, block: Block, states: Tensor, z: Sequence[Tensor], experts: Tensor
    ) -> EdgeWeights:
        attention, context = self._attention(number), self._context(number)
        by_expert = _edges_last(gather_src(block.csr, attention.said_by(experts)))
        gates = None
        if len(by_expert) > 1 and block.csr.n_edges:
            gates = self.gates[number](block, states[:, context])
            by_expert = by_expert * gates.t()[:, None]
        said = by_expert.sum(0).t()
        z_dst, relations = block.at_destinations(z[context]), self._attention(context)
        return EdgeWeights(gates, attention.weights(block, z_dst, said, relations))

    def _read(
        self, number: int, block: Block, states: Tensor, experts: Tensor, weights: EdgeWeights
    ) -> Tensor:
        """``[n_dst, d]``: a weighted sum over neighbours for each expert that the block sees."""
        by_expert = _edges_last(weights.attention).expand(experts.shape[1], -1, -1)
        if weights.gates is not None:
            by_expert = by_expert * weights.gates.t()[:, None]
        around = weighted_sum(block.csr, by_expert.flatten(0, 1).t(), experts.flatten(1, 2))
        around = around.view(block.csr.n_dst, *experts.shape[1:]).sum(1)
        context = self._context(number)
        return self._attention(context).with_own(block, states[:, context], around)


def _edges_last(x: Tensor) -> Tensor:
    """``[E, ...]`` to ``[..., E]``: products and sums then run over edges, not over two values."""
    return x.movedim(0, -1).contiguous()
