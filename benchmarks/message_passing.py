"""Are the message-passing operations fast enough? Forward and backward beside DGL and torch.

Run: python benchmarks/message_passing.py --json message_passing.json    (or --small: 50 times less)

Each pair of arms runs alternately, so that a disturbance of the machine meets both; a ratio is
the median of ours over the median of the other. It is the ratios that count, not the
milliseconds. Two promises are checked, and broken ones end the run with 1.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

THREADS = 2
os.environ["OMP_NUM_THREADS"] = str(THREADS)  # read by both OpenMP libraries when they load

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from counterpoint.graph import ops  # noqa: E402
from counterpoint.graph.ops import Csr, dgl_backend  # noqa: E402

dgl = dgl_backend.dgl

WIDTH, HEADS = 64, 4
PROMISES = {"weighted_sum / dgl u_mul_e_sum": 0.5, "copy_sum / dgl copy_u_sum": 1.1}

Arm = Callable[[], object]


def gradients(function: Callable[..., Tensor], *inputs: Tensor) -> Arm:
    """Forward and backward of a function, to all inputs, against a fixed direction."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    direction = torch.randn_like(function(*leaves))
    return lambda: torch.autograd.grad(function(*leaves), leaves, direction)


def arms(n_nodes: int, n_edges: int) -> Iterator[tuple[str, Arm, Arm]]:
    """Our arm and another on a random graph with as many sources as destinations."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    ends = torch.randint(n_nodes, (2, n_edges), generator=generator)
    csr, _ = Csr.from_edges(ends[0], ends[1], n_nodes, n_nodes)
    src, dst = csr.indices, csr.dst
    graph = dgl.create_block(("csc", (csr.indptr, src, torch.arange(n_edges))), n_nodes, n_nodes)
    x, y, x_heads = normal(n_nodes, WIDTH), normal(n_nodes, WIDTH), normal(n_nodes, HEADS, 16)
    w, w_heads = normal(n_edges), normal(n_edges, HEADS)

    def index_add(messages: Tensor) -> Tensor:
        return torch.zeros(n_nodes, *messages.shape[1:]).index_add(0, dst, messages)

    def scatter_softmax(logits: Tensor) -> Tensor:
        index = dst[:, None].expand_as(logits)
        largest = torch.zeros(n_nodes, logits.shape[1]).scatter_reduce(0, index, logits, "amax")
        exponentials = (logits - largest.detach()[dst]).exp()
        return exponentials / index_add(exponentials)[dst]

    operations: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
        "copy_sum": (lambda x: ops.copy_sum(csr, x), (x,)),
        "weighted_sum": (lambda w, x: ops.weighted_sum(csr, w, x), (w, x)),
        "weighted_sum, 4 heads": (lambda w, x: ops.weighted_sum(csr, w, x), (w_heads, x_heads)),
        "edge_dot": (lambda y, x: ops.edge_dot(csr, y, x), (y, x)),
        "edge_softmax": (lambda e: ops.edge_softmax(csr, e), (w,)),
        "edge_softmax, 4 heads": (lambda e: ops.edge_softmax(csr, e), (w_heads,)),
        "gather_src": (lambda x: ops.gather_src(csr, x), (x,)),
        "gather_dst": (lambda x: ops.gather_dst(csr, x), (x,)),
        "max": (lambda x: ops.max(csr, x), (x,)),
    }
    others: dict[str, dict[str, Callable[..., Tensor]]] = {
        "copy_sum": {
            "dgl copy_u_sum": lambda x: dgl.ops.copy_u_sum(graph, x),
            "index_add": lambda x: index_add(x[src]),
        },
        "weighted_sum": {
            "dgl u_mul_e_sum": lambda w, x: dgl.ops.u_mul_e_sum(graph, x, w[:, None]),
        },
        "weighted_sum, 4 heads": {
            "dgl u_mul_e_sum": lambda w, x: dgl.ops.u_mul_e_sum(graph, x, w[:, :, None]),
        },
        "edge_dot": {
            "dgl u_dot_v": lambda y, x: dgl.ops.u_dot_v(graph, x, y),
        },
        "edge_softmax": {"dgl edge_softmax": lambda e: dgl.ops.edge_softmax(graph, e)},
        "edge_softmax, 4 heads": {
            "dgl edge_softmax": lambda e: dgl.ops.edge_softmax(graph, e),
            "scatter": scatter_softmax,
        },
        "gather_src": {"x[src]": lambda x: x[src]},
        "gather_dst": {"x[dst]": lambda x: x[dst]},
        "max": {"dgl copy_u_max": lambda x: dgl.ops.copy_u_max(graph, x)},
    }
    for name, (ours, inputs) in operations.items():
        for other, theirs in others[name].items():
            yield f"{name} / {other}", gradients(ours, *inputs), gradients(theirs, *inputs)


def medians(ours: Arm, other: Arm, repeats: int) -> tuple[float, float]:
    """Milliseconds of the two arms, run alternately after one run of each for warmth."""
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats + 1):
        for arm, its_times in zip((ours, other), times, strict=True):
            start = time.perf_counter()
            arm()
            if repeat:
                its_times.append(1e3 * (time.perf_counter() - start))
    return median(times[0]), median(times[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a fiftieth of the graph")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="PATH")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    n_nodes, n_edges = (2_000, 40_000) if options.small else (100_000, 2_000_000)

    ratios, milliseconds, broken = {}, {}, []
    for name, ours_arm, other_arm in arms(n_nodes, n_edges):
        ours, other = medians(ours_arm, other_arm, options.repeats)
        ratios[name], milliseconds[name] = round(ours / other, 3), [round(ours, 1), round(other, 1)]
        promise = f"  promised <= {PROMISES[name]}" if name in PROMISES else ""
        print(f"{name:45}{ratios[name]:8.2f}   {ours:8.1f} / {other:8.1f} ms{promise}", flush=True)
        if ratios[name] > PROMISES.get(name, float("inf")):
            broken.append(name)

    if options.json:
        result = {
            "workload": {"nodes": n_nodes, "edges": n_edges, "width": WIDTH, "dtype": "float32"},
            "ratios": ratios,
            "milliseconds": milliseconds,
            "promises": PROMISES,
            "threads": THREADS,
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "dgl": dgl.__version__,
            },
        }
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    print(f"broken: {', '.join(broken)}" if broken else "all promises kept")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
