"""Nodes as linear models see them: own features, neighbours' means, neighbours' labels."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from counterpoint.data.schema import TaskKind
from counterpoint.graph.store import GraphStore, RelationMeta

# [n, F]: a dense array of standardised columns, or a sparse one with rows of length one
Matrix: TypeAlias = NDArray[np.float32] | sparse.csr_array


def own_features(store: GraphStore, node_type: str) -> list[Matrix]:
    """Dense columns, one-hot codes and bags of all nodes of a type; empty without features."""
    meta = next(t for t in store.meta.node_types if t.name == node_type)
    blocks: list[Matrix] = []
    if meta.dense:
        blocks.append(store.features[f"{node_type}/dense"])
    for column, size in enumerate(meta.vocabularies):
        codes = store.features[f"{node_type}/codes"][:, column]
        blocks.append(_rows_of_ones(np.arange(meta.count + 1), codes, size))
    for bag, size in meta.bags.items():
        indptr, indices = (store.features[f"{node_type}/{bag}.{a}"] for a in ("indptr", "indices"))
        blocks.append(_unit_rows(_rows_of_ones(indptr, indices, size)))
    return blocks


def neighbour_means(store: GraphStore, node_type: str, *, derived: bool) -> list[Matrix]:
    """Mean features of each node's neighbours, a block a relation and feature block.

    Neighbours of a type without features are told apart by who they are. ``derived`` relations
    are left out unless asked for.
    """
    blocks: list[Matrix] = []
    for relation, adjacency in _incoming(store, node_type):
        if relation.derived and not derived:
            continue
        mean = _over_row_sums(adjacency)
        features = own_features(store, relation.src)
        found = [mean @ block for block in features] if features else [mean]
        blocks += [_unit_rows(block) if sparse.issparse(block) else block for block in found]
    return blocks


def neighbour_labels(store: GraphStore, task_name: str) -> list[Matrix]:
    """Shares of classes among the training labels around each node, a block ``[n, C]`` a relation.

    Around: one step away where the relation joins nodes of the task's type, else two, there and
    back, a node in between counting for less the more neighbours it has. A node's own label is
    taken out, so that training nodes see what test nodes see. Numbers give their mean.
    """
    task = store.meta.tasks[task_name]
    (node_type,) = task.node_types
    train = store.rows(task_name, "train")
    value, known = _labels_of_nodes(store, task_name), np.zeros((store.meta.count(node_type), 1))
    known[train.entity] = 1
    blocks: list[Matrix] = []
    for relation, adjacency in _incoming(store, node_type):
        if relation.src == node_type:
            sums, weights = adjacency @ value, adjacency @ known
        else:
            there = adjacency @ sparse.diags_array(1 / np.maximum(adjacency.sum(axis=0), 1))
            back = adjacency.T.tocsr()
            own = there.multiply(adjacency).sum(axis=1)[:, None]
            sums, weights = (there @ (back @ array) - own * array for array in (value, known))
        shares = np.where(weights > 1e-6, sums / np.maximum(weights, 1e-6), 0)
        blocks.append(shares.astype(np.float32))
    return blocks


def beside(blocks: Sequence[Matrix]) -> Matrix:
    """One matrix of all blocks, sparse as soon as one of them is."""
    if len(blocks) == 1:
        return blocks[0]
    if any(sparse.issparse(block) for block in blocks):
        return sparse.hstack(blocks, format="csr")
    return np.hstack(blocks)


def _incoming(store: GraphStore, node_type: str) -> Iterator[tuple[RelationMeta, Any]]:
    """Each relation into a node type with its adjacency ``[n_dst, n_src]``."""
    meta, edges = store.meta, store.edges
    first, count = meta.offsets[node_type], meta.count(node_type)
    indptr = edges["indptr"][first : first + count + 1]
    inside = slice(indptr[0], indptr[-1])
    rows = np.repeat(np.arange(count), np.diff(indptr))
    for number, relation in enumerate(meta.relations):
        if relation.dst != node_type:
            continue
        of_relation = edges["etype"][inside] == number
        columns = edges["indices"][inside][of_relation] - meta.offsets[relation.src]
        yield (
            relation,
            sparse.csr_array(
                (np.ones(len(columns), np.float32), (rows[of_relation], columns)),
                shape=(count, meta.count(relation.src)),
            ),
        )


def _labels_of_nodes(store: GraphStore, task_name: str) -> NDArray[np.float64]:
    """Training labels of all nodes ``[n, C]``, zero where there is none."""
    task, train = store.meta.tasks[task_name], store.rows(task_name, "train")
    label = train.label.astype(np.float64)
    if task.kind is TaskKind.MULTICLASS:
        label = np.eye(int(task.classes or 0))[train.label]
    elif task.kind is not TaskKind.MULTILABEL:
        label = label[:, None]
    value = np.zeros((store.meta.count(task.node_types[0]), label.shape[1]))
    value[train.entity] = label
    return value


def _rows_of_ones(
    indptr: NDArray[np.int64], indices: NDArray[np.int64], size: int
) -> sparse.csr_array:
    ones = np.ones(len(indices), np.float32)
    return sparse.csr_array((ones, indices, indptr), shape=(len(indptr) - 1, size))


def _over_row_sums(matrix: sparse.csr_array) -> sparse.csr_array:
    return (sparse.diags_array(1 / np.maximum(matrix.sum(axis=1), 1)) @ matrix).tocsr()


def _unit_rows(matrix: sparse.csr_array) -> sparse.csr_array:
    length = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    return (sparse.diags_array(1 / np.where(length > 0, length, 1)) @ matrix).tocsr()
