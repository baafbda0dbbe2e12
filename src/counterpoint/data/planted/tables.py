"""What all planted data sets write alike: node and relation tables, task tables, truth.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from counterpoint.data.folder import write_folder
from counterpoint.data.planted.config import PlantedConfig, PlantedGraphConfig
from counterpoint.data.planted.hidden_graph import (
    HiddenGraph,
    PlantedRelation,
    Reals,
    node_features,
)
from counterpoint.data.planted.importance import Importance, cosines
from counterpoint.data.planted.streams import random_stream
from counterpoint.data.schema import DataSchema, Feature, FeatureKind, NodeType, Relation
from counterpoint.files import write_json

if TYPE_CHECKING:
    import polars as pl

SECONDS = 30 * 24 * 3600  # rows are spread evenly over a month


def node_types(config: PlantedGraphConfig) -> dict[str, NodeType]:
    """The schema's node types: features x0, x1, ... on each."""
    width = config.signal_columns + config.noise_columns
    features = tuple(Feature(name=f"x{i}", kind=FeatureKind.NUMERIC) for i in range(width))
    return {node_type: NodeType(features=features) for node_type in config.sizes}


def static_relations(relations: Mapping[str, PlantedRelation]) -> dict[str, Relation]:
    """The schema's relations."""
    return {name: Relation(src=found.src, dst=found.dst) for name, found in relations.items()}


def graph_tables(config: PlantedGraphConfig, graph: HiddenGraph) -> "dict[str, pl.DataFrame]":
    """Node and static relation tables."""
    import polars as pl

    tables = {}
    for node_type, size in config.sizes.items():
        features = node_features(config, graph, node_type)
        columns = {f"x{i}": column for i, column in enumerate(features.T)}
        tables[f"nodes/{node_type}"] = pl.DataFrame({"id": np.arange(size), **columns})
    for name, (src, dst) in graph.edges.items():
        tables[f"relations/{name}"] = pl.DataFrame({"src": src, "dst": dst})
    return tables


def truth(
    config: PlantedGraphConfig,
    importance: Importance,
    bias: Mapping[str, Any],
    rate: Mapping[str, Any],
) -> dict[str, Any]:
    """``truth.json``: dials, importances and their cosines; by task biases and rates."""
    return {
        "dials": config.model_dump(mode="json"),
        "importance": importance,
        "cosine": cosines(importance),
        "bias": dict(bias),
        "rate": dict(rate),
    }


def write_node_tasks(
    config: PlantedConfig,
    target_folder: Path,
    schema: DataSchema,
    tables: "Mapping[str, pl.DataFrame]",
    rows: "Mapping[str, tuple[pl.Series, Reals]]",
    found: Mapping[str, Any],
) -> None:
    """Write a data set whose tasks have a row for every node of their type.

    Args:
        config: the dials.
        target_folder: where to write.
        schema: ``dataset.yaml``.
        tables: of nodes and relations.
        rows: by task the labels ``[n]`` and Bayes probabilities ``[n]`` or ``[n, classes]``.
        found: ``truth.json``.
    """
    import polars as pl

    labelled = {}
    (target_folder / "truth").mkdir()
    for task, (labels, bayes) in rows.items():
        (node_type,) = schema.tasks[task].node_types
        size = config.sizes[node_type]
        time = random_stream(config.seed, "time", node_type).integers(0, SECONDS, size, np.int64)
        ids = np.arange(size)
        labelled[f"tasks/{task}"] = pl.DataFrame({"id": ids, "label": labels, "time": time})
        path = target_folder / "truth" / f"{task}.parquet"
        pl.DataFrame({"id": ids, "bayes": bayes}).write_parquet(path)
    write_folder(target_folder, schema, {**tables, **labelled})
    write_json(target_folder / "truth" / "truth.json", found)
