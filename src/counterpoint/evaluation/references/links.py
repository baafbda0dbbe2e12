"""References of link tasks: each held-out positive ranked as models rank it."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from counterpoint.data.schema import TaskKind
from counterpoint.evaluation.references.interactions import (
    Ints,
    Scorer,
    block_scores,
    scorers,
    seen_then_popular,
    source_blocks,
    training_positives,
)
from counterpoint.graph.store import GraphStore
from counterpoint.metrics import Parts

SEEN_ELSEWHERE = "seen in other behaviours, then popular"


def link_references(store: GraphStore, task_name: str, split: str, seed: int) -> dict[str, Parts]:
    """Popularity, item-CF, SVD; with sibling link tasks also what was seen in those."""
    pairs = store.rows(task_name, split).entity
    positives = training_positives(store, task_name)
    found = scorers(positives, pairs[:, 0], seed)
    seen = seen_elsewhere(store, task_name)
    if seen is not None:
        found[SEEN_ELSEWHERE] = seen_then_popular(positives, seen)
    parts = {}
    for name, scorer in found.items():
        rank, n_candidates = ranks(store, task_name, pairs, positives, scorer)
        parts[name] = Parts.of_ranks(
            cluster=pairs[:, 0], row=np.arange(len(pairs)), rank=rank, n_candidates=n_candidates
        )
    return parts


def seen_elsewhere(store: GraphStore, task_name: str) -> sparse.csr_array | None:
    """In how many of the other link tasks a pair is a training row; None without such tasks.

    They are the tasks on the same node types.
    """
    tasks = store.meta.tasks
    siblings = [
        name
        for name, task in tasks.items()
        if name != task_name
        and task.kind is TaskKind.LINK
        and task.node_types == tasks[task_name].node_types
    ]
    if not siblings:
        return None
    return sum(training_positives(store, name) for name in siblings)


def ranks(
    store: GraphStore,
    task_name: str,
    pairs: Ints,
    positives: sparse.csr_array,
    scorer: Scorer,
) -> tuple[NDArray[np.float64], Ints]:
    """Rank of each positive among its candidates ``[n]``, ties at their mean, and their number.

    The rule is that of :mod:`counterpoint.training.scoring`: the stored candidates but the
    positive itself, or in the full ranking all destinations but it and the source's training
    positives.
    """
    n_dst = positives.shape[1]
    fixed = None if store.meta.candidates == "all" else store.candidates[task_name]
    rank, n_candidates = np.empty(len(pairs)), np.empty(len(pairs), np.int64)
    for places in source_blocks(pairs[:, 0], n_dst):
        src, dst = pairs[places].T
        scores = block_scores(scorer, src)
        of_positive = np.take_along_axis(scores, dst[:, None], axis=1)
        if fixed is not None:
            counted = fixed[src] != dst[:, None]
            scores = np.take_along_axis(scores, fixed[src], axis=1)
        else:
            counted = positives[src].toarray() == 0
            counted[np.arange(len(dst)), dst] = False
        above = ((scores > of_positive) & counted).sum(axis=1)
        level = ((scores == of_positive) & counted).sum(axis=1)
        rank[places] = 1 + above + level / 2
        n_candidates[places] = 1 + counted.sum(axis=1)
    return rank, n_candidates
