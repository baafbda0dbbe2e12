"""Task towers: a node's representation to class logits, a pair's to one logit."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


def joint_logit(a: Tensor, b: Tensor) -> Tensor:
    """Log-odds of ``sigmoid(a) sigmoid(b)``, of any shape: ``-log(e^-a + e^-b + e^-(a + b))``."""
    return -torch.logaddexp(torch.logaddexp(-a, -b), -a - b)


class NodeTower(nn.Module):
    """One hidden layer, then logits: ``[n, d]`` to ``[n, C]``, or ``[n]`` without classes."""

    def __init__(self, d_in: int, width: int, classes: int | None) -> None:
        super().__init__()
        self.classes = classes
        self.mlp = nn.Sequential(nn.Linear(d_in, width), nn.ReLU(), nn.Linear(width, classes or 1))

    def forward(self, h: Tensor) -> Tensor:
        """Logits ``[n]`` or ``[n, C]``."""
        out: Tensor = self.mlp(h)
        return out.squeeze(-1) if self.classes is None else out


@dataclass(frozen=True)
class PairFactors:
    """What a pair's logit is made of: ``<vector_src, vector_dst> + bias_src + bias_dst``.

    Shapes: ``vector [n, w]``, ``bias [n]``, for one side.
    """

    vector: Tensor
    bias: Tensor


class PairTower(nn.Module):
    """Two perceptrons, source and destination; the logit is a dot product plus a bias a side.

    Such a score can be ranked in full by one matrix product and served from stored vectors.
    """

    def __init__(self, d_in: int, width: int) -> None:
        super().__init__()

        def side() -> nn.Sequential:
            return nn.Sequential(nn.Linear(d_in, width), nn.ReLU(), nn.Linear(width, width + 1))

        self.src, self.dst = side(), side()
        self.width = width

    def factors(self, h: Tensor, side: str) -> PairFactors:
        """Vector and bias of ``side`` ('src' or 'dst') for representations ``h [n, d]``."""
        out = (self.src if side == "src" else self.dst)(h)
        return PairFactors(out[:, : self.width] / self.width**0.25, out[:, self.width])

    def forward(self, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Logits ``[n]`` of aligned pairs."""
        a, b = self.factors(h_src, "src"), self.factors(h_dst, "dst")
        return (a.vector * b.vector).sum(-1) + a.bias + b.bias
