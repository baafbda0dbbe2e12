"""Cosines that have derivatives of every order, at the origin too."""

from torch import Tensor

from counterpoint.auxiliary.contract import at_least_float32


def unit(x: Tensor) -> Tensor:
    """Rows of length 1 in float32 or wider, ``[..., d]``; a row of zeros stays one.

    Smooth, where ``nn.functional.normalize`` has no second derivative at a row of zeros, which a
    node without features and edges does give.
    """
    x = at_least_float32(x)
    return x * (x.square().sum(-1, keepdim=True) + 1e-12).rsqrt()


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of each pair of rows ``[...]``; 0 where one is zero."""
    return (unit(a) * unit(b)).sum(-1)
