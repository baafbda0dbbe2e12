"""Time and memory of layers in which tasks exchange, beside single-task layers and a yardstick.

Forward and backward of one layer, 30,000 nodes of three types, 500,000 edges of four relations,
width 64; the arms take turns, medians are compared. The yardstick is InLINE as one would write it
down: vectorised, with the message of every edge by every expert in memory.

    python -m benchmarks.exchange_layers --json benchmarks/results/exchange_layers.json
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.stores import planted_store
from counterpoint.files import write_json
from counterpoint.graph.ops import Csr, copy_edges, gather_dst, gather_src
from counterpoint.graph.store import open_store
from counterpoint.graph.views import Block, TrainingGraph
from counterpoint.nn.convolutions import HGN, Attention
from counterpoint.nn.exchange import SeenGates
from counterpoint.nn.inline import InlineLayer, StructureGate
from counterpoint.nn.relation_attention import RelationAttention
from counterpoint.nn.struchis import StrucHISLayer
from counterpoint.training.loop import Trainer
from counterpoint.training.process import prepare_process
from counterpoint.training.settings import TrainSettings, cell_named

NODES, EDGES, WIDTH, TASKS, TYPES = 30_000, 500_000, 64, 2, 3
ENDS = ((0, 1), (1, 0), (1, 2), (2, 1))  # types of the sources and destinations of the relations
# ratio -> over, under, promise
PROMISES: dict[str, tuple[str, str, float]] = {
    "InLINE against the yardstick": ("InLINE", "yardstick", 0.3),
    "InLINE against its twins": ("InLINE", "twins", 8.0),
    "StrucHIS against its twins": ("StrucHIS", "twins of StrucHIS", 3.0),
    "PLE against the twins": ("PLE", "twins", 2.0),
}
TWINS_OF = {"InLINE": "twins", "StrucHIS": "twins of StrucHIS", "PLE": "twins"}
FLAT = 1.5  # the most that time an edge, or memory of a sampled step, may grow
SIZES, GROWN = (100_000, 500_000, 2_000_000, 5_000_000), ("InLINE", "StrucHIS", "PLE")
CUSTOMERS, SAMPLED = (20_000, 200_000), ("inline-hgn-fixed", "struchis-relgat-fixed")
EQUAL = 1e-5
Step = Callable[[], None]


def random_block(edges: int, nodes: int = NODES) -> Block:
    """Random edges between the types, as many of each relation, with all that layers derive."""
    generator = torch.Generator().manual_seed(0)
    size, each = nodes // TYPES, edges // len(ENDS)
    src, dst = (
        torch.cat(
            [torch.randint(size, (each,), generator=generator) + ends[s] * size for ends in ENDS]
        )
        for s in (0, 1)
    )
    etype = torch.arange(len(ENDS)).repeat_interleave(each)
    csr, order = Csr.from_edges(src, dst, nodes, nodes)
    types = torch.arange(TYPES).repeat_interleave(size)
    block = Block(csr, etype[order], csr.indptr.diff(), types)
    for made in (csr, *(part.csr for part in block.by_relation)):
        assert made.transpose  # as in training, where it is made once
    return block


def inline_layer(tasks: int) -> InlineLayer:
    """The layer of so many tasks and a shared block, its gates not uniform."""
    seen = [[t, tasks] for t in range(tasks)] + [list(range(tasks + 1))]
    layer = InlineLayer(
        WIDTH,
        tasks + 1,
        seen,
        len(ENDS),
        TYPES,
        attends_relations=True,
        gates_relations=True,
        gate_width=64,
    )
    for name, parameter in layer.named_parameters():
        if name.startswith("gates") and name.endswith("out"):
            nn.init.normal_(parameter, std=0.1)
    return layer


def yardstick(layer: InlineLayer, block: Block, states: Tensor) -> Tensor:
    """What the layer computes, with a message for every edge and expert ``[E, k, heads, d]``."""
    heads = 2
    messages = torch.stack(
        [
            gather_src(block.csr, expert(states[:, k]).view(len(states), heads, -1))
            for k, expert in enumerate(layer.experts)
        ],
        1,
    )
    outputs = []
    for number, seen in enumerate(layer.seen):
        attention, gate, h = layer.attention[number], layer.gates[number], states[:, number]
        assert isinstance(attention, Attention)
        assert isinstance(gate, StructureGate)
        weights = _gates_on_edges(gate, block, h)
        mixed = (weights[:, :, None, None] * messages[:, seen]).sum(1)
        z = layer.experts[number](h).view(len(h), heads, -1)
        on_edges = attention.weights(block, z, attention.said_by(mixed))
        around = copy_edges(block.csr, "dst", on_edges.unsqueeze(-1) * mixed)
        outputs.append(attention.with_own(block, h, around))
    return torch.stack(outputs, 1)


def _gates_on_edges(gate: StructureGate, block: Block, h: Tensor) -> Tensor:
    both = torch.cat([gather_dst(block.csr, h), gather_src(block.csr, h)], 1)
    heads = block.node_type[block.csr.dst]
    logits = both.new_zeros(len(both), gate.out.shape[2])
    for relation in range(len(ENDS)):
        rows = torch.nonzero(block.etype == relation).flatten()
        head = int(heads[rows[0]])
        first = torch.cat([gate.at_dst[head], gate.at_src[head]])
        hidden = (both[rows] @ first + gate.bias[head]).relu()
        logits = logits.index_copy(0, rows, hidden @ gate.out[relation])
    return logits.softmax(-1)


class PLELayer(nn.Module):
    """Convolutions of each task and a shared one, and gates of all outputs after them."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        seen = [[t, tasks] for t in range(tasks)] + [list(range(tasks + 1))]
        self.networks = nn.ModuleList(HGN(WIDTH, WIDTH, len(ENDS)) for _ in range(tasks + 1))
        self.exchange = SeenGates(WIDTH, seen, range(tasks + 1))

    def forward(self, block: Block, states: Tensor) -> Tensor:
        """``[n, tasks + 1, d]`` to the same."""
        after = [made(block, h) for made, h in zip(self.networks, states.unbind(1), strict=True)]
        mixed: Tensor = self.exchange(states, torch.stack(after, 1))
        return mixed


