"""Time of one training step by weighting, as a ratio to the plain sum of losses.

Two-layer GCN, 20,000 nodes, 400,000 edges (both directions), width 64, batches of 4096 pairs a
task, K auxiliary tasks; the arms take turns, medians are compared. Beside the product's own steps
stand those that are written out in the usual way, with double backward through an unrolled virtual
step, lean and as published code has it, and torchjd called by hand.

    python -m benchmarks.weighting_steps --json benchmarks/results/weighting_steps.json
"""

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from benchmarks.stores import store_of
from counterpoint.files import write_json
from counterpoint.graph.store import GraphStore
from counterpoint.graph.views import TrainingGraph
from counterpoint.models.contract import Step
from counterpoint.training.loop import Trainer
from counterpoint.training.process import prepare_process
from counterpoint.training.settings import TrainSettings, cell_named
from counterpoint.weighting import Losses, Problem
from counterpoint.weighting.gradients import TaskGradients
from counterpoint.weighting.learned import LearnedWeighting

USERS, ITEMS, LINKS, ROWS = 12_000, 8_000, 200_000, 20_000


def random_store(folder: Path, auxiliaries: int) -> GraphStore:
    """A bipartite graph of random links, with one target and some auxiliary tasks on pairs."""
    rng = np.random.default_rng(0)
    names = ["target", *(f"auxiliary_{k}" for k in range(auxiliaries))]
    tasks = {
        name: {
            "kind": "binary",
            "entity": ["user", "item"],
            "role": "target" if name == "target" else "auxiliary",
        }
        for name in names
    }
    schema = {
        "name": "random",
        "node_types": {"user": {}, "item": {}},
        "relations": {"links": {"src": "user", "dst": "item"}},
        "tasks": tasks,
    }

    def pairs(n: int) -> dict[str, np.ndarray]:
        keys = rng.choice(USERS * ITEMS, n, replace=False)
        return {"src": keys // ITEMS, "dst": keys % ITEMS}

    tables = {
        "nodes/user": pl.DataFrame({"id": np.arange(USERS)}),
        "nodes/item": pl.DataFrame({"id": np.arange(ITEMS)}),
        "relations/links": pl.DataFrame(pairs(LINKS)),
    }
    for name in names:
        rows = {**pairs(ROWS), "label": rng.integers(0, 2, ROWS)}
        tables[f"tasks/{name}"] = pl.DataFrame(rows)
    return store_of(folder, schema, tables)


# arm -> weighting and its settings
ARMS: dict[str, tuple[str, dict[str, object]]] = {
    "plain sum": ("fixed", {}),
    "uncertainty": ("uncertainty", {}),
    "AUX-TS": ("aux_ts", {}),
    "AUX-TS, similarities every 4 steps": ("aux_ts", {"every": 4}),
    "AUX-TS by example": ("aux_ts", {"granularity": "example"}),
    "AUX-TS by example, forward mode": (
        "aux_ts",
        {"granularity": "example", "derivative": "forward"},
    ),
    "AUX-TS unrolled": ("aux_ts", {}),
    "AUX-TS unrolled on a copy": ("aux_ts", {}),
    "SELAR": ("selar", {}),
    "SELAR unrolled": ("selar", {}),
    "SELAR unrolled on a copy": ("selar", {}),
    "UPGrad by the bridge": ("upgrad", {}),
    "UPGrad by hand": ("upgrad", {}),
}
# ratio -> numerator, denominator, promise, the K that it is for (None: the median over all)
PROMISES: dict[str, tuple[str, str, float, int | None]] = {
    "uncertainty": ("uncertainty", "plain sum", 1.05, None),
    "AUX-TS against unrolled": ("AUX-TS", "AUX-TS unrolled", 0.55, None),
    "AUX-TS against unrolled on a copy": ("AUX-TS", "AUX-TS unrolled on a copy", 0.55, None),
    "AUX-TS, K = 2": ("AUX-TS", "plain sum", 2.5, 2),
    "AUX-TS, K = 5": ("AUX-TS", "plain sum", 3.0, 5),
    "AUX-TS by example against by task, K = 2": ("AUX-TS by example", "AUX-TS", 1.5, 2),
    "AUX-TS against SELAR unrolled": ("AUX-TS", "SELAR unrolled", 0.5, None),
    "AUX-TS against SELAR unrolled on a copy": ("AUX-TS", "SELAR unrolled on a copy", 0.5, None),
    "torchjd's UPGrad by the bridge against by hand": (
        "UPGrad by the bridge",
        "UPGrad by hand",
        1.1,
        None,
    ),
}


class UsualGradients(TaskGradients):
    """Compared in the usual way, so that the yardstick stays the same whatever the product does."""

    def cosines(self, columns: Sequence[int]) -> Tensor:
        """``[T, len(columns)]``, from all inner products."""
        gram = self.shared @ self.shared.T
        norms = gram.diagonal().sqrt()
        return gram[:, list(columns)] / (norms[:, None] * norms[list(columns)])


def usual_gradients(trainer: Trainer, losses: Losses) -> UsualGradients:
    """Each task's gradient by its own :func:`torch.autograd.grad`, without any of our code."""
    own, groups = trainer.parameters, trainer.groups
    rows, towers = [], []
    for task, loss in losses.means().items():
        names = [*groups["shared"], *groups[f"tower:{task}"]]
        found = torch.autograd.grad(loss, [own[name] for name in names], retain_graph=True)
        size = len(groups["shared"])
        rows.append(torch.cat([gradient.flatten() for gradient in found[:size]]))
        towers.append(dict(zip(names[size:], found[size:], strict=True)))
    return UsualGradients(torch.stack(rows), tuple(towers))


def unrolled(trainer: Trainer, step: Step, *, similarities: bool, copies: bool) -> None:
    """A step of learned weights in the usual way: the virtual step differentiated as it stands.

    With ``copies`` as published code has it: the virtual step is taken by a copy of the model, and
    each use of the losses evaluates them. Without, one evaluation serves all: as lean as it gets.
    """
    weighting, own = trainer.weighting, trainer.parameters
    assert isinstance(weighting, LearnedWeighting)

    def evaluated(at: Mapping[str, Tensor]) -> Losses:
        return trainer.losses(step, at).ordered(weighting.tasks)

    def total(losses: Losses) -> Tensor:
        per_row = torch.cat(list(losses.per_example.values()))
        if weighting.settings.granularity == "task":
            per_row = torch.stack(list(losses.means().values()))
        raw = weighting.network(rows.z).squeeze(-1)
        level = 1.0 if rows.part is None else (rows.part * raw).sum()
        return rows.means(rows.share * raw / level * per_row).sum()

    losses = evaluated(own)
    problem = Problem(lambda p: losses, lambda p: losses, own, trainer.groups, 0.0)
    gradients = usual_gradients(trainer, losses) if similarities else None
    rows = weighting._rows(problem, losses, gradients)

    virtual, virtual_losses = own, losses
    if copies:
        virtual = {name: p.detach().clone().requires_grad_() for name, p in own.items()}
        virtual_losses = evaluated(virtual)
    moves = torch.autograd.grad(total(virtual_losses), list(virtual.values()), create_graph=True)
    rate = trainer.settings.learning_rate
    moved = {name: p - rate * g for (name, p), g in zip(virtual.items(), moves, strict=True)}
    assert step.meta is not None
    judged = sum(trainer._judging_losses(Step(step.meta), moved).means().values())
    assert weighting.optimizer is not None
    inner = list(weighting.network.parameters())
    for parameter, gradient in zip(inner, torch.autograd.grad(judged, inner), strict=True):
        parameter.grad = gradient
    weighting.optimizer.step()

    real = total(evaluated(own) if copies else losses)
    for parameter, gradient in zip(
        own.values(), torch.autograd.grad(real, list(own.values())), strict=True
    ):
        parameter.grad = gradient
    torch.nn.utils.clip_grad_norm_(own.values(), trainer.settings.clip)
    trainer.optimizer.step()


def by_hand(trainer: Trainer, step: Step) -> None:
    """torchjd's aggregator on gradients that torch.autograd gave, without any of our code."""
    from torchjd.aggregation import UPGrad

    own, groups = trainer.parameters, trainer.groups
    gradients = usual_gradients(trainer, trainer.losses(step, own))
    for tower in gradients.towers:
        for name, gradient in tower.items():
            own[name].grad = gradient
    flat = UPGrad()(gradients.shared)
    sizes = [own[name].numel() for name in groups["shared"]]
    for name, part in zip(groups["shared"], flat.split(sizes), strict=True):
        own[name].grad = part.view_as(own[name])
    torch.nn.utils.clip_grad_norm_(own.values(), trainer.settings.clip)
    trainer.optimizer.step()


def step_of(name: str, trainer: Trainer) -> Callable[[], object]:
    """One step of an arm, optimiser included."""
    step = trainer.batches.step(0, 0, depth=2, meta=trainer.weighting.meta_rows)
    if " unrolled" in name:
        copies, similarities = name.endswith("copy"), name.startswith("AUX")
        return lambda: unrolled(trainer, step, similarities=similarities, copies=copies)
    if name.endswith("by hand"):
        return lambda: by_hand(trainer, step)
    return lambda: trainer.take_step(step)


def step_times(store: GraphStore, repeats: int) -> dict[str, float]:
    """Median milliseconds of one step, optimiser included, for each arm."""
    graph = TrainingGraph(store)
    arms = {}
    for name, (weighting, values) in ARMS.items():
        settings = TrainSettings(batch_size=4096, weighting={weighting: values})
        cell = cell_named(f"shared_bottom-gcn-{weighting}")
        arms[name] = step_of(name, Trainer(graph, cell, store.meta.tasks, settings, seed=0))
    times: dict[str, list[float]] = {name: [] for name in arms}
    for repeat in range(repeats + 1):
        for name, arm in arms.items():
            started = time.perf_counter()
            arm()
            if repeat:  # the first one warms up
                times[name].append(1000 * (time.perf_counter() - started))
    return {name: statistics.median(found) for name, found in times.items()}


def kept_promises(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each promise with the ratio that was measured."""
    kept = []
    for name, (over, under, limit, auxiliaries) in PROMISES.items():
        ratios = [
            row["milliseconds"][over] / row["milliseconds"][under]
            for row in found
            if auxiliaries in (None, row["K"])
        ]
        ratio = statistics.median(ratios)
        kept.append({"name": name, "limit": limit, "ratio": ratio, "kept": ratio <= limit})
    return kept


def main() -> None:
    """Measure K = 1, 2, 5, 8 and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=11)
    arguments = parser.parse_args()
    prepare_process(2)
    found = []
    for auxiliaries in (1, 2, 5, 8):
        with tempfile.TemporaryDirectory() as folder:
            times = step_times(random_store(Path(folder), auxiliaries), arguments.repeats)
        ratios = {name: times[name] / times["plain sum"] for name in ARMS}
        found.append({"K": auxiliaries, "milliseconds": times, "ratios": ratios})
        print(auxiliaries, {name: round(ratio, 2) for name, ratio in ratios.items()}, flush=True)
    promises = kept_promises(found)
    for promise in promises:
        state = "kept" if promise["kept"] else "MISSED"
        print(f"{promise['name']}: {promise['ratio']:.2f}, promised {promise['limit']}: {state}")
    if arguments.json:
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        result = {"threads": 2, "versions": versions, "steps": found, "promises": promises}
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
