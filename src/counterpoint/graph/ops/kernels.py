"""What a back end computes, and the choice of one.

The rule that the measurements leave is short: torch, everywhere. Forward and backward on 10⁵ to
2·10⁶ edges, two quiet threads, torch's time over DGL's: copy-sum .6 to 1.1 (the largest about 1),
weighted sum .2, per-edge dot .2, softmax of two or more heads .6 to 1. DGL is ahead in the softmax
of one head from 10⁶ edges on, 1.1 to 1.5 times: 8 ms a call, for an import of seconds. On sampled
blocks, each of which it turns into a graph of its own first, it is behind
(benchmarks/message_passing.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

import torch
from torch import Tensor

from counterpoint.graph.ops.csr import Csr

End = Literal["edge", "src", "dst"]
"""Where a value lives: on an edge, at its source or at its destination."""

Backend = Literal["torch", "dgl"]


class Kernels(Protocol):
    """The three computations, without derivatives, on float32 or float64 tensors.

    ``move`` is linear and ``combine`` bilinear in its values; their derivatives are moves and
    combines between other ends, so two kernels serve all orders of differentiation.
    """

    def move(self, csr: Csr, origin: End, target: End, x: Tensor) -> Tensor:
        """Sum over edges, into their target, of x ``[n_origin, k]`` at their origin."""

    def combine(self, csr: Csr, target: End, first: Tensor, second: Tensor) -> Tensor:
        """Sum over edges, into their target, of the product of the values at the other two ends.

        first and second live at those ends in the order edge, src, dst. Values of edges are
        ``[E, H]``, values of nodes ``[n, H, k]``; on the way to an edge the product is summed
        over k.
        """

    def edge_softmax(self, csr: Csr, logits: Tensor) -> Tensor:
        """Softmax of logits ``[E, H]`` over the incoming edges of each destination."""


_backend: ContextVar[Backend] = ContextVar("message_passing_backend", default="torch")


def current_backend() -> Backend:
    """Return the back end that operations called now will use, in their derivatives too."""
    return _backend.get()


@contextmanager
def use_backend(backend: Backend) -> Iterator[None]:
    """Choose who computes the operations called inside: torch, the default, or DGL.

    DGL has CPU kernels alone: tensors on other devices are torch's whatever is chosen.
    """
    token = _backend.set(backend)
    try:
        yield
    finally:
        _backend.reset(token)


def kernels(backend: Backend, device: torch.device) -> Kernels:
    """Return the kernels of a back end; DGL is imported by the first call that needs it."""
    if backend == "dgl" and device.type == "cpu":
        from counterpoint.graph.ops import dgl_backend

        return dgl_backend
    from counterpoint.graph.ops import torch_backend

    return torch_backend
