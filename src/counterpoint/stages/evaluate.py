"""Evaluate: the gate's verdict on each candidate, simple references beside it, one report."""

from typing import Any

import numpy as np
import polars as pl

from counterpoint import __version__
from counterpoint.data.distributions import FEATURES, distribution, feature_values
from counterpoint.data.folder import open_folder
from counterpoint.data.schema import Task
from counterpoint.data.splits import SPLITS
from counterpoint.errors import UserError
from counterpoint.evaluation.history import (
    curves_from_history,
    flat_metrics,
    learning_tables,
    summaries,
)
from counterpoint.evaluation.importance import agreements
from counterpoint.evaluation.page import page
from counterpoint.evaluation.readings import readings_of_runs, summarised
from counterpoint.evaluation.references import reference_notes, reference_parts
from counterpoint.evaluation.report import Report
from counterpoint.files import read_json, verified_digest, write_json, write_manifest, write_text
from counterpoint.graph.store import GraphStore, open_store
from counterpoint.metrics import Parts, share_kept, value
from counterpoint.stages.judgement import judged, open_runs
from counterpoint.stages.runner import stage_params
from counterpoint.stages.table import StageCall, stage_named
from counterpoint.training.cell import reported_metrics


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
        "gauc_shares": _gauc_shares(store),
    }


def _gauc_shares(store: GraphStore) -> dict[str, float]:
    """Of each binary task on pairs the share of test rows that GAUC is of."""
    shares = {}
    for name, task in store.meta.tasks.items():
        if task.is_pair and task.kind == "binary":
            rows = store.rows(name, "test")
            places = np.arange(len(rows))
            unscored = np.zeros(len(rows))
            shares[name] = share_kept(
                Parts("binary", rows.entity[:, 0], places, rows.label, unscored)
            )
    return shares


def _write(call: StageCall, report: Report) -> None:
    write_json(call.output / "report.json", report.model_dump(mode="json"))
    write_json(call.output / "metrics.json", flat_metrics(report))
    (call.output / "plots").mkdir()
    for name, rows in learning_tables(report).items():
        pl.DataFrame(rows).write_csv(call.output / "plots" / f"{name}.csv")
    write_text(call.output / "report.html", page(report))
    write_manifest(call.output)


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
    read = readings_of_runs({name: run.path for name, run in runs.items()})
    report = Report(
        name=store.meta.name,
        candidates=list(found.verdicts.values()),
        chosen=found.chosen,
        preflight=found.preflight,
        twins=found.twins,
        summaries={name: summaries(run.metrics) for name, run in runs.items()},
        references=_references(call, store),
        reference_notes=reference_notes(store) if call.params.evaluate.references else [],
        curves=curves_from_history({name: run.path for name, run in runs.items()}),
        readings=[] if read is None else summarised(read, store.meta),
        agreements=[] if read is None else agreements(read, store.meta, call.inputs["data"]),
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
    features = feature_values(open_folder(call.inputs["data"]))
    found_features = {name: distribution(values).model_dump() for name, values in features}
    write_json(call.output / FEATURES, found_features)
    _write(call, report)
