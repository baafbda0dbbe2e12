"""Today's tables to a graph for a model that was trained on earlier ones.

Nothing is learned here and nothing held out: features are encoded as they were for training, and
a relation that is derived from a task is made of all its positives.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from counterpoint.data.checks import table_faults
from counterpoint.data.folder import DataFolder
from counterpoint.data.schema import SCHEMA_FILE, DataSchema, NodeType, Split, TaskKind
from counterpoint.data.splits import indexed_rows
from counterpoint.errors import raise_faults
from counterpoint.files import write_manifest
from counterpoint.graph.build import write_nodes_and_edges
from counterpoint.graph.edges import flat_edges
from counterpoint.graph.features import FeatureEncoder, encoded_features
from counterpoint.graph.store import GraphMeta, TypeMeta


def write_history(
    folder: DataFolder, meta: GraphMeta, encoders: Mapping[str, FeatureEncoder], target: Path
) -> None:
    """Write a graph store, without rows of tasks, into the empty folder ``target``.

    Args:
        folder: today's data set; tables and features that the model does not know are left out.
        meta: of the graph that the model was trained on, without similarities.
        encoders: of its features, by node type.
        target: where to.

    Raises:
        UserError: a node type, relation or feature is missing or another one, or a table is bad.
    """
    raise_faults(schema_faults(folder, meta, encoders))
    folder = DataFolder(folder.path, _as_trained(folder.schema, meta, encoders))
    raise_faults(table_faults(folder))
    metas: list[TypeMeta] = []
    features: dict[str, np.ndarray] = {}
    for name in folder.schema.node_types:
        table = folder.scan(f"nodes/{name}").select(folder.columns(f"nodes/{name}")).collect()
        found, arrays = encoded_features(name, table, encoders[name])
        metas.append(found)
        features |= arrays
    relations, flat = flat_edges(folder, metas, _history(folder))
    today = {"node_types": tuple(metas), "relations": tuple(relations)}
    write_nodes_and_edges(target, folder, meta.model_copy(update=today), features, flat)
    write_manifest(target)


def _history(folder: DataFolder) -> dict[str, pl.DataFrame]:
    """All rows of each task: its places of nodes, and its label where it has one."""
    rows = {}
    for name, task in folder.schema.tasks.items():
        label = [] if task.kind is TaskKind.LINK else ["label"]
        rows[name] = indexed_rows(folder, name).select("row_src", "row_dst", *label).collect()
    return rows


def schema_faults(
    folder: DataFolder, meta: GraphMeta, encoders: Mapping[str, FeatureEncoder]
) -> list[str]:
    """A line for each node type, feature and relation of the model that today's schema lacks."""
    path, schema = folder.path / SCHEMA_FILE, folder.schema
    faults = []
    for name, encoder in encoders.items():
        if name not in schema.node_types:
            faults.append(f"{path}: no node type {name!r}, which the model needs; add it")
            continue
        there = schema.node_types[name].features
        faults += [
            f"{path}: node type {name!r} has no {feature.kind.value} feature {feature.name!r}"
            f"{f' of size {feature.size}' if feature.size else ''}, which the model needs; add it"
            for feature in encoder.features
            if feature not in there
        ]
    for relation in meta.relations:
        if relation.reverse:
            continue
        kind = "derived from a task" if relation.derived else "with a table"
        found = schema.relations.get(relation.name)
        if (
            found is None
            or (found.from_task is not None) is not relation.derived
            or schema.ends(relation.name) != (relation.src, relation.dst)
        ):
            faults.append(
                f"{path}: no relation {relation.name!r} from {relation.src} to {relation.dst} "
                f"{kind}, which the model needs; add it"
            )
    return faults


def _as_trained(
    schema: DataSchema, meta: GraphMeta, encoders: Mapping[str, FeatureEncoder]
) -> DataSchema:
    """The part of today's schema that the model knows, in the model's order.

    Of tasks those that relations are derived from; which of their rows were held out does not
    matter any more.
    """
    relations = {r.name: schema.relations[r.name] for r in meta.relations if not r.reverse}
    tasks = {r.from_task: schema.tasks[r.from_task] for r in relations.values() if r.from_task}
    known = {t.name: NodeType(features=encoders[t.name].features) for t in meta.node_types}
    update = {"node_types": known, "relations": relations, "tasks": tasks, "split": Split()}
    return schema.model_copy(update=update)
