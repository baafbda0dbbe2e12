"""What a served model needs, and nothing else: final representations per task, ids, heads.

::

    bundle.json               tasks (kind, head, entity), graph digest, model digest, config
    embeddings.safetensors    dot head: <task>.src [n_src, k], <task>.dst [n_dst, k],
                              <task>.src_bias [n_src], <task>.dst_bias [n_dst], <task>.bias [];
                              linear head: <task>.logits [n, C]
    ids/<type>.parquet        id: the external id of each row
    trained_on.safetensors    <task>: identities of its training entities, sorted [m]
    examples.json             a few entities with the scores that training computed for them
    inductive/                what encoding further nodes needs besides, if that is possible:
                              weights.safetensors, graph.json (its meta), encoders.json
    manifest.json

Serving needs numpy, polars and safetensors; neither torch nor the graph. What is in inductive/ is
carried here and used by :mod:`counterpoint.stages.encoding`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, ValidationError

from counterpoint.data.schema import Name, Strict, TaskKind, one_line_faults
from counterpoint.errors import UserError
from counterpoint.files import (
    new_folder,
    read_json,
    read_tensors,
    verified_digest,
    write_json,
    write_manifest,
    write_tensors,
)
from counterpoint.registry.id_index import IdIndex

CONTENTS, EMBEDDINGS, EXAMPLES = "bundle.json", "embeddings.safetensors", "examples.json"
TRAINED_ON, INDUCTIVE = "trained_on.safetensors", "inductive"


@dataclass(frozen=True)
class DotHead:
    """A pair's logit: ``<src[i], dst[j]> + src_bias[i] + dst_bias[j] + bias``.

    ``entity`` is the source and the destination node type; ``condition`` as in TaskContents.
    Shapes: ``src`` [n_src, k], ``dst`` [n_dst, k], ``src_bias`` [n_src], ``dst_bias`` [n_dst],
    ``bias`` [].
    """

    name: ClassVar[Literal["dot"]] = "dot"
    kind: TaskKind
    entity: tuple[str, ...]
    src: np.ndarray
    dst: np.ndarray
    src_bias: np.ndarray
    dst_bias: np.ndarray
    bias: np.ndarray
    condition: str | None = None

    def tensors(self) -> dict[str, np.ndarray]:
        """The head's arrays by name."""
        names = ("src", "dst", "src_bias", "dst_bias", "bias")
        return {name: np.asarray(getattr(self, name), dtype=np.float32) for name in names}

    def fits(self, counts: Sequence[int]) -> bool:
        """Whether kind and shapes are right for ``counts`` nodes of each type of the entity."""
        shapes = {name: array.shape for name, array in self.tensors().items()}
        k = shapes["src"][-1] if shapes["src"] else 0
        if len(counts) != 2 or has_classes(self.kind):
            return False
        return shapes == {
            "src": (counts[0], k),
            "dst": (counts[1], k),
            "src_bias": (counts[0],),
            "dst_bias": (counts[1],),
            "bias": (),
        }


@dataclass(frozen=True)
class LinearHead:
    """A node's logits, already computed for every node.

    ``entity`` is the node type alone; ``condition`` as in TaskContents. Shape: ``logits`` [n, C],
    C = 1 without classes.
    """

    name: ClassVar[Literal["linear"]] = "linear"
    kind: TaskKind
    entity: tuple[str, ...]
    logits: np.ndarray
    condition: str | None = None

    def tensors(self) -> dict[str, np.ndarray]:
        """The head's arrays by name."""
        return {"logits": np.asarray(self.logits, dtype=np.float32)}

    def fits(self, counts: Sequence[int]) -> bool:
        """Whether kind and shape are right for ``counts`` nodes of the entity's type."""
        shape = np.shape(self.logits)
        if len(counts) != 1 or len(shape) != 2 or shape[0] != counts[0]:
            return False
        return has_classes(self.kind) or shape[1] == 1


@dataclass(frozen=True)
class Inductive:
    """What encoding nodes needs beside the configuration of the cell.

    ``weights`` of the model by name; ``graph``, the meta of the graph that it was trained on, and
    ``encoders`` of its features as JSON values.
    """

    weights: Mapping[str, np.ndarray]
    graph: Mapping[str, Any]
    encoders: Mapping[str, Any]


class TaskContents(Strict):
    """A task of the bundle; its probability is the head's times that of ``condition``, if any."""

    kind: TaskKind
    head: Literal["dot", "linear"]
    entity: Annotated[tuple[Name, ...], Field(min_length=1, max_length=2)]
    condition: Name | None = None


