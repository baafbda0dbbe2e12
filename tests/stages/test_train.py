"""What a killed run leaves behind, and who may go on from it."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from counterpoint.files import read_json
from counterpoint.graph.views import TrainingGraph
from counterpoint.stages import train as stage
from counterpoint.stages.params import Params
from counterpoint.stages.table import StageCall
from counterpoint.training import loop

CELL = "single_task-mlp-fixed"


class Killed(BaseException):
    pass


@pytest.fixture
def run(market_graph: TrainingGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a function that trains one seed, is killed after ``until``, and says its epochs."""
    monkeypatch.setattr(loop.time, "monotonic", count(step=100).__next__)  # each epoch is kept

    def train(learning_rate: float, scratch: str, until: str = "never") -> list[str]:
        said: list[str] = []

        def report(line: str) -> None:
            said.append(line.split(": ")[1].split(",")[0])
            if until in line:
                raise Killed

        encoder = {"width": 4}
        values = {"encoder": encoder, "epochs": 3, "threads": 1, "learning_rate": learning_rate}
        params = Params.model_validate({"grid": [CELL], "seeds": [0], "train": values})
        output = tmp_path / "run"
        output.mkdir(exist_ok=True)
        inputs = {"graph": market_graph.store.path}
        try:
            stage.train(StageCall(inputs, output, params, CELL, tmp_path / scratch, report=report))
        except Killed:
            return said
        train.selection = read_json(output / "metrics.json")["selection"]  # type: ignore[attr-defined]
        return said

    return train


def test_a_killed_run_goes_on_where_it_was(run: Any, tmp_path: Path) -> None:
    everything = run(0.01, "other")
    expected = run.selection
    killed = run(0.01, "scratch", until="epoch 1")
    assert killed == everything[:2]
    assert (tmp_path / "scratch").is_dir()
    assert run(0.01, "scratch") == everything[1:]  # the last epoch was not kept any more
    assert run.selection == expected
    assert not (tmp_path / "scratch").exists()


def test_with_other_settings_it_starts_afresh(run: Any) -> None:
    everything = run(0.1, "other")
    expected = run.selection
    run(0.01, "scratch", until="epoch 1")
    assert run(0.1, "scratch") == everything
    assert run.selection == expected
