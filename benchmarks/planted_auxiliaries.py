"""Which weighting drops a useless auxiliary task, how fast, and what does the target gain?

A planted market (`demo`) where the target, click, keeps a tenth of its training rows, beside four
auxiliary tasks, all on one GCN and a bottom two units wide, so that room is scarce:

    helpful    clicks on the other rows
    competing  complaints, which depend on other relations
    random     coins on the other rows
    late       clicks on the other rows until half of the epochs, coins after that

    python -m benchmarks.planted_auxiliaries --json benchmarks/results/planted_auxiliaries.json
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import polars as pl
import torch

from counterpoint.data.folder import DataFolder, open_folder, write_folder
from counterpoint.data.planted import generate, planted_preset
from counterpoint.data.schema import DataSchema
from counterpoint.data.splits import assigned_rows
from counterpoint.files import write_json
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.store import open_store
from counterpoint.graph.views import TrainingGraph
from counterpoint.metrics.values import value
from counterpoint.training.loop import Trainer
from counterpoint.training.scoring import full_representations, scored_parts
from counterpoint.training.settings import TrainSettings, cell_named

EPOCHS, KEPT = 16, 0.1
TRAINING = {
    "threads": 1,
    "encoder": {"width": 32, "layers": 1, "dropout": 0.0},
    "sharing": {"width": 2, "tower_width": 32},
    "learning_rate": 0.02,
    "batch_size": 2048,
    "epochs": EPOCHS,
}
AUXILIARIES = ("helpful", "competing", "random", "late")
# arm -> weighting and its settings; the twin is click alone
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("none", {}),
    "fixed": ("fixed", {}),
    "uncertainty": ("uncertainty", {}),
    "GradNorm": ("gradnorm", {}),
    "DWA": ("dwa", {}),
    "cosine": ("cosine", {}),
    "PCGrad": ("pcgrad", {}),
    "UPGrad": ("upgrad", {}),
    "SELAR": ("selar", {}),
    "AUX-TS by task": ("aux_ts", {}),
    "AUX-TS by example": ("aux_ts", {"granularity": "example"}),
    "AUX-TS, V frozen": ("aux_ts", {"learning_rate": 1e-30}),
}


def market(folder: Path, seed: int) -> DataFolder:
    """A planted market with the target's rows thinned out and the auxiliary tasks beside it."""
    (folder / "planted").mkdir()
    dials = {"users": 1500, "items": 800, "shops": 40, "brands": 30, "interactions": 40_000}
    generate(planted_preset("demo").model_copy(update={**dials, "seed": seed}), folder / "planted")
    planted = open_folder(folder / "planted")
    rng = np.random.default_rng(seed)
    keys = ["src", "dst", "label", "split"]
    click = assigned_rows(planted, "click").select(keys).collect()
    kept = (click["split"] != "train").to_numpy() | (rng.random(len(click)) < KEPT)
    held = pl.col("split") != "train"
    others = pl.concat([click.filter(~kept), click.filter(held)])
    coins = others.with_columns(label=pl.Series(rng.integers(0, 2, len(others)), dtype=pl.Int8))
    tasks = {
        "click": click.filter(kept),
        "helpful": others,
        "competing": assigned_rows(planted, "complaint").select(keys).collect(),
        "random": coins,
        "late": others,
    }
    fields = planted.schema.model_dump()
    fields["split"] = {"by": "given"}
    fields["cross_task"] = "allow"
    fields["tasks"] = {
        name: {
            "kind": "binary",
            "entity": ("user", "item"),
            "role": "target" if name == "click" else "auxiliary",
        }
        for name in tasks
    }
    tables = {f"tasks/{name}": rows for name, rows in tasks.items()}
    for table in [*(f"nodes/{n}" for n in fields["node_types"])]:
        tables[table] = planted.scan(table).collect()
    for name in planted.schema.static_relations:
        tables[f"relations/{name}"] = planted.scan(f"relations/{name}").collect()
    (folder / "data").mkdir()
    write_folder(folder / "data", DataSchema.model_validate(fields), tables)
    return open_folder(folder / "data")


