"""Evaluate: the gate's verdict on each candidate, simple references beside it, one report."""

from typing import Any

import numpy as np
import polars as pl

from counterpoint import __version__
from counterpoint.data.schema import Task
from counterpoint.data.splits import SPLITS
from counterpoint.errors import UserError
from counterpoint.evaluation.references import reference_notes, reference_parts
from counterpoint.evaluation.report import Curve, Report, Summary
from counterpoint.files import read_json, verified_digest, write_json, write_manifest
from counterpoint.graph.store import GraphStore, open_store
from counterpoint.metrics import Parts, value
from counterpoint.stages.judgement import Judged, judged, open_runs
from counterpoint.stages.runner import stage_params
from counterpoint.stages.table import StageCall, stage_named
from counterpoint.training.cell import Run, reported_metrics


def _values(task: Task, parts: Parts) -> dict[str, float]:
    values = {}
    for metric in reported_metrics(task):
        try:
            values[metric] = value(metric, parts)
        except UserError:  # undefined on these rows
            continue
    return values


def _references(call: StageCall, store: GraphStore) -> dict[str, dict[str, dict[str, float]]]:
    """Task to reference to metric to its value on test."""
    if not call.params.evaluate.references:
        return {}
    found = {}
    for name, task in store.meta.tasks.items():
        call.report(f"references of {name}")
        parts = reference_parts(store, name, "test", call.inputs["data"], seed=0)
        found[name] = {reference: _values(task, scored) for reference, scored in parts.items()}
    return found


def _summaries(run: Run) -> dict[str, dict[str, Summary]]:
    """Task to metric on test, over the seeds."""
    values: dict[str, dict[str, list[float]]] = {}
    for seed in run.seeds:
        for task, by_split in run.metrics["seeds"][str(seed)].items():
            for metric, found in by_split["test"].items():
                if found is not None:
                    values.setdefault(task, {}).setdefault(metric, []).append(found)
    return {
        task: {metric: _summary(found) for metric, found in by_metric.items()}
        for task, by_metric in values.items()
    }


def _summary(values: list[float]) -> Summary:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return Summary(mean=float(np.mean(values)), sd=sd, n=len(values))


def _curves(run: Run) -> list[Curve]:
    """Everything in the run's history by epoch, over the seeds."""
    history = pl.read_parquet(run.path / "history.parquet")
    keys = ["fit", "task", "name"]
    by_epoch = (
        history.group_by([*keys, "epoch"])
        .agg(mean=pl.col("value").mean(), low=pl.col("value").min(), high=pl.col("value").max())
        .sort([*keys, "epoch"])
    )
    return [
        Curve(
            cell=run.cell.name,
            fit=fit,
            task=task,
            name=name,
            epochs=rows["epoch"].to_list(),
            mean=rows["mean"].to_list(),
            low=rows["low"].to_list(),
            high=rows["high"].to_list(),
        )
        for (fit, task, name), rows in by_epoch.group_by(keys, maintain_order=True)
    ]


def _data_facts(store: GraphStore) -> dict[str, Any]:
    meta = store.meta
    rows = {name: {split: len(store.rows(name, split)) for split in SPLITS} for name in meta.tasks}
    rates = {
        name: {split: float(store.rows(name, split).label.mean()) for split in SPLITS}
        for name, task in meta.tasks.items()
        if task.kind == "binary"
    }
    return {
        "node_types": {t.name: t.count for t in meta.node_types},
        "relations": {r.name: r.edges for r in meta.relations if not r.reverse},
        "rows": rows,
        "positive_rates": rates,
        "cross_task": meta.cross_task,
        "held_out": store.held_out_facts,
        "candidates": meta.candidates,
    }


def _metrics(found: Judged) -> dict[str, Any]:
    """Flat numbers for ``dvc metrics show``."""
    return {
        candidate: {
            "verdict": verdict.decision,
            "tasks": {
                task.name: {
                    "metric": task.metric,
                    "joint": task.joint,
                    "twin": task.twin,
                    "difference": task.difference.delta,
                    "lower": task.lower,
                    "margin": task.margin,
                    "state": task.state,
                }
                for task in verdict.tasks
            },
        }
        for candidate, verdict in found.verdicts.items()
    }


def _write_learning(call: StageCall, report: Report) -> None:
    """Validation curves for ``dvc plots show``."""
    rows = [
        {"epoch": epoch, "value": mean, "curve": f"{curve.cell} {curve.task} {curve.name}"}
        for curve in report.curves
        if curve.name.startswith("valid ")
        for epoch, mean in zip(curve.epochs, curve.mean, strict=True)
    ]
    (call.output / "plots").mkdir()
    pl.DataFrame(
        rows, schema={"epoch": pl.Int64, "value": pl.Float64, "curve": pl.String}
    ).write_csv(call.output / "plots" / "learning.csv")


def evaluate(call: StageCall) -> None:
    """Judge the candidates; write report.json, report.html, metrics.json and plots."""
    store = open_store(call.inputs["graph"])
    runs = open_runs(call.inputs["runs"], call.params.grid, store.digest)
    call.report("the gate")
    found = judged(store.meta, call.params, runs)
    validation = read_json(call.inputs["validation"] / "validation.json")
    digests = {
        f"{name}_digest": verified_digest(call.inputs[name]) for name in ("data", "validation")
    }
    report = Report(
        name=store.meta.name,
        candidates=list(found.verdicts.values()),
        chosen=found.chosen,
        preflight=found.preflight,
        summaries={name: _summaries(run) for name, run in runs.items()},
        references=_references(call, store),
        reference_notes=reference_notes(store) if call.params.evaluate.references else [],
        curves=[curve for run in runs.values() for curve in _curves(run)],
        data_facts=_data_facts(store),
        validation={name: validation[name] for name in ("passed", "failed", "tables")},
        lineage={
            **digests,
            "graph_digest": store.digest,
            **{f"run.{name}": run.digest for name, run in runs.items()},
            "counterpoint": __version__,
        },
        parameters=stage_params(stage_named("evaluate"), call.params),
    )
    write_json(call.output / "report.json", report.model_dump(mode="json"))
    write_json(call.output / "metrics.json", _metrics(found))
    _write_learning(call, report)
    _write_page(call, report)
    write_manifest(call.output)


def _write_page(call: StageCall, report: Report) -> None:
    from counterpoint.evaluation.page import page
    from counterpoint.files import write_text

    write_text(call.output / "report.html", page(report))
