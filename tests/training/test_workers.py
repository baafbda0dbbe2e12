"""Shares of a cell's seeds, put together, are what one process writes, byte for byte."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from counterpoint.errors import UserError
from counterpoint.files import file_digests, new_folder
from counterpoint.graph.views import TrainingGraph
from counterpoint.training import workers
from counterpoint.training.cell import READINGS, CellTrainer, open_run
from counterpoint.training.pretrain import (
    PretrainSettings,
    pretrained_trunk,
    trunk_path,
    write_trunk,
)
from counterpoint.training.settings import TrainSettings, cell_named
from counterpoint.training.workers import merge_runs, train_share

SEEDS = (7, 0, 12)
SETTINGS = TrainSettings.model_validate(
    {
        "encoder": {"width": 4, "layers": 1},
        "sharing": {"width": 4, "tower_width": 4, "experts": 2},
        "batch_size": 200,
        "epochs": 2,
        "threads": 1,
        "diagnose_every": 2,
        "search": {"trials": 2},
    }
)
PRETRAINING = PretrainSettings.model_validate(
    {"epochs": 1, "auxiliaries": {"degrees": {"kind": "degree", "seeds": 16}}}
)


def trained(
    graph: TrainingGraph,
    cell: str,
    seeds: Sequence[int],
    target: Path,
    settings: TrainSettings = SETTINGS,
    pretrained: Path | None = None,
) -> Path:
    """A run directory of these seeds of the cell of ``SEEDS``."""
    with new_folder(target) as scratch:
        CellTrainer(
            store=graph.store,
            cell=cell_named(cell),
            seeds=tuple(seeds),
            settings=settings,
            target=scratch,
            scratch=None,
            report=lambda line: None,
            pretrained=pretrained,
            search_seed=SEEDS[0],
        ).run()
    return target


@pytest.mark.parametrize(
    ("cell", "readings"),
    [("single_task-gat-fixed", True), ("shared_bottom-gcn-fixed", False)],
)
def test_the_merged_run_has_the_bytes_of_one_process(
    market_graph: TrainingGraph, tmp_path: Path, cell: str, readings: bool
) -> None:
    whole = trained(market_graph, cell, SEEDS, tmp_path / "whole")
    target = tmp_path / "target"
    target.mkdir()
    parts = [
        trained(market_graph, cell, SEEDS[rank::2], target / f".part-{rank}") for rank in (0, 1)
    ]
    merge_runs(parts, SEEDS, target)
    assert file_digests(target) == file_digests(whole)
    run = open_run(target)
    assert run.digest == open_run(whole).digest
    assert run.seeds == SEEDS
    assert (whole / READINGS).is_file() == readings
    assert not [path for path in target.iterdir() if path.name.startswith(".")]


def test_the_merged_run_names_the_trunks_of_all_seeds(
    market_graph: TrainingGraph, tmp_path: Path
) -> None:
    trunks, target = tmp_path / "trunks", tmp_path / "target"
    target.mkdir()
    for seed in SEEDS:
        found = pretrained_trunk(
            market_graph.store, "gcn", PRETRAINING, SETTINGS, seed, lambda line: None
        )
        path = trunk_path(trunks, "gcn", seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_trunk(path, found)
    cell = "shared_bottom-gcn-fixed"
    whole = trained(market_graph, cell, SEEDS, tmp_path / "whole", pretrained=trunks)
    parts = [
        trained(market_graph, cell, SEEDS[rank::2], target / f".part-{rank}", pretrained=trunks)
        for rank in (0, 1)
    ]
    merge_runs(parts, SEEDS, target)
    assert set(open_run(target).config["trunks"]) == set(map(str, SEEDS))
    assert file_digests(target) == file_digests(whole)


def test_each_worker_searches_as_one_process_does_and_the_first_merges(
    market_graph: TrainingGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers one after the other, the first one last; a fourth has no seed."""
    cell = "shared_bottom-mlp-fixed"
    whole = trained(market_graph, cell, SEEDS, tmp_path / "whole")
    target = tmp_path / "target"
    target.mkdir()
    trainer = CellTrainer(
        market_graph.store, cell_named(cell), SEEDS, SETTINGS, target, None, lambda line: None
    )
    monkeypatch.setattr(workers.distributed, "barrier", lambda: None)
    for rank in (1, 2, 3):
        train_share(trainer, rank, world=4)
    parts = [target / ".worker-1", target / ".worker-2"]
    assert sorted(target.iterdir()) == parts
    for part in parts:
        assert (part / "search.json").read_bytes() == (whole / "search.json").read_bytes()
    train_share(trainer, 0, world=4)
    assert file_digests(target) == file_digests(whole)


def test_other_settings_and_a_changed_part_are_refused(
    market_graph: TrainingGraph, tmp_path: Path
) -> None:
    cell = "shared_bottom-mlp-fixed"
    plain = SETTINGS.model_copy(update={"search": SETTINGS.search.model_copy(update={"trials": 0})})
    other = plain.model_copy(update={"learning_rate": 0.1})
    parts = [
        trained(market_graph, cell, (7,), tmp_path / "first", plain),
        trained(market_graph, cell, (0,), tmp_path / "second", other),
    ]
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(UserError, match="came to different settings"):
        merge_runs(parts, (7, 0), target)
    (parts[1] / "metrics.json").write_text("{}")
    with pytest.raises(UserError, match=r"metrics\.json: its SHA-256"):
        merge_runs(parts, (7, 0), target)
    assert not list(target.iterdir())
