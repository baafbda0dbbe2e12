"""With labels permuted within each split, nothing is left to learn: any score is a leak."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from counterpoint.data.folder import DataFolder, open_folder
from counterpoint.data.importers import import_dataset
from counterpoint.data.planted import generate, planted_preset
from counterpoint.data.schema import TaskKind
from counterpoint.data.splits import assigned_rows
from counterpoint.files import new_folder
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.store import open_store
from counterpoint.graph.views import TrainingGraph
from counterpoint.metrics import chance, value
from counterpoint.training.loop import Trainer
from counterpoint.training.scoring import full_representations, scored_parts
from counterpoint.training.settings import TrainSettings, cell_named

SETTINGS = TrainSettings.model_validate(
    {
        "threads": 1,
        "encoder": {"width": 16, "layers": 2, "dropout": 0.0},
        "sharing": {"width": 16, "tower_width": 16},
        "batch_size": 4096,
        "epochs": 4,
        "learning_rate": 0.01,
    }
)
REAL = {
    "lastfm": ("lastfm_kg", ("listen",)),
    "dblp": ("dblp_mtl", ("author_area", "paper_venue")),
    "acm": ("acm_heco", ("paper_class",)),
    "census_income": ("census_income", ("income", "never_married")),
}


def permute_labels(folder: DataFolder, seed: int) -> None:
    """Permute the labels of every task among the rows of each split."""
    rng = np.random.default_rng(seed)
    for name, task in folder.schema.tasks.items():
        if task.kind is TaskKind.LINK:
            continue
        rows = assigned_rows(folder, name).collect()
        order = np.arange(len(rows))
        for split in ("train", "valid", "test"):
            at = np.flatnonzero((rows["split"] == split).to_numpy())
            order[at] = rng.permutation(at)
        table = pl.read_parquet(folder.table_path(f"tasks/{name}"))
        shuffled = table.with_columns(label=table["label"].gather(order))
        shuffled.write_parquet(folder.table_path(f"tasks/{name}"))


def excess(folder: DataFolder, tasks: tuple[str, ...], target: Path) -> dict[str, float]:
    """Test metric above chance of a joint model for each task, in standard errors of chance."""
    permute_labels(folder, seed=7)
    with new_folder(target) as scratch:
        build_graph(folder, BuildSettings(), scratch)
    graph = TrainingGraph(open_store(target))
    cell = cell_named("shared_bottom-gcn-fixed")
    large = graph.meta.n_nodes > 50_000
    settings = (
        SETTINGS.model_copy(update={"epochs": 1, "batch_size": 20_000}) if large else SETTINGS
    )
    model = Trainer(graph, cell, graph.meta.tasks, settings, 0).fit().model
    h = full_representations(model, graph)
    found = {}
    for name in tasks:
        parts = scored_parts(model, graph, h, name, "test")
        metric = "auc" if parts.kind == "binary" else "accuracy"
        level = chance(metric, parts)
        if metric == "auc":
            positive = float(parts.label.sum())
            error = np.sqrt((len(parts) + 1) / (12 * positive * (len(parts) - positive)))
        else:
            error = np.sqrt(level * (1 - level) / len(parts))
        found[name] = (value(metric, parts) - level) / error
    return found


def test_planted(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    generate(planted_preset("tiny"), tmp_path / "data")
    found = excess(open_folder(tmp_path / "data"), ("click", "complaint"), tmp_path / "graph")
    assert all(abs(z) < 4 for z in found.values()), found


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_data(name: str, real_data: Path, tmp_path: Path) -> None:
    source, tasks = REAL[name]
    import_dataset(name, real_data / source, tmp_path / "data")
    found = excess(open_folder(tmp_path / "data"), tasks, tmp_path / "graph")
    assert all(z < 4 for z in found.values()), found
