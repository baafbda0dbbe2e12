"""The graph store: what graph construction writes and everything after it reads.

::

    meta.json                    node types, relations, tasks: sizes and names
    train/edges.safetensors      one flat graph over all node types, incoming edges by destination
    train/features.safetensors   encoded features
    train/encoders.json          what the encoding of each node type's features learned
    train/tasks.safetensors      training rows of every task
    train/candidates.safetensors fixed evaluation candidates of link tasks, by source node
    held_out/<split>.safetensors rows of valid and test; nothing under train/ depends on them
    held_out/facts.json          cross-task overlap and what the policy did about it
    ids/<type>.parquet           the user's ids in row order
    manifest.json

Nodes of all types share one numbering: type after type, in the order of ``meta.node_types``.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from counterpoint.data.schema import Strict, Task
from counterpoint.errors import UserError
from counterpoint.files import read_json, read_tensors, verified_digest


class TypeMeta(Strict):
    """One node type: ``dense`` standardised columns, embedded columns, bags of words.

    ``dense_widths`` are the numbers of columns of each dense feature, in order.
    """

    name: str
    count: int
    dense: int = 0
    dense_widths: tuple[int, ...] = ()
    vocabularies: tuple[int, ...] = ()
    bags: dict[str, int] = Field(default_factory=dict)

    @property
    def has_features(self) -> bool:
        """Whether the type has any feature; else its nodes get learned embeddings."""
        return bool(self.dense or self.vocabularies or self.bags)


class RelationMeta(Strict):
    """One edge type of the flat graph; its place in the list is the edge type's number.

    A ``similarity`` joins nodes with neighbours in common, both ways, and has no reverse.
    """

    name: str
    src: str
    dst: str
    edges: int
    derived: bool = False
    reverse: bool = False
    similarity: bool = False


class GraphMeta(Strict):
    """Sizes and names of a graph store.

    ``generated`` tasks are auxiliaries whose rows graph construction made up: they are trained
    beside the user's, and have no held-out rows.
    """

    name: str
    node_types: tuple[TypeMeta, ...]
    relations: tuple[RelationMeta, ...]
    tasks: dict[str, Task]
    generated: dict[str, Task] = Field(default_factory=dict)
    cross_task: str
    candidates: str

    @property
    def offsets(self) -> dict[str, int]:
        """First node number of each type."""
        starts = np.cumsum([0] + [t.count for t in self.node_types[:-1]])
        return {t.name: int(start) for t, start in zip(self.node_types, starts, strict=True)}

    @property
    def n_nodes(self) -> int:
        """Number of nodes of all types."""
        return sum(t.count for t in self.node_types)

    @property
    def trained(self) -> dict[str, Task]:
        """All tasks that a joint model trains."""
        return {**self.tasks, **self.generated}

    def count(self, node_type: str) -> int:
        """Number of nodes of one type."""
        return next(t.count for t in self.node_types if t.name == node_type)


@dataclass(frozen=True)
class TaskRows:
    """Rows of one task in one split.

    Shapes: ``entity [n]`` or ``[n, 2]``, places within the node types; ``label [n]``, ``[n, C]``
    for multilabel, ones for link.
    """

    entity: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.entity)


@dataclass(frozen=True)
class GraphStore:
    """An opened graph store; arrays are read when they are first asked for.

    ``left_out [N]`` (bool) are nodes that stand apart: without edges, and never asked about by an
    objective. None: there are none.
    """

    path: Path
    meta: GraphMeta
    digest: str
    left_out: np.ndarray | None = None

    @cached_property
    def edges(self) -> dict[str, np.ndarray]:
        """``indptr [N + 1]``, ``indices [E]`` (sources), ``etype [E]`` of the flat graph."""
        edges = read_tensors(self.path / "train" / "edges.safetensors")
        return edges if self.left_out is None else _edges_between(~self.left_out, edges)

    @cached_property
    def features(self) -> dict[str, np.ndarray]:
        """``<type>/dense``, ``<type>/codes``, ``<type>/<bag>.indptr``, ``<type>/<bag>.indices``."""
        return read_tensors(self.path / "train" / "features.safetensors")

    @cached_property
    def candidates(self) -> dict[str, np.ndarray]:
        """``<task> [n_src, K]``: the destinations that a held-out positive is ranked among."""
        return read_tensors(self.path / "train" / "candidates.safetensors")

    @cached_property
    def _rows(self) -> dict[str, dict[str, np.ndarray]]:
        return {}

    def rows(self, task: str, split: str) -> TaskRows:
        """Rows of a task in ``train``, ``valid`` or ``test``."""
        if split not in self._rows:
            place = "train/tasks" if split == "train" else f"held_out/{split}"
            self._rows[split] = read_tensors(self.path / f"{place}.safetensors")
        arrays = self._rows[split]
        return TaskRows(arrays[f"{task}/entity"], arrays[f"{task}/label"])

    def ids(self, node_type: str) -> np.ndarray:
        """The user's ids of one node type ``[n]`` in row order: integers, or objects (strings)."""
        import polars as pl

        found = pl.read_parquet(self.path / "ids" / f"{node_type}.parquet")["id"]
        return np.asarray(found.to_numpy())

    @property
    def held_out_facts(self) -> Any:
        """Cross-task overlap: a JSON list, one entry a task."""
        return read_json(self.path / "held_out" / "facts.json")


def _edges_between(nodes: np.ndarray, edges: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The edges of which both ends are among ``nodes [N]`` (bool)."""
    dst = np.repeat(np.arange(len(nodes)), np.diff(edges["indptr"]))
    keep = nodes[dst] & nodes[edges["indices"]]
    degree = np.bincount(dst[keep], minlength=len(nodes))
    return {
        "indptr": np.concatenate([[0], np.cumsum(degree, dtype=np.int64)]),
        "indices": edges["indices"][keep],
        "etype": edges["etype"][keep],
    }


def open_store(path: Path) -> GraphStore:
    """Open a graph store after rehashing it against its manifest."""
    if not (path / "meta.json").is_file():
        raise UserError(f"{path}: no graph store; run the stage build_graph first")
    digest = verified_digest(path)
    meta = GraphMeta.model_validate(read_json(path / "meta.json"))
    return GraphStore(path, meta, digest)
