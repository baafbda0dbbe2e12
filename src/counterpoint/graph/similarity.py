"""Similarity graphs: nodes of one type that have neighbours in common (MoGENet, METHODS C.1).

Neighbours are those in the edges that training may see and no others.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt
from scipy import sparse

from counterpoint.data.schema import Name, Strict
from counterpoint.errors import UserError
from counterpoint.graph.store import GraphMeta, RelationMeta

Ints = NDArray[np.int64]
Measure = Literal["common", "jaccard", "cosine"]
MOST_PRODUCTS = 1 << 21  # common neighbours, counted one by one, that a block of nodes may have


class Similarity(Strict):
    """A relation among the nodes of one type: the ``top`` most similar of each, either way round.

    ``measure`` of two nodes with d and d' neighbours, c of them in common: c, ``c / (d + d' - c)``
    or ``c / sqrt(d d')``. Nodes have ``min_degree`` neighbours at least, and ``min_overlap`` in
    common. Neighbours are by the relations ``through``; None: all that come from tasks.
    """

    of: Name
    through: tuple[Name, ...] | None = None
    measure: Measure = "common"
    top: PositiveInt = 20
    min_overlap: PositiveInt = 5
    min_degree: PositiveInt = 30


def with_similarities(
    meta: GraphMeta, flat: Mapping[str, np.ndarray], wanted: Mapping[str, Similarity]
) -> tuple[GraphMeta, dict[str, np.ndarray]]:
    """The graph with a relation for each similarity, by name.

    Args:
        meta, flat: the graph and its flat edges.
        wanted: similarities by the name of their relation.

    Raises:
        UserError: a name is taken or unknown, or no two nodes are similar.
    """
    relations = list(meta.relations)
    dst = np.repeat(np.arange(meta.n_nodes), np.diff(flat["indptr"]))
    parts = [(dst, flat["indices"], flat["etype"])]
    for name, similarity in wanted.items():
        incidence = _incidence(name, similarity, meta, flat)
        a, b = similar_pairs(incidence, similarity)
        if not len(a):
            raise UserError(
                f"build.similarities.{name}: no two nodes of {similarity.of} have "
                f"{similarity.min_overlap} neighbours in common and {similarity.min_degree} each; "
                "lower min_overlap or min_degree"
            )
        start, number = meta.offsets[similarity.of], np.int16(len(relations))
        parts.append((a + start, b + start, np.full(len(a), number)))
        relations.append(
            RelationMeta(
                name=name,
                src=similarity.of,
                dst=similarity.of,
                edges=len(a),
                derived=True,
                similarity=True,
            )
        )
    head, tail, etype = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.lexsort((etype, tail, head))
    degree = np.bincount(head, minlength=meta.n_nodes)
    return meta.model_copy(update={"relations": tuple(relations)}), {
        "indptr": np.concatenate([[0], np.cumsum(degree, dtype=np.int64)]),
        "indices": tail[order],
        "etype": etype[order],
    }


def similar_pairs(incidence: sparse.csr_array, similarity: Similarity) -> tuple[Ints, Ints]:
    """Both ends of all similar pairs, each pair twice, ordered by the first end then the second.

    Ties at the last place go to the smaller number. No more than a block of the product of the
    incidence with its transpose is held.

    Args:
        incidence: ``[n, m]`` of ones, which neighbours each node has.
        similarity: the rule.
    """
    n = incidence.shape[0]
    degree = np.diff(incidence.indptr)
    enough = np.flatnonzero(degree >= similarity.min_degree)
    kept = incidence[enough]
    transpose = kept.T.tocsr()
    keys = [np.zeros(0, np.int64)]
    for rows in _blocks(kept, transpose):
        common = (kept[rows] @ transpose).tocoo(copy=False)
        fit = np.flatnonzero(common.data >= similarity.min_overlap)  # few: the rest is for them
        fit = fit[common.col[fit] != rows[common.row[fit]]]
        a, b = enough[rows[common.row[fit]]], enough[common.col[fit]]
        score = _score(similarity.measure, common.data[fit], degree[a], degree[b])
        first, second = _best(a, b, score, similarity.top)
        keys.append(first * n + second)
    found = np.concatenate(keys)
    both = np.unique(np.concatenate([found, found % n * n + found // n]))
    return both // n, both % n


def _score(measure: Measure, common: np.ndarray, d: Ints, other: Ints) -> np.ndarray:
    c = common.astype(np.float64)
    if measure == "common":
        return c
    return np.asarray(c / (d + other - c) if measure == "jaccard" else c / np.sqrt(d * other))


def _best(a: Ints, b: Ints, score: np.ndarray, top: int) -> tuple[Ints, Ints]:
    """The pairs whose second end is among the ``top`` of its first."""
    order = np.lexsort((b, -score, a))
    a, b = a[order], b[order]
    rank = np.arange(len(a)) - np.searchsorted(a, a)
    return a[rank < top], b[rank < top]


def _blocks(kept: sparse.csr_array, transpose: sparse.csr_array) -> Iterator[Ints]:
    """Rows in runs of a bounded number of products."""
    work = kept @ np.diff(transpose.indptr)
    run = np.cumsum(np.minimum(work, MOST_PRODUCTS)) // MOST_PRODUCTS
    starts = np.flatnonzero(np.diff(run, prepend=0))
    yield from (rows for rows in np.split(np.arange(kept.shape[0]), starts) if len(rows))


def _incidence(
    name: str, similarity: Similarity, meta: GraphMeta, flat: Mapping[str, np.ndarray]
) -> sparse.csr_array:
    """``[n, all nodes]`` of ones: the distinct neighbours of each node of the type."""
    chosen = _relations(name, similarity, meta)
    low = meta.offsets[similarity.of]
    high = low + meta.count(similarity.of)
    begin, end = flat["indptr"][low], flat["indptr"][high]
    fit = np.isin(flat["etype"][begin:end], chosen)
    rows = np.repeat(np.arange(high - low), np.diff(flat["indptr"][low : high + 1]))[fit]
    columns = flat["indices"][begin:end][fit]
    ones = np.ones(len(rows), dtype=np.int32)
    found = sparse.csr_array((ones, (rows, columns)), shape=(high - low, meta.n_nodes))
    found.sum_duplicates()
    found.data[:] = 1
    return found


def _relations(name: str, similarity: Similarity, meta: GraphMeta) -> list[int]:
    """Numbers of the relations by which neighbours are meant."""
    where = f"build.similarities.{name}"
    if name in {relation.name for relation in meta.relations}:
        raise UserError(f"{where}: {name} is a relation already; rename it")
    types = [node_type.name for node_type in meta.node_types]
    if similarity.of not in types:
        raise UserError(f"{where}: no node type {similarity.of!r}; there are {', '.join(types)}")
    there = {
        place: relation.name.removeprefix("rev-")
        for place, relation in enumerate(meta.relations)
        if relation.dst == similarity.of
    }
    wanted = similarity.through
    if wanted is None:
        wanted = tuple(there[place] for place in there if meta.relations[place].derived)
        if not wanted:
            raise UserError(
                f"{where}: no relation of {similarity.of} comes from a task; name some by through"
            )
    if unknown := [relation for relation in wanted if relation not in there.values()]:
        raise UserError(
            f"{where}: {', '.join(unknown)} is no relation of {similarity.of}; "
            f"there are {', '.join(sorted(set(there.values()))) or 'none'}"
        )
    return [place for place, relation in there.items() if relation in wanted]
