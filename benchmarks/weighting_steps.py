"""Time of one training step by weighting, as a ratio to the plain sum of losses.

Two-layer GCN, 20,000 nodes, 400,000 edges (both directions), width 64, batches of 4096 pairs a
task, K auxiliary tasks; the arms take turns, medians are compared.

    python -m benchmarks.weighting_steps --json benchmarks/results/weighting_steps.json
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch

from counterpoint.data.folder import open_folder, write_folder
from counterpoint.data.schema import DataSchema
from counterpoint.files import write_json
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.store import GraphStore, open_store
from counterpoint.graph.views import TrainingGraph
from counterpoint.training.loop import Trainer
from counterpoint.training.settings import TrainSettings, cell_named

USERS, ITEMS, LINKS, ROWS = 12_000, 8_000, 200_000, 20_000
WEIGHTINGS = ("fixed", "uncertainty", "aux_ts", "selar")


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
    schema = DataSchema.model_validate(
        {
            "name": "random",
            "node_types": {"user": {}, "item": {}},
            "relations": {"links": {"src": "user", "dst": "item"}},
            "tasks": tasks,
        }
    )

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
    (folder / "data").mkdir()
    (folder / "graph").mkdir()
    write_folder(folder / "data", schema, tables)
    build_graph(open_folder(folder / "data"), BuildSettings(), folder / "graph")
    return open_store(folder / "graph")


def step_times(store: GraphStore, repeats: int) -> dict[str, float]:
    """Median milliseconds of one step, optimiser included, for each weighting."""
    graph = TrainingGraph(store)
    settings = TrainSettings(batch_size=4096)
    arms = {}
    for weighting in WEIGHTINGS:
        cell = cell_named(f"shared_bottom-gcn-{weighting}")
        trainer = Trainer(graph, cell, store.meta.tasks, settings, seed=0)
        meta = trainer.weighting.meta_rows
        arms[weighting] = trainer, trainer.batches.step(0, 0, depth=2, meta=meta)
    times: dict[str, list[float]] = {weighting: [] for weighting in WEIGHTINGS}
    for repeat in range(repeats + 1):
        for weighting, (trainer, step) in arms.items():
            started = time.perf_counter()
            trainer.take_step(step)
            if repeat:  # the first one warms up
                times[weighting].append(1000 * (time.perf_counter() - started))
    return {weighting: statistics.median(found) for weighting, found in times.items()}


def main() -> None:
    """Measure K = 1, 2, 5 and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    found = []
    for auxiliaries in (1, 2, 5):
        with tempfile.TemporaryDirectory() as folder:
            times = step_times(random_store(Path(folder), auxiliaries), arguments.repeats)
        ratios = {name: times[name] / times["fixed"] for name in WEIGHTINGS}
        found.append({"K": auxiliaries, "milliseconds": times, "ratios": ratios})
        print(auxiliaries, {name: round(ratio, 2) for name, ratio in ratios.items()})
    if arguments.json:
        write_json(arguments.json, {"threads": 2, "torch": torch.__version__, "steps": found})


if __name__ == "__main__":
    main()
