"""StrucHIS: tasks exchange what each relation says to a node (METHODS A.3)."""

from collections.abc import Sequence

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
        said = [
            torch.stack(by_task, 1)  # [n_d, tasks, d], one a relation
            for by_task in zip(*self._messages(block, own), strict=True)
        ]
        return torch.stack([self._read(t, block, h, said) for t, h in enumerate(own)], 1)

    def _messages(self, block: Block, own: Sequence[Tensor]) -> list[list[Tensor]]:
        found = []
        for made, h in zip(self.blocks, own, strict=True):
            assert isinstance(made, RelationAttention)
            found.append(made.messages(block, h))
        return found

    def _read(self, task: int, block: Block, h: Tensor, said: Sequence[Tensor]) -> Tensor:
        made = self.blocks[task]
        assert isinstance(made, RelationAttention)
        gates = self.gates[task](block, h)
        mixed = [(g.unsqueeze(-1) * m).sum(1) for g, m in zip(gates, said, strict=True)]
        return made.read(block, h, mixed)
