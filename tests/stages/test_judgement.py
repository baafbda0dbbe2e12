"""Twins of several sizes: which one a candidate is compared with."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from counterpoint.data.schema import Task, TaskKind
from counterpoint.graph.store import GraphMeta
from counterpoint.metrics import Parts, value
from counterpoint.stages.judgement import judged
from counterpoint.stages.params import Params
from counterpoint.training.settings import Cell, cell_named

SEEDS = (0, 1)
NARROW, WIDE, JOINT = "single_task-gcn-fixed", "single_task-gcn-fixed-wide", "mmoe-gcn-fixed"


@dataclass
class ScoredRun:
    """As much of a run directory as the gate looks at; scores are label plus noise."""

    cell: Cell
    noise: dict[tuple[str, str], float]  # (task, split) -> standard deviation

    seeds = SEEDS
    metrics: ClassVar = {"selection": {str(seed): {"joint": {"score": 0.0}} for seed in SEEDS}}

    def parts(self, task: str, split: str, seed: int) -> Parts:
        rng = np.random.default_rng([seed, len(task), len(split)])
        rows = np.arange(200)
        label = rows % 2
        score = label + self.noise[task, split] * rng.standard_normal(200)
        return Parts("binary", rows, rows, label, 1 / (1 + np.exp(-score)))


def run_of(name: str, **noise: tuple[float, float]) -> ScoredRun:
    """``noise``: of validation and of test, by task."""
    of_split = {
        (task, split): amount
        for task, both in noise.items()
        for split, amount in zip(("valid", "test"), both, strict=True)
    }
    return ScoredRun(cell_named(name), of_split)


@pytest.fixture
def meta() -> GraphMeta:
    task = Task(kind=TaskKind.BINARY, entity="user", metric="auc", margin=0.01)
    return GraphMeta(
        name="x",
        node_types=(),
        relations=(),
        tasks={"buy": task, "click": task, "helper": task.model_copy(update={"role": "auxiliary"})},
        cross_task="drop",
        candidates="all",
    )


def test_each_task_is_compared_with_the_twin_that_is_better_on_validation(meta: GraphMeta) -> None:
    """The wider one for buy though it is worse on test; the narrow one for click."""
    runs: dict[str, Any] = {
        NARROW: run_of(NARROW, buy=(2.0, 0.5), click=(0.5, 2.0)),
        WIDE: run_of(WIDE, buy=(1.0, 2.0), click=(1.0, 0.5)),
        JOINT: run_of(JOINT, buy=(1.0, 1.0), click=(1.0, 1.0)),
    }
    found = judged(meta, Params(grid=tuple(runs), seeds=SEEDS), runs)
    assert found.twins == {"gcn": {"buy": WIDE, "click": NARROW}}
    for result in found.verdicts[JOINT].tasks:
        twin = runs[found.twins["gcn"][result.name]]
        on_test = [value("auc", twin.parts(result.name, "test", seed)) for seed in SEEDS]
        assert result.twin == pytest.approx(float(np.mean(on_test)))


def test_alone_the_twin_is_the_reference(meta: GraphMeta) -> None:
    runs: dict[str, Any] = {NARROW: run_of(NARROW, buy=(2.0, 0.5), click=(0.5, 2.0))}
    found = judged(meta, Params(grid=tuple(runs), seeds=SEEDS), runs)
    assert found.twins == {"gcn": {"buy": NARROW, "click": NARROW}}
    assert found.verdicts == {}
    assert found.chosen is None
