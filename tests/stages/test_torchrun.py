"""What a process of torchrun is told and refuses; end_to_end/test_workers.py runs some."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from counterpoint.errors import UserError
from counterpoint.graph.views import TrainingGraph
from counterpoint.stages import torchrun
from counterpoint.stages import train as stage
from counterpoint.stages.params import Params
from counterpoint.stages.runner import run_stage
from counterpoint.stages.table import StageCall, stage_named
from counterpoint.stages.torchrun import WORKERS, Worker, this_worker, workers_asked

OF_TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
PARAMS = Params.model_validate(
    {
        "grid": ["single_task-mlp-fixed"],
        "seeds": [0],
        "train": {"encoder": {"width": 4}, "epochs": 1, "threads": 1},
    }
)


@pytest.fixture
def in_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OF_TORCHRUN.items():
        monkeypatch.setenv(name, value)


def test_a_process_is_a_worker_only_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")  # of whatever else runs here
    monkeypatch.setenv("RANK", "1")
    assert this_worker() == Worker(rank=0, world=1, local=0)
    for name, value in OF_TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert this_worker() == Worker(rank=3, world=4, local=1)


def test_workers_are_asked_for_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers_asked() == 1
    monkeypatch.setenv(WORKERS, "3")
    assert workers_asked() == 3
    for name, value in OF_TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert workers_asked() == 1  # a worker starts no others


@pytest.mark.parametrize("stated", ["0", "-2", "two", "1.5", ""])
def test_a_wrong_number_of_workers_is_one_line(
    monkeypatch: pytest.MonkeyPatch, stated: str
) -> None:
    monkeypatch.setenv(WORKERS, stated)
    with pytest.raises(UserError, match=f"COUNTERPOINT_WORKERS: '{stated}' is no number"):
        workers_asked()


def test_a_stage_for_one_process_is_refused_to_several(in_torchrun: None, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="evaluate: a stage for one process"):
        run_stage(stage_named("evaluate"), None, PARAMS, tmp_path, print)
    assert not list(tmp_path.iterdir())


def test_only_the_first_worker_makes_the_output(
    in_torchrun: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchrun, "joined", lambda worker: nullcontext())
    told = tmp_path / ".out.first"
    monkeypatch.setattr(torchrun, "_folder_of_the_first", lambda folder: told)
    with torchrun.shared_folder(tmp_path / "out") as folder:
        assert folder == told
    assert not list(tmp_path.iterdir())


def test_one_seed_is_trained_by_one_process_and_its_checkpoints_go(
    market_graph: TrainingGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WORKERS, "4")
    monkeypatch.setattr(stage, "run_workers", lambda *_: pytest.fail("torchrun for one seed"))
    scratch, output = tmp_path / "scratch", tmp_path / "run"
    for folder in (scratch, output):
        folder.mkdir()
    (scratch / "joint-9.safetensors").touch()
    graph = {"graph": market_graph.store.path}
    stage.train(StageCall(graph, output, PARAMS, PARAMS.grid[0], scratch))
    assert (output / "seed-0").is_dir()
    assert not scratch.exists()