def trained(graph: TrainingGraph, arm: str, seed: int) -> dict[str, Any]:
    """Test AUC of click after the last epoch, and each task's weight by epoch."""
    weighting, values = ARMS[arm]
    tasks = graph.meta.tasks if weighting != "none" else {"click": graph.meta.tasks["click"]}
    cell = "single_task-gcn-fixed" if weighting == "none" else f"shared_bottom-gcn-{weighting}"
    settings = TrainSettings.model_validate({**TRAINING, "weighting": {weighting: values}})
    trainer = Trainer(graph, cell_named(cell), tasks, settings, seed)
    curves: dict[str, list[float]] = {task: [] for task in tasks}
    for epoch in range(EPOCHS):
        if epoch == EPOCHS // 2 and "late" in tasks:
            _turn_to_coins(trainer, seed)
        said = {(row["task"], row["name"]): row["value"] for row in trainer.run_epoch(epoch)}
        for task in tasks:  # of a method that changes the shared gradient alone, its weight there
            shared = said.get(("", f"shared_weight/{task}"), said[task, "weight"])
            curves[task].append(shared)
    trainer.trained.eval()
    h = full_representations(trainer.model, graph)
    auc = value("auc", scored_parts(trainer.model, graph, h, "click", "test"))
    return {"auc": auc, "weights": curves}


def _turn_to_coins(trainer: Trainer, seed: int) -> None:
    entity, label = trainer.batches._rows["late"]
    generator = torch.Generator().manual_seed(seed)
    coins = torch.randint(2, label.shape, generator=generator).to(label.dtype)
    trainer.batches._rows["late"] = entity, coins


def repetitions(seeds: int) -> Iterator[dict[str, dict[str, Any]]]:
    """All arms on one market after another, each with a training seed of its own."""
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            data = market(Path(folder), seed)
            (Path(folder) / "graph").mkdir()
            build_graph(data, BuildSettings(), Path(folder) / "graph")
            graph = TrainingGraph(open_store(Path(folder) / "graph"))
            found = {arm: trained(graph, arm, seed) for arm in ARMS}
        print(seed, {arm: round(result["auc"], 3) for arm, result in found.items()}, flush=True)
        yield found


def summary(found: list[dict[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Gain over the target alone, paired by market, and weights over the mean of all tasks."""
    rows = []
    for arm in ARMS:
        gains = [one[arm]["auc"] - one["none"]["auc"] for one in found]
        row: dict[str, Any] = {
            "arm": arm,
            "auc": fmean(one[arm]["auc"] for one in found),
            "gain": fmean(gains),
            "standard_error": stdev(gains) / len(gains) ** 0.5,
        }
        curves = [one[arm]["weights"] for one in found]
        if "helpful" in curves[0]:
            half = EPOCHS // 2
            levels = {task: _levels(curves, task) for task in curves[0]}
            row["levels"] = levels
            row["first_half"] = {task: fmean(curve[:half]) for task, curve in levels.items()}
            row["second_half"] = {task: fmean(curve[half:]) for task, curve in levels.items()}
            row["dropped_after"] = {
                task: dropped_after(levels[task][start:])
                for task, start in (("competing", 0), ("random", 0), ("late", half))
            }
        rows.append(row)
    return rows


def _levels(curves: list[dict[str, list[float]]], task: str) -> list[float]:
    """Weight of a task by epoch, where all tasks weigh 1 on average; mean over markets."""
    return [
        fmean(
            one[task][epoch] / max(fmean(weights[epoch] for weights in one.values()), 1e-12)
            for one in curves
        )
        for epoch in range(EPOCHS)
    ]


def dropped_after(levels: list[float]) -> int | None:
    """Epochs until a weight stays below half of the mean weight; None if it does not."""
    above = [epoch for epoch, level in enumerate(levels) if level >= 0.5]
    first = above[-1] + 1 if above else 0
    return first if first < len(levels) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seeds", type=int, default=6)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = summary(list(repetitions(arguments.seeds)))
    for row in rows:
        print(
            f"{row['arm']:20}{row['gain']:+.4f} ± {row['standard_error']:.4f}",
            row.get("second_half"),
        )
    if arguments.json:
        write_json(arguments.json, {"seeds": arguments.seeds, "epochs": EPOCHS, "arms": rows})


if __name__ == "__main__":
    main()
