"""A tracking store a module, and small bundles, cells and pipeline records."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from counterpoint.data.schema import TaskKind
from counterpoint.files import json_text, sha256_of_text, write_json, write_manifest
from counterpoint.registry.bundle import DotHead, LinearHead, write_bundle
from counterpoint.registry.records import CandidateRecord, CellRecord, PipelineRecord
from counterpoint.registry.tracking import Tracking, connect
from counterpoint.training.cell import write_history

USERS, ITEMS, WIDTH = ["u1", "u2", "u3"], [10, 20, 30, 40], 2


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracking database without content: MLflow takes seconds to make one."""
    work = tmp_path_factory.mktemp("store")
    connect(work, f"sqlite:///{work}/mlflow.db")
    return work / "mlflow.db"


@pytest.fixture(scope="module")
def tracking(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    work = tmp_path_factory.mktemp("work")
    shutil.copy(empty_store, work)
    return connect(work, f"sqlite:///{work}/mlflow.db")


def heads(shift: float = 0.0) -> dict[str, DotHead | LinearHead]:
    """A head of every kind; ``shift`` makes another model."""
    rng = np.random.default_rng(0)

    def linear(kind: TaskKind, node_type: str, classes: int) -> LinearHead:
        rows = len(USERS) if node_type == "user" else len(ITEMS)
        return LinearHead(kind, (node_type,), rng.normal(size=(rows, classes)) + shift)

    click = DotHead(
        TaskKind.BINARY,
        ("user", "item"),
        src=rng.normal(size=(len(USERS), WIDTH)),
        dst=rng.normal(size=(len(ITEMS), WIDTH)),
        src_bias=rng.normal(size=len(USERS)),
        dst_bias=rng.normal(size=len(ITEMS)),
        bias=np.asarray(0.25 + shift),
    )
    return {
        "click": click,
        "buy": replace(click, kind=TaskKind.LINK, bias=np.asarray(-1.0 + shift)),
        "churn": linear(TaskKind.BINARY, "user", 1),
        "topic": linear(TaskKind.MULTICLASS, "item", 3),
        "tags": linear(TaskKind.MULTILABEL, "item", 2),
        "spend": linear(TaskKind.REGRESSION, "user", 1),
    }


def sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


def examples(of: dict[str, DotHead | LinearHead]) -> list[dict[str, Any]]:
    """One row a task, scored here in float64 and element by element."""
    dot = of["click"]
    pair = dot.src[1] @ dot.dst[2] + dot.src_bias[1] + dot.dst_bias[2]
    topic = np.exp(of["topic"].logits[3])
    return [
        {"task": "click", "src": "u2", "dst": 30, "score": float(sigmoid(pair + dot.bias))},
        {"task": "buy", "src": "u2", "dst": 30, "score": float(sigmoid(pair + of["buy"].bias))},
        {"task": "churn", "id": "u3", "score": float(sigmoid(of["churn"].logits[2, 0]))},
        {"task": "topic", "id": 40, "score": (topic / topic.sum()).tolist()},
        {"task": "tags", "id": 10, "score": sigmoid(of["tags"].logits[0]).tolist()},
        {"task": "spend", "id": "u1", "score": float(of["spend"].logits[0, 0])},
    ]


def make_bundle(folder: Path, shift: float = 0.0, **changes: Any) -> Path:
    given = {
        "heads": heads(shift),
        "ids": {"user": np.asarray(USERS, dtype=object), "item": np.asarray(ITEMS)},
        "examples": examples(heads(shift)),
        "trained_on": {task: np.arange(3) for task in changes.get("heads", heads())},
        "inductive": "node type item has no features; give it some",
        "graph_digest": "g" * 64,
        "model_digest": model_digest(shift),
        "config": {"encoder": "gcn"},
    }
    write_bundle(folder, **{**given, **changes})
    return folder


def model_digest(shift: float) -> str:
    return sha256_of_text(f"model {shift}")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def config_of(cell: str) -> dict[str, str]:
    return {"architecture": cell}


def make_cell(folder: Path, name: str) -> CellRecord:
    folder.mkdir(parents=True)
    write_json(folder / "config.json", config_of(name))
    write_json(folder / "metrics.json", {})
    write_history(
        folder / "history.parquet",
        [
            {"seed": seed, "fit": "joint", "epoch": epoch, "task": task, "name": name, "value": v}
            for seed, epoch, task, name, v in (
                (0, 0, "click", "weight", 1.0),
                (1, 0, "click", "weight", 2.0),
                (0, 1, "click", "weight", 4.0),
                (1, 1, "click", "weight", float("nan")),
                (0, 0, "", "cosine/buy~click", -0.5),
            )
        ],
    )
    write_manifest(folder)
    return CellRecord(
        name=name,
        digest=sha256_of_text(f"cell {name} {folder}"),
        config={"architecture": name, "train": {"lr": 0.1, "seeds": [0, 1]}, "empty": {}},
        metrics={
            0: {"click": {"test": {"auc": 0.7, "hr@10": 0.1, "ndcg": None}}},
            1: {"click": {"test": {"auc": 0.8, "hr@10": float("nan")}}},
        },
        folder=folder,
    )


def write_card(folder: Path, **content: Any) -> None:
    write_json(folder / "card.json", content)
    write_manifest(folder)


def make_candidate(folder: Path, cell: str, verdict: str, shift: float) -> CandidateRecord:
    folder.mkdir(parents=True, exist_ok=True)
    card = folder / f"{cell}-card"
    card.mkdir(exist_ok=True)
    write_card(card, cell=cell, verdict={"decision": verdict}, lineage={})
    report = folder / f"{cell}.html"
    report.write_text(f"<p>{cell}: {verdict}</p>")
    return CandidateRecord(
        cell=cell,
        bundle=make_bundle(folder / f"{cell}-served", shift),
        model_digest=model_digest(shift),
        verdict=verdict,
        reasons=[f"click: {verdict}"],
        report=report,
        card=card,
        lineage={"seed": "0", "config_digest": sha256_of_text(json_text(config_of(cell)))},
    )


def make_record(folder: Path, **verdicts: str) -> PipelineRecord:
    """A pipeline run with a candidate for each ``cell=verdict``, and the twin's cell.

    The candidates of one folder are other models than those of another.
    """
    start = int(sha256_of_text(str(folder))[:6], 16) / 1e6
    return PipelineRecord(
        data="market",
        params={"seeds": 2, "store": "http://me:secret@host:5000/x?token=1"},
        lineage={"data_digest": sha256_of_text(str(folder)), "graph_digest": "g" * 64},
        cells=[make_cell(folder / "cells" / name, name) for name in [*verdicts, "twin"]],
        candidates=[
            make_candidate(folder / "candidates", cell, verdict, start + place)
            for place, (cell, verdict) in enumerate(verdicts.items())
        ],
    )
