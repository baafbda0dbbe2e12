"""Task towers: a node's representation to class logits, a pair's to one logit."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn


def joint_logit(a: Tensor, b: Tensor) -> Tensor:
    """Log-odds of ``sigmoid(a) sigmoid(b)``, of any shape: ``-log(e^-a + e^-b + e^-(a + b))``."""
    return -torch.logaddexp(torch.logaddexp(-a, -b), -a - b)


def _layers(d_in: int, width: int, d_out: int, hidden: bool) -> nn.Sequential:
    """A perceptron with a hidden layer of ``width``, or none."""
    if not hidden:
        return nn.Sequential(nn.Linear(d_in, d_out))
    return nn.Sequential(nn.Linear(d_in, width), nn.ReLU(), nn.Linear(width, d_out))


class NodeTower(nn.Module):
    """One hidden layer, then logits: ``[n, d]`` to ``[n, C]``, or ``[n]`` without classes."""

    def __init__(self, d_in: int, width: int, classes: int | None, hidden: bool = True) -> None:
        super().__init__()
        self.classes = classes
        self.mlp = _layers(d_in, width, classes or 1, hidden)

    def forward(self, h: Tensor) -> Tensor:
        """Logits ``[n]`` or ``[n, C]``."""
        out: Tensor = self.mlp(h)
        return out.squeeze(-1) if self.classes is None else out


class NormalisedTower(nn.Module):
    """A node tower whose rows of logits have length 1, as InLINE's and StrucHIS's code has it.

    Without classes the logit is the difference of two; of a single one its sign alone would be
    left. A probability is then at most .804 of two classes, .514 of four, .128 of twenty.
    """

    def __init__(self, d_in: int, width: int, classes: int | None, hidden: bool = True) -> None:
        super().__init__()
        self.classes = classes
        self.tower = NodeTower(d_in, width, classes or 2, hidden)

    def forward(self, h: Tensor) -> Tensor:
        """Logits ``[n]`` or ``[n, C]``."""
        logits = nn.functional.normalize(self.tower(h), eps=1e-12)
        return logits[:, 1] - logits[:, 0] if self.classes is None else logits


@dataclass(frozen=True)
class PairFactors:
    """What a pair's logit is made of: ``<vector_src, vector_dst> + bias_src + bias_dst``.

    Shapes: ``vector [n, w]``, ``bias [n]``, for one side.
    """

    vector: Tensor
    bias: Tensor


class FactorisedTower(nn.Module, ABC):
    """A pair's logit as a dot product plus a bias a side.

    Such a score can be ranked in full by one matrix product and served from stored vectors.
    """

    @abstractmethod
    def factors(self, h: Tensor, side: str) -> PairFactors:
        """Vector and bias of ``side`` ('src' or 'dst') for representations ``h [n, d]``."""

    def forward(self, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Logits ``[n]`` of aligned pairs."""
        a, b = self.factors(h_src, "src"), self.factors(h_dst, "dst")
        return (a.vector * b.vector).sum(-1) + a.bias + b.bias


class PairTower(FactorisedTower):
    """Two perceptrons, source and destination, from ``d_in`` to a vector and a bias."""

    def __init__(self, d_in: int, width: int, hidden: bool = True) -> None:
        super().__init__()
        self.src, self.dst = (_layers(d_in, width, width + 1, hidden) for _ in range(2))
        self.width = width

    def factors(self, h: Tensor, side: str) -> PairFactors:
        """Vector ``[n, width]`` and bias of a side."""
        out = (self.src if side == "src" else self.dst)(h)
        return PairFactors(out[:, : self.width] / self.width**0.25, out[:, self.width])


class InnerProduct(FactorisedTower):
    """The inner product of the representations as they are, and one level for all pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(()))  # without it a rare label has no way to be rare

    def factors(self, h: Tensor, side: str) -> PairFactors:
        """``h`` itself; half the level a side."""
        return PairFactors(h, (self.level / 2).expand(len(h)))
