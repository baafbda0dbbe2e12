"""The kernels of DGL, which run on a CPU.

DGL's own autograd functions fail under ``torch.func``, and its edge softmax has no second
derivative: only the kernels below them are called, inside our Functions. dgl 1.1.3 is pinned and
at its end, so its private names stay where they are.
"""

import os
import warnings
from weakref import WeakKeyDictionary

from torch import Tensor

from counterpoint.graph.ops.csr import Csr
from counterpoint.graph.ops.kernels import End

os.environ.setdefault("DGLBACKEND", "pytorch")  # unset, dgl writes a file into the home directory
with warnings.catch_warnings():
    # escape sequences in dgl's docstrings, reported where its byte code is not cached
    warnings.filterwarnings("ignore", "invalid escape sequence", DeprecationWarning)
    import dgl
    from dgl._sparse_ops import _edge_softmax_forward, _gsddmm, _gspmm

_graphs: WeakKeyDictionary[Csr, dgl.heterograph_index.HeteroGraphIndex] = WeakKeyDictionary()


def move(csr: Csr, origin: End, target: End, x: Tensor) -> Tensor:
    """See :meth:`counterpoint.graph.ops.kernels.Kernels.move`."""
    graph = _graph(csr, reverse=target == "src" or (origin, target) == ("dst", "edge"))
    x = x.contiguous()  # dgl goes by the shape and does not look at strides
    moved: Tensor
    if target == "edge":
        moved = _gsddmm(graph, "copy_lhs", x, None, "u", "v")
    elif origin == "edge":
        moved, _ = _gspmm(graph, "copy_rhs", "sum", None, x)
    else:
        moved, _ = _gspmm(graph, "copy_lhs", "sum", x, None)
    return moved


def combine(csr: Csr, target: End, first: Tensor, second: Tensor) -> Tensor:
    """See :meth:`counterpoint.graph.ops.kernels.Kernels.combine`."""
    graph = _graph(csr, reverse=target == "src")
    first, second = first.contiguous(), second.contiguous()
    combined: Tensor
    if target == "edge":
        combined = _gsddmm(graph, "dot", first, second, "u", "v").squeeze(-1)
    else:
        combined, _ = _gspmm(graph, "mul", "sum", second, first.unsqueeze(-1))
    return combined


def edge_softmax(csr: Csr, logits: Tensor) -> Tensor:
    """See :meth:`counterpoint.graph.ops.kernels.Kernels.edge_softmax`."""
    attention: Tensor = _edge_softmax_forward(
        _graph(csr, reverse=False), logits.contiguous(), "copy_rhs"
    )
    return attention


def _graph(csr: Csr, reverse: bool) -> dgl.heterograph_index.HeteroGraphIndex:
    """Return DGL's view of the adjacency, or of its transpose; made once and kept with it."""
    if csr not in _graphs:
        # the edge ids are named: without them dgl's blocked sum over edges stops on a null
        csc = ("csc", (csr.indptr, csr.indices, csr.positions))
        _graphs[csr] = dgl.create_block(csc, csr.n_src, csr.n_dst)._graph
    return _graphs[csr].reverse() if reverse else _graphs[csr]
