from pathlib import Path

import pytest

from counterpoint.errors import UserError
from counterpoint.files import new_folder
from counterpoint.graph.views import TrainingGraph
from counterpoint.training.cell import CellTrainer, fits_of, open_run
from counterpoint.training.settings import TrainSettings, cell_named

SETTINGS = TrainSettings.model_validate(
    {
        "encoder": {"width": 4, "layers": 1},
        "sharing": {"width": 4, "tower_width": 4, "experts": 2},
        "batch_size": 200,
        "epochs": 1,
        "threads": 1,
        "search": {"trials": 2},
    }
)


def trained(graph: TrainingGraph, name: str, target: Path) -> None:
    with new_folder(target) as scratch:
        CellTrainer(
            graph.store, cell_named(name), (0, 1), SETTINGS, scratch, None, lambda line: None
        ).run()


def test_a_run_directory_holds_what_evaluation_needs(
    market_graph: TrainingGraph, tmp_path: Path
) -> None:
    trained(market_graph, "mmoe-gcn-fixed", tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert run.seeds == (0, 1)
    assert run.config["graph"] == market_graph.store.digest
    for name in market_graph.meta.tasks:
        assert len(run.parts(name, "test", 1)) == len(market_graph.store.rows(name, "test"))
    model = run.model(market_graph.store, 0)
    assert sum(p.numel() for p in model.parameters()) == run.metrics["parameters"]["joint"]
    again = tmp_path / "again"
    trained(market_graph, "mmoe-gcn-fixed", again)
    assert open_run(again).digest == run.digest  # same seeds, same digest


def test_readings_of_layers_that_weigh_edges(market_graph: TrainingGraph, tmp_path: Path) -> None:
    import polars as pl

    trained(market_graph, "inline-gat-fixed", tmp_path / "run")
    found = pl.read_parquet(tmp_path / "run" / "readings.parquet")
    assert set(found["seed"]) == {0, 1}
    assert set(found["task"]) == set(market_graph.meta.tasks)
    assert set(found["relation"]) <= {relation.name for relation in market_graph.meta.relations}
    trained(market_graph, "mmoe-gcn-fixed", tmp_path / "other")
    assert not (tmp_path / "other" / "readings.parquet").exists()


def test_twins_are_one_model_a_target(market_graph: TrainingGraph, tmp_path: Path) -> None:
    cell = cell_named("single_task-gcn-fixed")
    fits = fits_of(cell, market_graph.meta.tasks)
    assert set(fits) == {n for n, t in market_graph.meta.tasks.items() if t.role == "target"}
    trained(market_graph, cell.name, tmp_path / "run")
    assert (tmp_path / "run" / "seed-0" / "click.safetensors").is_file()
    model = open_run(tmp_path / "run").model(market_graph.store, 0, fit="click")
    assert list(model.tasks) == ["click"]


def test_search_gives_every_cell_the_same_number_of_trials(
    market_graph: TrainingGraph, tmp_path: Path
) -> None:
    import json

    found = {}
    for name in ("single_task-gcn-fixed", "shared_bottom-gcn-fixed"):
        trained(market_graph, name, tmp_path / name)
        found[name] = json.loads((tmp_path / name / "search.json").read_text())
    assert {len(trials) for by_fit in found.values() for trials in by_fit.values()} == {2}
    twin = found["single_task-gcn-fixed"]["click"]
    joint = found["shared_bottom-gcn-fixed"]["joint"]
    assert twin[1]["learning_rate"] == joint[1]["learning_rate"]
    assert twin[0]["learning_rate"] == SETTINGS.learning_rate
    assert joint[1]["weights"]


def test_a_changed_run_is_refused(market_graph: TrainingGraph, tmp_path: Path) -> None:
    trained(market_graph, "shared_bottom-mlp-fixed", tmp_path / "run")
    metrics = tmp_path / "run" / "metrics.json"
    metrics.write_text(metrics.read_text().replace("0.", "1.", 1))
    with pytest.raises(UserError, match=r"metrics\.json: its SHA-256"):
        open_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mmoe-gcn", "architecture-encoder-weighting"),
        ("moe-gcn-fixed", "no architecture 'moe'"),
        ("mmoe-gnc-fixed", "no encoder 'gnc'"),
        ("mmoe-gcn-fix", "no weighting 'fix'"),
        ("single_task-gcn-uncertainty", "nothing to weigh"),
        ("mmoe-gcn-fixed-big-red", "is not architecture-encoder-weighting"),
    ],
)
def test_wrong_cells_say_what_there_is(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        cell_named(name)
