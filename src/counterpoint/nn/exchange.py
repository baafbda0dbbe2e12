"""How several networks exchange what they have made: stitches, routes, gates."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from counterpoint.nn.experts import Gates
from counterpoint.nn.hard_concrete import HardConcrete

KEPT = 0.9  # of a network's own activations before stitches learn; the others share the rest


class Stitch(nn.Module):
    """``h~_t = sum_s a_ts h_s`` (Misra et al. 2016, eq. 1, one a_ts for all channels)."""

    def __init__(self, networks: int) -> None:
        super().__init__()
        own = torch.eye(networks)
        others = (1 - own) / max(networks - 1, 1)
        self.weight = nn.Parameter(KEPT * own + (1 - KEPT) * others if networks > 1 else own)

    def forward(self, h: Tensor) -> Tensor:
        """``[n, S, d]`` to the same, mixed over S."""
        return torch.einsum("ts,nsw->ntw", self.weight, h)


class Routing(nn.Module):
    """Gated connections between sub-networks: ``v_j = sum_i z_ij u_i W_ij``.

    Shapes: ``u [n, inputs, d_in]`` to ``v [n, outputs, width]``.
    """

    def __init__(self, inputs: int, outputs: int, d_in: int, width: int) -> None:
        super().__init__()
        self.gates = HardConcrete(inputs, outputs)
        self.weight = nn.Parameter(torch.empty(inputs, outputs, d_in, width))
        bound = (inputs * d_in) ** -0.5  # of one linear layer on all inputs
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, u: Tensor) -> Tensor:
        """Inputs of the sub-networks above ``[n, outputs, width]``."""
        inputs, outputs, d_in, width = self.weight.shape
        weight = (self.gates()[:, :, None, None] * self.weight).transpose(1, 2)
        weight = weight.reshape(inputs * d_in, outputs * width)
        flat: Tensor = u.reshape(len(u), inputs * d_in) @ weight
        return flat.view(len(u), outputs, width)


def open_gates(module: nn.Module) -> Tensor:
    """Expected number of open connections in all routings within ``module``."""
    expected = [
        part.chance_of_open().sum() for part in module.modules() if isinstance(part, HardConcrete)
    ]
    return torch.stack(expected).sum()


class SeenGates(nn.Module):
    """Output j mixes the networks that it sees, by a gate on the states of network ``reads[j]``."""

    def __init__(self, width: int, seen: Sequence[Sequence[int]], reads: Sequence[int]) -> None:
        super().__init__()
        self.seen, self.reads = [list(places) for places in seen], list(reads)
        self.gates = nn.ModuleList(Gates(width, len(places)) for places in seen)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Networks' states before and after a layer ``[n, S, d]`` to outputs ``[n, S', d]``."""
        # taken apart once, and never put together: each choice of some of them would be a copy
        read, made = before.unbind(1), after.unbind(1)
        mixed = []
        for gate, places, reads in zip(self.gates, self.seen, self.reads, strict=True):
            weights = gate(read[reads]).split(1, 1)
            parts = [w * made[place] for w, place in zip(weights, places, strict=True)]
            mixed.append(reduce(torch.add, parts))
        return torch.stack(mixed, 1)
