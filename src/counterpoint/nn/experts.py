"""Experts and gates as batched matrix products, never a loop over experts."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.1  # leaky: a narrow layer of plain ReLUs loses units for good, and twins with it


class Experts(nn.Module):
    """``count`` one-hidden-layer experts, ``[n, d_in]`` to ``[n, count, width]``."""

    def __init__(self, count: int, d_in: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, d_in, width))
        self.bias = nn.Parameter(torch.zeros(count, width))
        bound = d_in**-0.5  # of nn.Linear; the fan of a three-dimensional tensor is another
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, h: Tensor) -> Tensor:
        """``[n, d_in]``, or an input each ``[n, count, d_in]``, to ``[n, count, width]``."""
        count, d_in, width = self.weight.shape
        if h.ndim == 3:
            outputs = torch.bmm(h.transpose(0, 1), self.weight).transpose(0, 1) + self.bias
            return F.leaky_relu_(outputs, SLOPE)
        weight = self.weight.transpose(0, 1).reshape(d_in, count * width)
        # in place before there is a view: after it, autograd copies the gradient three times
        outputs = F.leaky_relu_(torch.addmm(self.bias.flatten(), h, weight), SLOPE)
        return outputs.view(len(h), count, width)


class Gates(nn.Module):
    """One softmax gate a task over the experts: ``[n, d_in]`` to ``[n, experts]``."""

    def __init__(self, d_in: int, experts: int) -> None:
        super().__init__()
        self.linear = nn.Linear(d_in, experts)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, h: Tensor) -> Tensor:
        """Weights that sum to one over experts ``[n, experts]``; uniform at the start."""
        weights: Tensor = self.linear(h).softmax(-1)
        return weights


def mixture(gates: Tensor, outputs: Tensor) -> Tensor:
    """Gate-weighted sum of expert outputs: ``[n, E]``, ``[n, E, w]`` to ``[n, w]``."""
    # on a CPU a third to a sixth of the time of n products of a row and a small matrix
    return (gates.unsqueeze(-1) * outputs).sum(1)


def gates_of(gates: Sequence[nn.Module], h: Tensor) -> Tensor:
    """:class:`Gates` over as many experts each, of one input, as one product: ``[n, T, E]``."""
    linears = [cast(nn.Linear, gate.linear) for gate in gates]
    weight = torch.cat([linear.weight for linear in linears])
    bias = torch.cat([linear.bias for linear in linears])
    logits = F.linear(h, weight, bias).view(len(h), len(gates), linears[0].out_features)
    return logits.softmax(-1)


def mixtures(gates: Tensor, outputs: Tensor) -> tuple[Tensor, ...]:
    """A :func:`mixture` for each of several gates ``[n, T, E]``."""
    if gates.shape[1] == 1:
        return (mixture(gates[:, 0], outputs),)
    # n products of small matrices read the outputs once: half to a quarter of the time
    return torch.bmm(gates, outputs).unbind(1)
