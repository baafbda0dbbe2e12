"""Tiny graph stores, built from tables by the product itself."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from counterpoint.data.folder import write_folder
from counterpoint.data.schema import DataSchema
from counterpoint.files import new_folder
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.store import GraphStore, open_store

Tables = dict[str, pl.DataFrame]
MakeStore = Callable[..., GraphStore]


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """Write a data-set folder under a name, build its graph, open it."""

    def make(
        schema: DataSchema, tables: Tables, name: str = "data", candidates: str = "uniform"
    ) -> GraphStore:
        with new_folder(tmp_path / name) as scratch:
            folder = write_folder(scratch, schema, tables)
            with new_folder(tmp_path / f"{name}-graph") as target:
                settings = BuildSettings(candidates=candidates, candidate_count=5, seed=1)
                build_graph(folder, settings, target)
        return open_store(tmp_path / f"{name}-graph")

    return make


LINK_SCHEMA = DataSchema.model_validate(
    {
        "name": "shop",
        "node_types": {"user": {}, "item": {}},
        "tasks": {
            "buy": {"kind": "link", "entity": ("user", "item")},
            "view": {"kind": "link", "entity": ("user", "item"), "role": "auxiliary"},
        },
        "split": {"by": "given"},
    }
)

BUY = {
    "train": [(0, 0), (0, 1), (1, 0), (1, 2), (2, 0), (3, 3)],
    "valid": [(2, 1)],
    "test": [(0, 2), (3, 0)],
}
VIEW = {"train": [(0, 4), (3, 4), (0, 3)], "valid": [(1, 4)], "test": [(2, 5)]}


def rows_of(pairs: dict[str, list[tuple[int, int]]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"src": u, "dst": i, "split": split}
            for split, of_split in pairs.items()
            for u, i in of_split
        ]
    )


def link_tables(
    buy: dict[str, list[tuple[int, int]]] = BUY, view: dict[str, list[tuple[int, int]]] = VIEW
) -> Tables:
    return {
        "nodes/user": pl.DataFrame({"id": range(4)}),
        "nodes/item": pl.DataFrame({"id": range(6)}),
        "tasks/buy": rows_of(buy),
        "tasks/view": rows_of(view),
    }


@pytest.fixture
def link_store(make_store: MakeStore) -> GraphStore:
    """4 users, 6 items, two behaviours, full ranking."""
    return make_store(LINK_SCHEMA, link_tables(), name="links", candidates="all")


@pytest.fixture
def link_data() -> Callable[..., Tables]:
    return link_tables


@pytest.fixture
def link_schema() -> DataSchema:
    return LINK_SCHEMA


NODE_SCHEMA = DataSchema.model_validate(
    {
        "name": "papers",
        "node_types": {
            "paper": {
                "features": [
                    {"name": "age", "kind": "numeric"},
                    {"name": "kind", "kind": "categorical"},
                    {"name": "words", "kind": "bag", "size": 4},
                ]
            },
            "author": {},
        },
        "relations": {
            "writes": {"src": "author", "dst": "paper"},
            "cites": {"src": "paper", "dst": "paper"},
        },
        "tasks": {"topic": {"kind": "multiclass", "entity": "paper", "classes": 3}},
        "split": {"by": "given"},
    }
)


def node_tables(test_label: int = 0) -> Tables:
    """Papers 0 to 3 train on classes 0, 0, 0 and 1; 4 is valid, 5 is test; class 2 is not seen."""
    return {
        "nodes/paper": pl.DataFrame(
            {
                "id": range(6),
                "age": [1.0, 2.0, 3.0, 4.0, 2.0, 3.0],
                "kind": ["a", "b", "a", "b", "a", "b"],
                "words": [[0, 1], [1], [0, 1], [2, 3], [0], [3]],
            }
        ),
        "nodes/author": pl.DataFrame({"id": range(3)}),
        "relations/writes": pl.DataFrame(
            {"src": [0, 0, 0, 1, 1, 1, 2], "dst": [0, 1, 4, 1, 3, 5, 2]}
        ),
        "relations/cites": pl.DataFrame({"src": [3, 0, 1], "dst": [5, 5, 0]}),
        "tasks/topic": pl.DataFrame(
            {
                "id": range(6),
                "label": [0, 0, 0, 1, 0, test_label],
                "split": ["train"] * 4 + ["valid", "test"],
            }
        ),
    }


@pytest.fixture
def node_data() -> Callable[..., Tables]:
    return node_tables


@pytest.fixture
def node_schema() -> DataSchema:
    return NODE_SCHEMA


@pytest.fixture
def node_store(make_store: MakeStore) -> GraphStore:
    return make_store(NODE_SCHEMA, node_tables(), name="nodes")