def step_of(
    layers: list[nn.Module], forward: Callable[[Tensor], list[Tensor]], nodes: int, n: int
) -> Step:
    """Forward and backward, to parameters and inputs ``[nodes, n, width]``."""
    states = torch.randn(nodes, n, WIDTH, requires_grad=True)
    own = [parameter for layer in layers for parameter in layer.parameters()]

    def step() -> None:
        total = torch.stack([out.square().sum() for out in forward(states)]).sum()
        torch.autograd.grad(total, [states, *own], allow_unused=True)

    return step


def steps(block: Block, tasks: int) -> dict[str, Step]:
    """All arms on one block."""
    inline, ple = inline_layer(tasks), PLELayer(tasks)
    hgn = [HGN(WIDTH, WIDTH, len(ENDS)) for _ in range(tasks)]
    relgat = [RelationAttention(WIDTH, WIDTH, len(ENDS), TYPES) for _ in range(tasks)]
    struchis = StrucHISLayer(WIDTH, tasks, len(ENDS), TYPES, gate_width=64, mask_absent=True)

    def alone(layers: list[Any]) -> Callable[[Tensor], list[Tensor]]:
        return lambda states: [made(block, states[:, t]) for t, made in enumerate(layers)]

    def arm(
        layers: list[nn.Module], forward: Callable[[Tensor], list[Tensor]], states: int
    ) -> Step:
        return step_of(layers, forward, block.csr.n_dst, states)

    return {
        "InLINE": arm([inline], lambda states: [inline(block, states)], tasks + 1),
        "yardstick": arm([inline], lambda s: [yardstick(inline, block, s)], tasks + 1),
        "twins": arm(list(hgn), alone(hgn), tasks),
        "StrucHIS": arm([struchis], lambda states: [struchis(block, states)], tasks),
        "twins of StrucHIS": arm(list(relgat), alone(relgat), tasks),
        "PLE": arm([ple], lambda states: [ple(block, states)], tasks + 1),
    }


def medians(arms: dict[str, Step], repeats: int) -> dict[str, float]:
    """Median milliseconds of each arm; the first turn warms up."""
    times: dict[str, list[float]] = {name: [] for name in arms}
    for repeat in range(repeats + 1):
        for name, arm in arms.items():
            started = time.perf_counter()
            arm()
            if repeat:
                times[name].append(1000 * (time.perf_counter() - started))
    return {name: statistics.median(found) for name, found in times.items()}


def peak_above_data(name: str) -> float:
    """Megabytes that an arm's step takes at most beyond what is there before it (Linux).

    In a process of its own: memory that an earlier step gave back to malloc alone is still
    resident, and would hide what this one takes.
    """
    torch.set_num_threads(2)
    steps(random_block(1_000), TASKS)[name]()  # what is made once
    arm = steps(random_block(EDGES), TASKS)[name]
    before = _status("VmRSS")
    arm()
    return (_status("VmHWM") - before) / 1024


