"""The operations, each with a plain loop that says what it means, on small graphs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from counterpoint.graph import ops
from counterpoint.graph.ops import Csr


@dataclass(frozen=True)
class Case:
    name: str
    operation: Callable[..., Tensor]
    loop: Callable[..., Tensor]
    shapes: tuple[tuple[str | int, ...], ...]
    """Of the tensors that follow the graph: where their rows live, then the other dimensions."""


def edges(csr: Csr) -> list[tuple[int, int, int]]:
    """Edge, source, destination, read off the compressed rows."""
    pointers = csr.indptr.tolist()
    return [
        (e, int(csr.indices[e]), v)
        for v in range(csr.n_dst)
        for e in range(pointers[v], pointers[v + 1])
    ]


def summed(csr: Csr, messages: list[Tensor], width: tuple[int, ...]) -> Tensor:
    rows = [torch.zeros(width, dtype=torch.float64) for _ in range(csr.n_dst)]
    for (_, _, v), message in zip(edges(csr), messages, strict=True):
        rows[v] = rows[v] + message
    return torch.stack(rows)


def stacked(rows: list[Tensor], width: tuple[int, ...]) -> Tensor:
    return torch.stack(rows) if rows else torch.zeros(0, *width, dtype=torch.float64)


def loop_copy_sum(csr: Csr, x: Tensor) -> Tensor:
    return summed(csr, [x[u] for _, u, _ in edges(csr)], x.shape[1:])


def loop_mean(csr: Csr, x: Tensor) -> Tensor:
    degrees = [max(sum(v == w for _, _, w in edges(csr)), 1) for v in range(csr.n_dst)]
    return torch.stack([row / n for row, n in zip(loop_copy_sum(csr, x), degrees, strict=True)])


def loop_max(csr: Csr, x: Tensor) -> Tensor:
    rows = []
    for v in range(csr.n_dst):
        incoming = [x[u] for _, u, w in edges(csr) if w == v]
        rows.append(torch.stack(incoming).amax(0) if incoming else x.new_zeros(x.shape[1:]))
    return torch.stack(rows)


def loop_weighted_sum(csr: Csr, w: Tensor, x: Tensor) -> Tensor:
    heads = w.unsqueeze(-1) if w.ndim > 1 else w
    return summed(csr, [heads[e] * x[u] for e, u, _ in edges(csr)], x.shape[1:])


def loop_edge_dot(csr: Csr, y: Tensor, x: Tensor) -> Tensor:
    return stacked([(y[v] * x[u]).sum(-1) for _, u, v in edges(csr)], x.shape[1:-1])


def loop_edge_softmax(csr: Csr, logits: Tensor) -> Tensor:
    numerators = [logits[e].exp() for e, _, _ in edges(csr)]
    totals = summed(csr, numerators, logits.shape[1:])
    quotients = [a / totals[v] for a, (_, _, v) in zip(numerators, edges(csr), strict=True)]
    return stacked(quotients, logits.shape[1:])


def loop_gather_src(csr: Csr, x: Tensor) -> Tensor:
    return stacked([x[u] for _, u, _ in edges(csr)], x.shape[1:])


def loop_gather_dst(csr: Csr, x: Tensor) -> Tensor:
    return stacked([x[v] for _, _, v in edges(csr)], x.shape[1:])


CASES = [
    Case("copy_sum", ops.copy_sum, loop_copy_sum, (("src", 3),)),
    Case("copy_sum, vector", ops.copy_sum, loop_copy_sum, (("src",),)),
    Case("copy_sum, heads", ops.copy_sum, loop_copy_sum, (("src", 2, 3),)),
    Case("mean", ops.mean, loop_mean, (("src", 3),)),
    Case("mean, heads", ops.mean, loop_mean, (("src", 2, 3),)),
    Case("max", ops.max, loop_max, (("src", 3),)),
    Case("max, heads", ops.max, loop_max, (("src", 2, 3),)),
    Case("weighted_sum", ops.weighted_sum, loop_weighted_sum, (("edge",), ("src", 3))),
    Case("weighted_sum, heads", ops.weighted_sum, loop_weighted_sum, (("edge", 2), ("src", 2, 3))),
    Case("edge_dot", ops.edge_dot, loop_edge_dot, (("dst", 3), ("src", 3))),
    Case("edge_dot, heads", ops.edge_dot, loop_edge_dot, (("dst", 2, 3), ("src", 2, 3))),
    Case("edge_softmax", ops.edge_softmax, loop_edge_softmax, (("edge",),)),
    Case("edge_softmax, heads", ops.edge_softmax, loop_edge_softmax, (("edge", 2),)),
    Case("gather_src", ops.gather_src, loop_gather_src, (("src", 3),)),
    Case("gather_src, vector", ops.gather_src, loop_gather_src, (("src",),)),
    Case("gather_dst", ops.gather_dst, loop_gather_dst, (("dst", 3),)),
    Case("gather_dst, heads", ops.gather_dst, loop_gather_dst, (("dst", 2, 3),)),
]

EDGES = {
    # two parallel edges; destinations 1 and 4 and sources 3 and 6 have none
    "bipartite": ([5, 0, 2, 0, 1, 4, 0, 4, 2, 0], [3, 0, 0, 2, 2, 2, 3, 0, 3, 3], 7, 5),
    "edgeless": ([], [], 3, 2),
    "sourceless": ([], [], 0, 2),
}


def graph(name: str) -> Csr:
    src, dst, n_src, n_dst = EDGES[name]
    ids = torch.tensor([src, dst], dtype=torch.int64)
    return Csr.from_edges(ids[0], ids[1], n_src, n_dst)[0]


@pytest.fixture(params=["torch", "dgl"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with ops.use_backend(request.param):
        yield request.param


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture
def csr() -> Csr:
    return graph("bipartite")


@pytest.fixture
def make_graph() -> Callable[[str], Csr]:
    return graph


@pytest.fixture
def make_inputs(case: Case) -> Callable[[Csr], list[Tensor]]:
    """Distinct float64 values, in the shapes that the case has on a graph."""

    def make(csr: Csr, seed: int = 0) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        rows = {"edge": csr.n_edges, "src": csr.n_src, "dst": csr.n_dst}
        return [
            torch.randn(rows[end], *width, dtype=torch.float64, generator=generator)
            for end, *width in case.shapes
        ]

    return make
