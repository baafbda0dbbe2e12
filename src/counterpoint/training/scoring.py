"""Scores of held-out rows, from the whole graph of training edges."""

from typing import cast

import numpy as np
import torch
from torch import Tensor

from counterpoint.data.schema import TaskKind
from counterpoint.graph.negatives import is_member
from counterpoint.graph.store import GraphStore
from counterpoint.graph.views import TrainingGraph
from counterpoint.metrics.parts import Kind, Parts
from counterpoint.models.contract import Model, Representations, TaskBatch, probabilities
from counterpoint.nn.heads import PairFactors
from counterpoint.training.batches import flat_entities

CHUNK = 512  # sources ranked at a time: bounds memory at CHUNK x candidates


@torch.no_grad()
def full_representations(model: Model, graph: TrainingGraph) -> Representations:
    """Representations of all nodes on full neighbourhoods, without dropout."""
    was_training = model.training
    model.eval()
    found = model.encode(graph.view(model.depth))
    model.train(was_training)
    return found


@torch.no_grad()
def scored_parts(
    model: Model, graph: TrainingGraph, representations: Representations, task_name: str, split: str
) -> Parts:
    """Metric parts of one task on one split."""
    task = model.tasks[task_name]
    rows = graph.store.rows(task_name, split)
    cluster = rows.entity[:, 0] if task.is_pair else rows.entity
    row = np.arange(len(rows), dtype=np.int64)
    if task.kind is TaskKind.LINK:
        src, dst = pair_factors_of(model, graph, representations[task_name], task_name)
        rank, n_candidates = ranks(graph.store, task_name, rows.entity, src, dst)
        return Parts.of_ranks(cluster=cluster, row=row, rank=rank, n_candidates=n_candidates)
    entity = flat_entities(graph.meta, task, rows.entity).to(graph.device)
    label = torch.from_numpy(rows.label).to(graph.device)
    batch = TaskBatch(task_name, graph.view(0), entity, label)
    logits = model.score(representations, batch)
    score = probabilities(task.kind, logits).float().cpu().numpy()
    return Parts(cast(Kind, task.kind.value), cluster, row, rows.label, score)


def pair_factors_of(
    model: Model, graph: TrainingGraph, h: Tensor, task_name: str
) -> tuple[PairFactors, PairFactors]:
    """Vectors and biases of all sources and all destinations of a pair task."""
    meta, sides = graph.meta, []
    for side, node_type in zip(("src", "dst"), model.tasks[task_name].node_types, strict=True):
        start = meta.offsets[node_type]
        sides.append(model.pair_factors(h[start : start + meta.count(node_type)], task_name, side))
    return sides[0], sides[1]


def ranks(
    store: GraphStore, task_name: str, pairs: np.ndarray, src: PairFactors, dst: PairFactors
) -> tuple[np.ndarray, np.ndarray]:
    """Mean rank ``[n]`` of each positive pair ``[n, 2]`` among its candidates, and their number.

    ``src`` and ``dst`` are those of all nodes of the task's types, in the store's order.
    """
    found, counts = [], []
    for start in range(0, len(pairs), CHUNK):
        u, positive = torch.from_numpy(pairs[start : start + CHUNK]).to(dst.vector.device).unbind(1)
        everything = src.vector[u] @ dst.vector.T + dst.bias  # the source's bias moves no rank
        score = everything.gather(1, positive[:, None])
        others, valid = _candidates(store, task_name, pairs[start : start + CHUNK])
        valid = valid.to(score.device)
        against = everything if others is None else everything.gather(1, others.to(score.device))
        above = ((against > score) & valid).sum(1)
        ties = ((against == score) & valid).sum(1)
        found.append(1 + above + ties / 2)
        counts.append(1 + valid.sum(1))
    return torch.cat(found).cpu().numpy(), torch.cat(counts).cpu().numpy()


def _candidates(
    store: GraphStore, task_name: str, pairs: np.ndarray
) -> tuple[Tensor | None, Tensor]:
    """Candidates ``[n, K]`` (None: all destinations), and which of them count ``[n, K] bool``.

    The positive itself does not count; in the full ranking neither do training positives.
    """
    if store.meta.candidates != "all":
        others = store.candidates[task_name][pairs[:, 0]]
        return torch.from_numpy(others), torch.from_numpy(others != pairs[:, 1:])
    n_dst = store.meta.count(store.meta.tasks[task_name].node_types[1])
    train = store.rows(task_name, "train").entity
    seen = train[is_member(train[:, 0], np.unique(pairs[:, 0]))]
    valid = np.ones((len(pairs), n_dst), dtype=bool)
    valid[np.arange(len(pairs)), pairs[:, 1]] = False
    order = np.argsort(pairs[:, 0], kind="stable")
    users = pairs[order, 0]
    first, last = np.searchsorted(users, seen[:, 0]), np.searchsorted(users, seen[:, 0], "right")
    for repeat in range(int((last - first).max(initial=0))):
        at = first + repeat < last
        valid[order[(first + repeat)[at]], seen[at, 1]] = False
    return None, torch.from_numpy(valid)
