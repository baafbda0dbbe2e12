"""Gates that are exactly open or shut now and then, and have a gradient all the same."""

import math

import torch
from torch import Tensor, nn

TEMPERATURE, LOW, HIGH = 0.9, -0.1, 1.1  # b, gamma, zeta
START = 2.0  # of log a: noise is least near an end, and at 2.4 evaluation would have no gradient


class HardConcrete(nn.Module):
    """Gates in [0, 1] whose noise has an atom at either end (Louizos et al. 2018, eq. 10-13).

    In training ``s = sigmoid((logit(u) + log a) / b)`` with u uniform, from torch's global
    generator; in evaluation ``s = sigmoid(log a)``. The gate is ``clip(s (zeta - gamma) + gamma,
    0, 1)``. Gates start nearly open.
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.log_a = nn.Parameter(torch.full(shape, START))

    def forward(self) -> Tensor:
        """The gates, of the shape that was asked for."""
        at: Tensor = self.log_a
        if self.training:
            at = (torch.logit(torch.rand_like(at), eps=1e-6) + at) / TEMPERATURE
        return (torch.sigmoid(at) * (HIGH - LOW) + LOW).clamp(0, 1)

    def chance_of_open(self) -> Tensor:
        """Chance of each gate not to be 0 in training: its expected L0 norm."""
        return torch.sigmoid(self.log_a - TEMPERATURE * math.log(-LOW / HIGH))
