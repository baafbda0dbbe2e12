"""Graph stores that benchmarks make for themselves, below a folder of their own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from counterpoint.data.folder import open_folder, write_folder
from counterpoint.data.planted import generate, planted_preset
from counterpoint.data.schema import DataSchema
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.store import GraphStore, open_store


def planted_store(folder: Path, preset: str, **dials: Any) -> GraphStore:
    """Plant ``preset`` in ``folder/data`` and build its graph in ``folder/graph``."""
    (folder / "data").mkdir(parents=True)
    generate(planted_preset(preset, **dials), folder / "data")
    return _built(folder)


def store_of(
    folder: Path, schema: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]
) -> GraphStore:
    """Write a data set into ``folder/data`` and build its graph in ``folder/graph``."""
    (folder / "data").mkdir(parents=True)
    write_folder(folder / "data", DataSchema.model_validate(schema), tables)
    return _built(folder)


def _built(folder: Path) -> GraphStore:
    (folder / "graph").mkdir()
    build_graph(open_folder(folder / "data"), BuildSettings(), folder / "graph")
    return open_store(folder / "graph")
