"""Ranking by the models of a finished study: NDCG, and AUC with popularity-matched negatives.

Every test positive of a target on pairs is ranked among all destinations that are no training
positive of its source, others of its source's held-out positives among them:

    NDCG         1 / log2(rank + 1), the mean over test positives
    AUC          share of the candidates ranked below it, ties half
    AUC matched  the same, each candidate weighing as many training positives as it has: an exact
                 expectation over negatives drawn by popularity, which popularity cannot tell apart

    python -m benchmarks.ranking lastfm_joint_gcn --work FOLDER

FOLDER/lastfm_joint_gcn is what benchmarks.results left there. Writes
benchmarks/results/ranking_lastfm_joint_gcn.json, which the page shows beside the study.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from scipy import sparse

from benchmarks.results import RESULTS, WORK, commit, study_named
from counterpoint.errors import UserError
from counterpoint.evaluation.references.interactions import (
    Scorer,
    block_scores,
    scorers,
    source_blocks,
    training_positives,
)
from counterpoint.files import write_json
from counterpoint.graph.store import GraphStore, open_store
from counterpoint.graph.views import TrainingGraph
from counterpoint.models.contract import Model
from counterpoint.training.cell import JOINT, Run, open_run
from counterpoint.training.scoring import full_representations, pair_factors_of

METRICS = ("ndcg", "auc", "auc_matched")


def model_scorer(model: Model, graph: TrainingGraph, task: str) -> Scorer:
    """Scores of all destinations up to a constant a source, which moves no rank."""
    if model.condition(task) is not None:
        raise UserError(f"ranking: {task}: is scored given another task, by no dot product")
    with torch.no_grad():
        h = full_representations(model, graph)[task]
        src, dst = pair_factors_of(model, graph, h, task)
    vectors, others, bias = (x.numpy() for x in (src.vector, dst.vector, dst.bias))
    return lambda sources: vectors[sources] @ others.T + bias


def measured(scorer: Scorer, positives: sparse.csr_array, pairs: np.ndarray) -> dict[str, float]:
    """Each of :data:`METRICS`, a mean over ``pairs [n, 2]``.

    Args:
        scorer: of all destinations.
        positives: ``[n_src, n_dst]`` training positives.
        pairs: held-out positives.
    """
    popularity = positives.sum(axis=0).astype(np.float64)
    found: dict[str, list[np.ndarray]] = {metric: [] for metric in METRICS}
    for places in source_blocks(pairs[:, 0], positives.shape[1]):
        src, dst = pairs[places].T
        scores = block_scores(scorer, src)
        own = np.take_along_axis(scores, dst[:, None], axis=1)
        candidate = positives[src].toarray() == 0
        candidate[np.arange(len(dst)), dst] = False
        below = ((scores < own) + 0.5 * (scores == own)) * candidate
        n = candidate.sum(axis=1)
        found["ndcg"].append(1 / np.log2(2 + n - below.sum(axis=1)))
        found["auc"].append(below.sum(axis=1) / n)
        found["auc_matched"].append(below @ popularity / (candidate @ popularity))
    return {metric: float(np.concatenate(parts).mean()) for metric, parts in found.items()}


def of_seeds(
    run: Run, graph: TrainingGraph, task: str, positives: sparse.csr_array, pairs: np.ndarray
) -> Iterator[dict[str, float]]:
    """What the models of a run measure, seed after seed."""
    for seed in run.seeds:
        model = run.model(graph.store, seed, fit=task if run.cell.is_twin else JOINT)
        yield measured(model_scorer(model, graph, task), positives, pairs)


def test_positives(store: GraphStore, task: str) -> np.ndarray:
    """``[n, 2]`` places of source and destination."""
    rows = store.rows(task, "test")
    found: np.ndarray = rows.entity[rows.label == 1]
    return found


def ranking(work: Path, grid: Sequence[str]) -> dict[str, Any]:
    """The finished ones of some cells and the references, for each target on pairs."""
    store = open_store(work / "graph")
    graph = TrainingGraph(store)
    runs = [open_run(work / "runs" / cell) for cell in grid if (work / "runs" / cell).is_dir()]
    if not runs:
        raise UserError(f"{work}: no cell of {', '.join(grid)} is finished")
    result: dict[str, Any] = {"commit": commit(), "graph": store.digest, "tasks": {}}
    result["cells"] = {run.cell.name: run.digest for run in runs}
    result["seeds"] = list(runs[0].seeds)
    for task, schema in store.meta.tasks.items():
        if schema.role != "target" or not schema.is_pair:
            continue
        pairs, positives = test_positives(store, task), training_positives(store, task)
        by_cell = {
            run.cell.name: list(of_seeds(run, graph, task, positives, pairs)) for run in runs
        }
        result["tasks"][task] = {
            "positives": len(pairs),
            "cells": {
                run.cell.name: _row(by_cell[run.cell.name], by_cell.get(run.cell.twin))
                for run in runs
            },
            "references": {
                name: measured(scorer, positives, pairs)
                for name, scorer in scorers(positives, pairs[:, 0], seed=0).items()
            },
        }
    return result


def _row(found: list[dict[str, float]], twin: list[dict[str, float]] | None) -> dict[str, Any]:
    """Mean and deviation of each metric, and the paired difference to the twin, if there is one."""
    row: dict[str, Any] = {}
    for metric in METRICS:
        values = [one[metric] for one in found]
        row[metric] = {"mean": fmean(values), "sd": _sd(values)}
        if twin is not None and twin is not found:
            gains = [a - b[metric] for a, b in zip(values, twin, strict=True)]
            row[metric] |= {"gain": fmean(gains), "standard_error": _sd(gains) / len(gains) ** 0.5}
    return row


def _sd(values: list[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of artefacts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    grid = study_named(arguments.study).params["grid"]
    found = ranking(arguments.work / arguments.study, grid)
    write_json(RESULTS / f"ranking_{arguments.study}.json", found)


if __name__ == "__main__":
    main()