class Contents(Strict):
    """The whole of ``bundle.json``; ``transductive`` says why there is no folder ``inductive``."""

    # of 1 the identities were mixed otherwise, of 2 each categorical feature had a table
    version: Literal[3] = 3
    graph_digest: str
    model_digest: str
    config: dict[str, Any]
    tasks: dict[Name, TaskContents]
    transductive: str | None = None

    @property
    def node_types(self) -> tuple[str, ...]:
        """The node types that some task scores."""
        return tuple(sorted({name for task in self.tasks.values() for name in task.entity}))


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory; ``digest`` is its manifest's, ``tensors`` are named as in the file.

    ``trained_on`` holds identities (:mod:`counterpoint.registry.identity`) by task. Without
    ``inductive`` nodes that are not in the bundle cannot be encoded.
    """

    digest: str
    contents: Contents
    tensors: Mapping[str, np.ndarray]
    ids: Mapping[str, IdIndex]
    examples: Sequence[Mapping[str, Any]]
    trained_on: Mapping[str, np.ndarray]
    inductive: Inductive | None = None


def write_bundle(
    folder: Path,
    heads: Mapping[str, DotHead | LinearHead],
    ids: Mapping[str, np.ndarray],
    examples: Sequence[Mapping[str, Any]],
    *,
    trained_on: Mapping[str, np.ndarray],
    inductive: Inductive | str,
    graph_digest: str,
    model_digest: str,
    config: Mapping[str, Any],
) -> str:
    """Write a bundle into ``folder``, which it replaces, and return the manifest's digest.

    Args:
        folder: where to.
        heads: the head of each task.
        ids: per node type that a head names, external ids [n] by row: integers or strings.
        examples: some rows of each task, ``{"task", "id" or "src" and "dst", "score"}``: the
            score (a number, or C of them) as training computed it, for registration to compare.
        trained_on: per task the identities [m] of its training entities, sorted: a later test
            set must not hold them where this model is compared on it.
        inductive: what encoding further nodes needs, or why they cannot be encoded.
        graph_digest: digest of the graph store behind the representations.
        model_digest: digest of the weights.
        config: the resolved configuration of the cell.

    Raises:
        ValueError: a head does not fit its node types or its condition, a value is not finite,
            an id is there twice, or a task has no example.
    """
    import polars as pl

    contents = Contents(
        graph_digest=graph_digest,
        model_digest=model_digest,
        config=dict(config),
        tasks={
            task: TaskContents(
                kind=head.kind, head=head.name, entity=head.entity, condition=head.condition
            )
            for task, head in heads.items()
        },
        transductive=inductive if isinstance(inductive, str) else None,
    )
    if lacking := set(heads) - {example["task"] for example in examples}:
        raise ValueError(f"no example for the tasks {sorted(lacking)}")
    with new_folder(folder) as scratch:
        write_json(scratch / CONTENTS, contents.model_dump(mode="json"))
        write_json(scratch / EXAMPLES, [dict(example) for example in examples])
        write_tensors(scratch / EMBEDDINGS, _checked_tensors(heads, ids))
        write_tensors(scratch / TRAINED_ON, {task: trained_on[task] for task in heads})
        (scratch / "ids").mkdir()
        for name in contents.node_types:
            frame = pl.DataFrame({"id": np.asarray(ids[name]).tolist()})
            if frame["id"].is_duplicated().any():
                raise ValueError(f"an id of node type {name!r} is there twice")
            frame.write_parquet(scratch / "ids" / f"{name}.parquet")
        if isinstance(inductive, Inductive):
            _write_inductive(scratch / INDUCTIVE, inductive)
        return write_manifest(scratch)


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle; its manifest is verified before anything else is opened.

    Raises:
        UserError: a file is missing, added or changed, or ``bundle.json`` is none that we know.
    """
    import polars as pl

    digest = verified_digest(folder)
    try:
        contents = Contents.model_validate(read_json(folder / CONTENTS))
    except ValidationError as fault:
        raise UserError(*one_line_faults(folder / CONTENTS, fault)) from None
    ids = {
        name: IdIndex.of(pl.read_parquet(folder / "ids" / f"{name}.parquet")["id"].to_numpy())
        for name in contents.node_types
    }
    tensors = read_tensors(folder / EMBEDDINGS)
    trained_on = read_tensors(folder / TRAINED_ON)
    inductive = _read_inductive(folder / INDUCTIVE) if (folder / INDUCTIVE).is_dir() else None
    examples = read_json(folder / EXAMPLES)
    return Bundle(digest, contents, tensors, ids, examples, trained_on, inductive)


def _write_inductive(folder: Path, inductive: Inductive) -> None:
    folder.mkdir()
    write_tensors(folder / "weights.safetensors", inductive.weights)
    write_json(folder / "graph.json", inductive.graph)
    write_json(folder / "encoders.json", inductive.encoders)


def _read_inductive(folder: Path) -> Inductive:
    return Inductive(
        weights=read_tensors(folder / "weights.safetensors"),
        graph=read_json(folder / "graph.json"),
        encoders=read_json(folder / "encoders.json"),
    )


def has_classes(kind: TaskKind) -> bool:
    """Whether a task of this kind has C scores rather than one."""
    return kind in (TaskKind.MULTICLASS, TaskKind.MULTILABEL)


def _checked_tensors(
    heads: Mapping[str, DotHead | LinearHead], ids: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    tensors = {}
    for task, head in heads.items():
        if not head.fits([len(ids[node_type]) for node_type in head.entity]):
            shapes = {name: array.shape for name, array in head.tensors().items()}
            raise ValueError(f"task {task!r}: {head.kind.value} {head.name} head with {shapes}")
        if head.condition is not None:
            given = heads.get(head.condition)
            same = given is not None and (given.kind, given.entity) == (head.kind, head.entity)
            if not same or head.kind is not TaskKind.BINARY:
                raise ValueError(f"task {task!r}: {head.condition!r} is no condition for it")
        for name, array in head.tensors().items():
            if not np.isfinite(array).all():
                raise ValueError(f"task {task!r}: {name} holds values that are not finite")
            tensors[f"{task}.{name}"] = array
    return tensors
