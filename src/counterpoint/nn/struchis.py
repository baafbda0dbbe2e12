"""StrucHIS: tasks exchange what each relation says to a node (METHODS A.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from counterpoint.graph.views import Block
from counterpoint.nn.relation_attention import RelationAttention


class RelationGate(nn.Module):
    """Weights of the tasks' messages for each node and relation. Starts uniform.

    The reference feeds the node's state twice, to keep the shape of InLINE's gate; here once.
    """

    def __init__(self, d_in: int, hidden: int, tasks: int, relations: int, types: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(types, d_in, hidden))
        self.bias = nn.Parameter(torch.zeros(types, hidden))
        self.out = nn.Parameter(torch.zeros(max(relations, 1), hidden, tasks))
        nn.init.uniform_(self.weight, -(d_in**-0.5), d_in**-0.5)

    def forward(self, block: Block, h: Tensor) -> list[Tensor]:
        """For each relation that has edges here, weights ``[n_d, tasks]``, which sum to one."""
        hidden: dict[int, Tensor] = {}
        weights = []
        for part in block.by_relation:
            head = part.dst_type
            if head not in hidden:
                first = torch.addmm(self.bias[head], h[part.dst], self.weight[head])
                hidden[head] = first.relu()
            weights.append((hidden[head] @ self.out[part.relation]).softmax(-1))
        return weights


@dataclass(frozen=True)
class RelationWeights:
    """How a block reads relations, an entry for each one that has edges here.

    ``gates``: ``[n_d, tasks]`` over the tasks' messages, its own first, and None where there is
    one task alone; ``attention``: ``[n_d]``.
    """

    gates: list[Tensor] | None
    attention: list[Tensor]


class StrucHISLayer(nn.Module):
    """A block a task; each reads mixtures of all tasks' messages, relation by relation."""

    def __init__(
        self,
        width: int,
        tasks: int,
        relations: int,
        types: int,
        *,
        gate_width: int,
        mask_absent: bool,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            RelationAttention(width, width, relations, types, mask_absent=mask_absent)
            for _ in range(tasks)
        )
        self.gates = nn.ModuleList(
            RelationGate(width, gate_width, tasks, relations, types) for _ in range(tasks)
        )

    def forward(self, block: Block, states: Tensor) -> Tensor:
        """States ``[n_src, tasks, d]`` to outputs ``[n_dst, tasks, d]``."""
        own = states.unbind(1)
        said = self._said(block, own)
        return torch.stack(
            [
                self._block(t).read(block, h, _mixed(self.gates[t](block, h), said))
                for t, h in enumerate(own)
            ],
            1,
        )

    def relation_weights(self, block: Block, states: Tensor) -> list[RelationWeights]:
        """Gates and attention of each task's block, for who wants to look at them."""
        own = states.unbind(1)
        said = self._said(block, own)
        found = []
        for task, h in enumerate(own):
            gates = self.gates[task](block, h)
            attention = self._block(task).relation_attention(block, _mixed(gates, said))
            order = [task, *(other for other in range(len(own)) if other != task)]
            own_first = [g[:, order] for g in gates] if len(own) > 1 else None
            found.append(RelationWeights(own_first, attention))
        return found

    def _block(self, task: int) -> RelationAttention:
        block = self.blocks[task]
        assert isinstance(block, RelationAttention)
        return block

    def _said(self, block: Block, own: Sequence[Tensor]) -> list[Tensor]:
        """What each relation says to the tasks' blocks ``[n_d, tasks, d]``."""
        by_task = [self._block(t).messages(block, h) for t, h in enumerate(own)]
        return [torch.stack(of_relation, 1) for of_relation in zip(*by_task, strict=True)]


def _mixed(gates: Sequence[Tensor], said: Sequence[Tensor]) -> list[Tensor]:
    return [(g.unsqueeze(-1) * m).sum(1) for g, m in zip(gates, said, strict=True)]
