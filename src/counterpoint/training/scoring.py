"""Scores of held-out rows, from the whole graph of training edges."""

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import Tensor

from counterpoint.data.schema import Task, TaskKind
from counterpoint.graph.negatives import is_member
from counterpoint.graph.views import TrainingGraph
from counterpoint.metrics.parts import Kind, Parts
from counterpoint.models.contract import Model, Representations, TaskBatch, probabilities
from counterpoint.training.batches import flat_entities

CHUNK = 512  # sources ranked at a time: bounds memory at CHUNK x candidates
ROWS = 1 << 17  # rows scored at a time where each passes through the model by itself

Scores = Callable[[Tensor, Tensor | None], Tensor]  # sources [n], destinations [n, K] or all


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
        rank, n_candidates = _ranks(model, graph, representations, task_name, rows.entity)
        return Parts.of_ranks(cluster=cluster, row=row, rank=rank, n_candidates=n_candidates)
    entity = flat_entities(graph.meta, task, rows.entity).to(graph.device)
    logits = _logits(model, graph, representations, task_name, entity)
    score = probabilities(task.kind, logits).float().cpu().numpy()
    return Parts(cast(Kind, task.kind.value), cluster, row, rows.label, score)


def _logits(
    model: Model,
    graph: TrainingGraph,
    representations: Representations,
    task_name: str,
    entity: Tensor,
) -> Tensor:
    """Logits of flat node numbers ``[n]`` or ``[n, 2]``, :data:`ROWS` at a time."""
    view = graph.view(0)
    batches = (
        TaskBatch(task_name, view, some, torch.zeros(len(some), device=graph.device))
        for some in torch.split(entity, ROWS)
    )
    return torch.cat([model.score(representations, batch) for batch in batches])


def _ranks(
    model: Model,
    graph: TrainingGraph,
    representations: Representations,
    task_name: str,
    pairs: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean rank of each positive among its candidates, and their number."""
    task = model.tasks[task_name]
    make = _factor_scores if model.factorised else _single_scores
    scores = make(model, graph, representations, task_name)
    ranks, counts = [], []
    for start in range(0, len(pairs), CHUNK):
        u, positive = torch.from_numpy(pairs[start : start + CHUNK]).to(graph.device).unbind(1)
        others, valid = _candidates(graph, task_name, task, pairs[start : start + CHUNK])
        positive, valid = positive[:, None], valid.to(graph.device)
        if others is None:
            against = scores(u, None)
            score = against.gather(1, positive)
        else:
            both = scores(u, torch.cat([positive, others.to(graph.device)], dim=1))
            score, against = both[:, :1], both[:, 1:]
        above = ((against > score) & valid).sum(1)
        ties = ((against == score) & valid).sum(1)
        ranks.append(1 + above + ties / 2)
        counts.append(1 + valid.sum(1))
    return torch.cat(ranks).cpu().numpy(), torch.cat(counts).cpu().numpy()


def _factor_scores(
    model: Model, graph: TrainingGraph, representations: Representations, task_name: str
) -> Scores:
    """By one vector a side: all destinations in one matrix product."""
    h, meta, sides = representations[task_name], graph.meta, []
    for side, node_type in zip(("src", "dst"), model.tasks[task_name].node_types, strict=True):
        start = meta.offsets[node_type]
        sides.append(model.pair_factors(h[start : start + meta.count(node_type)], task_name, side))
    src, dst = sides

    def scores(u: Tensor, asked: Tensor | None) -> Tensor:
        everything = src.vector[u] @ dst.vector.T + dst.bias  # the source's bias moves no rank
        return everything if asked is None else everything.gather(1, asked)

    return scores


def _single_scores(
    model: Model, graph: TrainingGraph, representations: Representations, task_name: str
) -> Scores:
    """Each pair by itself."""
    source, destination = model.tasks[task_name].node_types
    meta = graph.meta
    everything = torch.arange(meta.count(destination), device=graph.device)

    def scores(u: Tensor, asked: Tensor | None) -> Tensor:
        asked = everything.expand(len(u), -1) if asked is None else asked
        src = (u[:, None] + meta.offsets[source]).expand_as(asked)
        pairs = torch.stack([src, asked + meta.offsets[destination]], dim=2).flatten(0, 1)
        return _logits(model, graph, representations, task_name, pairs).view(asked.shape)

    return scores


def _candidates(
    graph: TrainingGraph, task_name: str, task: Task, pairs: np.ndarray
) -> tuple[Tensor | None, Tensor]:
    """Candidates ``[n, K]`` (None: all destinations), and which of them count ``[n, K] bool``.

    The positive itself does not count; in the full ranking neither do training positives.
    """
    store = graph.store
    if store.meta.candidates != "all":
        others = store.candidates[task_name][pairs[:, 0]]
        return torch.from_numpy(others), torch.from_numpy(others != pairs[:, 1:])
    n_dst = store.meta.count(task.node_types[1])
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
