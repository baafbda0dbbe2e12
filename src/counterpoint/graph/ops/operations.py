"""Message passing on plain tensors.

Every operation has backward, double backward and forward mode, also under ``torch.func``.
Edge values are in the order of the edges of the :class:`~counterpoint.graph.ops.csr.Csr`.
Results are float64 where an input is, else float32, also under autocast.
A tensor whose rows do not fit the graph raises ValueError.
"""

import math
from functools import reduce
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from counterpoint.graph.ops import autograd
from counterpoint.graph.ops.csr import Csr
from counterpoint.graph.ops.kernels import End, current_backend

_EMBEDDING_BAG_MAX = 2  # the number of that mode


def copy_sum(csr: Csr, x: Tensor) -> Tensor:
    """Sum the sources' rows over incoming edges; 0 where there are none.

    Shapes:
        x ``[n_src, ...]``; result ``[n_dst, ...]``.
    """
    return _moved(csr, "src", "dst", x)


def mean(csr: Csr, x: Tensor) -> Tensor:
    """Average the sources' rows over incoming edges; 0 where there are none.

    Shapes:
        x ``[n_src, ...]``; result ``[n_dst, ...]``.
    """
    total = copy_sum(csr, x)
    degree = csr.indptr.diff().clamp(min=1).to(total.dtype)
    return total / degree.reshape(-1, *[1] * (x.ndim - 1))


def max(csr: Csr, x: Tensor) -> Tensor:
    """Largest of the sources' rows over incoming edges, by element; 0 where there are none.

    The gradient of a tie goes to the first of its edges. Torch computes it on either back end:
    DGL's kernel, 4 times as fast, keeps the last edge of a tie in float32.

    Shapes:
        x ``[n_src, ...]``; result ``[n_dst, ...]``.
    """
    (x,) = floating(x)
    rows = _flat(csr, "src", x)
    _, _, _, winners = torch.embedding_bag(
        rows.detach(), csr.indices, csr.indptr, False, _EMBEDDING_BAG_MAX, False, None, True
    )
    isolated = (csr.indptr.diff() == 0).unsqueeze(1)
    winners = winners.masked_fill(isolated, csr.n_src)  # the row of zeros that pad appends
    return pad(rows, (0, 0, 0, 1)).gather(0, winners).reshape(csr.n_dst, *x.shape[1:])


def weighted_sum(csr: Csr, w: Tensor, x: Tensor) -> Tensor:
    """Sum the sources' rows over incoming edges, times the weight of the edge.

    Shapes:
        w ``[E]``, x ``[n_src, ...]``; result ``[n_dst, ...]``. With a weight per head
        w ``[E, H]``, x ``[n_src, H, ...]``; result ``[n_dst, H, ...]``.
    """
    w, x = floating(w, x)
    if w.shape[1:] != x.shape[1 : w.ndim]:
        raise ValueError(f"weights {list(w.shape)} and x {list(x.shape)} differ in heads")
    weights = _flat(csr, "edge", w)
    values = _flat(csr, "src", x).reshape(csr.n_src, weights.shape[1], math.prod(x.shape[w.ndim :]))
    return autograd.combine(csr, current_backend(), "dst", weights, values).reshape(
        csr.n_dst, *x.shape[1:]
    )


def edge_dot(csr: Csr, y_dst: Tensor, x_src: Tensor) -> Tensor:
    """Inner product, for each edge, of its destination's row and its source's.

    Shapes:
        y_dst ``[n_dst, d]``, x_src ``[n_src, d]``; result ``[E]``. With heads
        y_dst ``[n_dst, H, d]``, x_src ``[n_src, H, d]``; result ``[E, H]``.
    """
    y, x = floating(y_dst, x_src)
    if y.shape[1:] != x.shape[1:]:
        raise ValueError(f"y_dst {list(y.shape)} and x_src {list(x.shape)} differ in width")
    *heads, width = x.shape[1:]
    y = _flat(csr, "dst", y).reshape(csr.n_dst, math.prod(heads), width)
    x = _flat(csr, "src", x).reshape(csr.n_src, math.prod(heads), width)
    return autograd.combine(csr, current_backend(), "edge", x, y).reshape(csr.n_edges, *heads)


def edge_softmax(csr: Csr, logits: Tensor) -> Tensor:
    """Softmax over the incoming edges of each destination, for each head by itself.

    Shapes:
        logits ``[E]`` or ``[E, H]``; result the same.
    """
    (logits,) = floating(logits)
    return autograd.edge_softmax(csr, current_backend(), _flat(csr, "edge", logits)).reshape(
        logits.shape
    )


def gather_src(csr: Csr, x: Tensor) -> Tensor:
    """Return the source's row of each edge.

    Shapes:
        x ``[n_src, ...]``; result ``[E, ...]``.
    """
    return _moved(csr, "src", "edge", x)


def gather_dst(csr: Csr, x: Tensor) -> Tensor:
    """Return the destination's row of each edge.

    Shapes:
        x ``[n_dst, ...]``; result ``[E, ...]``.
    """
    return _moved(csr, "dst", "edge", x)


def copy_edges(csr: Csr, target: Literal["src", "dst"], x: Tensor) -> Tensor:
    """Sum the edges' rows over the incoming (``dst``) or outgoing (``src``) edges of each node.

    Shapes:
        x ``[E, ...]``; result ``[n_target, ...]``.
    """
    return _moved(csr, "edge", target, x)


def _moved(csr: Csr, origin: End, target: End, x: Tensor) -> Tensor:
    (x,) = floating(x)
    moved = autograd.move(csr, current_backend(), origin, target, _flat(csr, origin, x))
    return moved.reshape(len(moved), *x.shape[1:])


def _flat(csr: Csr, end: End, x: Tensor) -> Tensor:
    """Return x as a matrix, having checked that it has a row for each edge or node."""
    rows = {"edge": csr.n_edges, "src": csr.n_src, "dst": csr.n_dst}[end]
    if len(x) != rows:
        raise ValueError(f"expected {rows} rows, one per {end}, got a tensor {list(x.shape)}")
    return x.reshape(rows, math.prod(x.shape[1:]))


def floating(*tensors: Tensor) -> list[Tensor]:
    """Return the tensors in float64 if one of them is, else in float32."""
    dtype = reduce(torch.promote_types, [x.dtype for x in tensors])
    return [x.to(dtype if dtype == torch.float64 else torch.float32) for x in tensors]
