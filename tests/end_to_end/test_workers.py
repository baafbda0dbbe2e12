"""Several workers, which are processes of torchrun, leave the bytes of one process."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from counterpoint.files import file_digests
from counterpoint.graph.views import TrainingGraph
from counterpoint.stages.component import run_component
from counterpoint.stages.torchrun import WORKERS
from tests.end_to_end.conftest import run

TRAIN: dict[str, Any] = {
    "encoder": {"width": 4, "layers": 1},
    "sharing": {"width": 4, "tower_width": 4, "experts": 2},
    "batch_size": 200,
    "epochs": 1,
    "threads": 1,
}


def sections(seeds: list[int], **train: Any) -> dict[str, Any]:
    return {"seeds": seeds, "train": {**TRAIN, **train}, "overrides": {}}


@pytest.fixture
def work(market_graph: TrainingGraph, tmp_path: Path) -> Path:
    """A work folder with a graph."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "graph").symlink_to(market_graph.store.path)
    return tmp_path / "work"


def component(cell: str, graph: Path, output: Path, given: dict[str, Any]) -> Path:
    """A run directory as the pipeline's component makes it."""
    inputs = {"graph": str(graph), "pretrained": str(graph)}
    run_component("train", code="", inputs=inputs, output=str(output), sections=given, cell=cell)
    return output


def test_the_stage_starts_workers_where_the_environment_asks_for_them(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three seeds, two workers, a search."""
    cell = "shared_bottom-mlp-fixed"
    given = sections([5, 0, 2], search={"trials": 2})
    one = component(cell, work / "graph", work / "one", given)
    monkeypatch.setenv(WORKERS, "2")
    capsys.readouterr()
    two = component(cell, work / "graph", work / "two", given)
    assert file_digests(two) == file_digests(one)
    assert (two / "manifest.json").read_bytes() == (one / "manifest.json").read_bytes()
    said = capsys.readouterr().out.splitlines()
    for seed in given["seeds"]:
        assert sum(f"seed {seed}: epoch 0" in line for line in said) == 1
    assert sum(": search" in line for line in said) == 2 * 2  # each worker searches for itself
    assert {path.name for path in work.iterdir()} == {"graph", "one", "two"}


def test_torchrun_around_the_command_line_with_more_workers_than_seeds(work: Path) -> None:
    """Twins: several fits a seed."""
    cell, params = "single_task-mlp-fixed", work.parent / "params.yaml"
    given = sections([1, 0])
    params.write_text(yaml.safe_dump({"grid": [cell], **given}))
    one = component(cell, work / "graph", work / "one", given)
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    command = ("stage", "train", "--cell", cell, "--params", str(params), "--work", str(work))
    options = ("--nproc-per-node", "3", "--log-dir", str(work.parent / "logs"))
    run(*torchrun, *options, "-m", "counterpoint.cli", *command, cwd=work)
    assert file_digests(work / "runs" / cell) == file_digests(one)
    assert {path.name for path in (work / "runs").iterdir()} == {cell}


def test_a_fault_of_a_worker_is_one_line_and_leaves_nothing(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from counterpoint import cli

    cell, params = "single_task-gcn-fixed", work.parent / "params.yaml"
    given = sections([1, 0], fanouts=[3, 3])  # found where the model is made, so in the workers
    params.write_text(yaml.safe_dump({"grid": [cell], **given}))
    arguments = ("--cell", cell, "--params", str(params), "--work", str(work))
    monkeypatch.setattr("sys.argv", ["counterpoint", "stage", "train", *arguments])
    monkeypatch.setenv(WORKERS, "2")
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == 2
    _, fault = capsys.readouterr().err.splitlines()  # the first says what is being done
    assert fault == "train.fanouts: 2 numbers for an encoder of 1 graph layers; give one a layer"
    assert not list((work / "runs").iterdir())
