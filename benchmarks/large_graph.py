"""Ten million planted interactions: generate, build the store, train one sampled epoch.

Building is compared with the same joins and sorts written directly in polars; each step runs in
its own process, so that its peak memory is its own.

    python -m benchmarks.large_graph --json benchmarks/results/large_graph.json
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from counterpoint.files import new_folder, write_json

SPLIT_OF = {k: 2 if k < 20 else 1 if k < 40 else 0 for k in range(100)}
TRAINING = {
    "threads": 2,
    "encoder": {"width": 32, "layers": 1, "dropout": 0.0},
    "sharing": {"width": 16, "tower_width": 16, "experts": 2},
    "batch_size": 16384,
    "fanouts": [10],
    "epochs": 1,
}


def generate(folder: Path, preset: str) -> dict[str, Any]:
    from counterpoint.data.planted import generate as planted
    from counterpoint.data.planted import planted_preset

    with new_folder(folder / "data") as scratch:
        planted(planted_preset(preset), scratch)
    return {}


def build(folder: Path, preset: str) -> dict[str, Any]:
    from counterpoint.data.folder import open_folder
    from counterpoint.graph.build import BuildSettings, build_graph

    with new_folder(folder / "graph") as scratch:
        build_graph(open_folder(folder / "data"), BuildSettings(), scratch)
    return {}


def directly(folder: Path, preset: str) -> dict[str, Any]:
    """What any builder must do: ids to places, rows to splits, edges both ways in order."""
    from counterpoint.data.folder import open_folder

    data = open_folder(folder / "data")

    def placed(table: str, ends: tuple[str, str]) -> pl.LazyFrame:
        rows = data.scan(table)
        for column, node_type in zip(("src", "dst"), ends, strict=True):
            index = data.scan(f"nodes/{node_type}").select("id").with_row_index("row")
            index = index.rename({"id": column, "row": f"row_{column}"})
            rows = rows.join(index, on=column, how="left", maintain_order="left")
        return rows

    frames = []
    for name, task in data.schema.tasks.items():
        rows = placed(f"tasks/{name}", task.node_types).select("row_src", "row_dst", "label")
        part = pl.struct("row_src", "row_dst").hash(0) % 100
        rows = rows.with_columns(
            split=part.replace_strict(SPLIT_OF, return_dtype=pl.Int8)
        ).collect()
        for split in range(3):
            rows.filter(pl.col("split") == split).write_parquet(folder / f"{name}.{split}.parquet")
        if name == "click":
            train = rows.filter(pl.col("split") == 0, pl.col("label") == 1)
            frames.append(train.select(src="row_src", dst="row_dst").unique())
    for name in data.schema.static_relations:
        pairs = placed(f"relations/{name}", data.schema.ends(name))
        frames.append(pairs.select(src="row_src", dst="row_dst").unique().collect())
    both = [frame.select("src", "dst") for frame in frames]
    both += [frame.select(src="dst", dst="src") for frame in frames]
    pl.concat(both).sort("dst", "src").write_parquet(folder / "edges.parquet")
    return {}


def epoch(folder: Path, preset: str) -> dict[str, Any]:
    import torch

    from counterpoint.graph.store import open_store
    from counterpoint.graph.views import TrainingGraph
    from counterpoint.training.loop import Trainer
    from counterpoint.training.settings import TrainSettings, cell_named

    torch.set_num_threads(2)
    store = open_store(folder / "graph")
    settings = TrainSettings.model_validate(TRAINING)
    cell = cell_named("mmoe-gcn-uncertainty")
    trainer = Trainer(TrainingGraph(store), cell, store.meta.tasks, settings, seed=0)
    history = trainer.run_epoch(0)
    losses = {row["task"]: row["value"] for row in history if row["name"] == "loss"}
    return {"steps": trainer.batches.steps, "losses": losses}


STEPS = {"generate": generate, "build": build, "polars": directly, "epoch": epoch}


def in_its_own_process(step: str, folder: Path, preset: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.large_graph", "--step", step]
    command += ["--folder", str(folder), "--preset", preset]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(step, found, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--preset", default="large")
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.step:
        started = time.perf_counter()
        found = STEPS[arguments.step](arguments.folder, arguments.preset)
        found["seconds"] = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({**found, "peak_gib": peak / 2**20}))
        return
    with tempfile.TemporaryDirectory(dir=Path.home()) as folder:
        # building and its yardstick take turns, twice; the better of each counts
        order = ["generate", "build", "polars", "build", "polars", "epoch"]
        runs = [(step, in_its_own_process(step, Path(folder), arguments.preset)) for step in order]
    seconds = {step: min(r["seconds"] for s, r in runs if s == step) for step in STEPS}
    peak_gib = {step: max(r["peak_gib"] for s, r in runs if s == step) for step in STEPS}
    found = {
        "preset": arguments.preset,
        "seconds": seconds,
        "peak_gib": peak_gib,
        "ratio": seconds["build"] / seconds["polars"],
        "steps": runs[-1][1]["steps"],
        "losses": runs[-1][1]["losses"],
    }
    if arguments.json:
        write_json(arguments.json, found)


if __name__ == "__main__":
    main()