def peak_of_sampled_step(cell: str, graph: Path) -> float:
    """Megabytes that sampled training steps take at most above what is there before the first.

    Memory that a step frees is not kept here, or a later step would seem to need none.
    """
    settings = TrainSettings.model_validate(
        {"batch_size": 512, "fanouts": (10, 10), "encoder": {"width": WIDTH}}
    )
    torch.set_num_threads(2)
    store = open_store(graph)
    trainer = Trainer(TrainingGraph(store), cell_named(cell), store.meta.tasks, settings, seed=0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    before = _status("VmRSS")
    for number in range(4):
        trainer.take_step(trainer.batches.step(0, number, depth=2, meta="none"))
    return (_status("VmHWM") - before) / 1024


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def in_own_process(function: Callable[..., float], *calls: tuple[Any, ...]) -> list[float]:
    """What a function gives for some arguments, each in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
        return [processes.submit(function, *arguments).result() for arguments in calls]


def by_edges() -> dict[str, dict[int, float]]:
    """By arm and number of edges the microseconds an edge, as many edges a node throughout."""
    found: dict[str, dict[int, float]] = {}
    for edges in SIZES:
        arms = steps(random_block(edges, edges * NODES // EDGES), TASKS)
        for name, time_ in medians({arm: arms[arm] for arm in GROWN}, 3).items():
            found.setdefault(name, {})[edges] = 1000 * time_ / edges
    return found


def by_tasks(block: Block) -> dict[int, dict[str, float]]:
    """By number of tasks the ratios to the twins, which grow with it."""
    found = {}
    for tasks in (2, 4, 8):
        arms = {name: arm for name, arm in steps(block, tasks).items() if name != "yardstick"}
        times = medians(arms, 3)
        found[tasks] = {name: times[name] / times[under] for name, under in TWINS_OF.items()}
    return found


def sampled_memory() -> dict[str, dict[int, float]]:
    """By cell and number of customers the megabytes of a sampled step."""
    found: dict[str, dict[int, float]] = {}
    with TemporaryDirectory() as folder:
        for customers in CUSTOMERS:
            dials = {"customers": customers, "accounts": customers}
            planted_store(Path(folder) / str(customers), "logistic", **dials)
        for cell in SAMPLED:
            calls = [(cell, Path(folder) / str(customers) / "graph") for customers in CUSTOMERS]
            peaks = in_own_process(peak_of_sampled_step, *calls)
            found[cell] = dict(zip(CUSTOMERS, peaks, strict=True))
    return found


def judged(
    times: dict[str, float],
    memory: dict[str, float],
    edges: dict[str, dict[int, float]],
    sampled: dict[str, dict[int, float]],
) -> list[dict[str, Any]]:
    """Each promise with the ratio that was measured."""
    ratios = [
        *((name, times[a] / times[b], limit) for name, (a, b, limit) in PROMISES.items()),
        ("InLINE's memory, as well", memory["InLINE"] / memory["yardstick"], 0.3),
        *(
            (f"{name}, slowest edge to fastest", max(of.values()) / min(of.values()), FLAT)
            for name, of in edges.items()
        ),
        *(
            (f"{cell}, memory of a sampled step, ten times the graph", of[big] / of[small], FLAT)
            for cell, of in sampled.items()
            for small, big in [CUSTOMERS]
        ),
    ]
    return [
        {"name": name, "ratio": ratio, "limit": limit, "kept": ratio <= limit}
        for name, ratio, limit in ratios
    ]


def main() -> None:
    """Measure the workload, then more edges, more tasks and larger graphs; print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    prepare_process(2)
    torch.manual_seed(0)
    block, layer = random_block(EDGES), inline_layer(TASKS)
    states = torch.randn(NODES, TASKS + 1, WIDTH)
    with torch.no_grad():
        apart = float((layer(block, states) - yardstick(layer, block, states)).abs().max())
    if apart > EQUAL:
        sys.exit(f"InLINE and the yardstick are {apart:.1e} apart; nothing is compared")
    times = medians(steps(block, TASKS), arguments.repeats)
    measured = ("InLINE", "yardstick")
    peaks = in_own_process(peak_above_data, *((name,) for name in measured))
    memory = dict(zip(measured, peaks, strict=True))
    edges, tasks, sampled = by_edges(), by_tasks(block), sampled_memory()
    promises = judged(times, memory, edges, sampled)
    print("equal to the yardstick within", apart)
    print({name: round(found) for name, found in times.items()}, "ms;", memory, "MB")
    for promise in promises:
        state = "kept" if promise["kept"] else "MISSED"
        print(f"{promise['name']}: {promise['ratio']:.2f}, promised {promise['limit']}: {state}")
    print("microseconds an edge:", edges)
    print("by tasks:", tasks)
    print("megabytes of a sampled step, by customers:", sampled)
    if arguments.json:
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        result = {
            "threads": 2,
            "versions": versions,
            "apart": apart,
            "milliseconds": times,
            "megabytes": memory,
            "promises": promises,
            "by_edges": edges,
            "by_tasks": tasks,
            "sampled": sampled,
        }
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
