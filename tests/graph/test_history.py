"""Today's tables for a model of yesterday: all of them, in its order, by its statistics."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from counterpoint.data.folder import DataFolder
from counterpoint.errors import UserError
from counterpoint.files import file_digests, new_folder
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.features import stored_encoders
from counterpoint.graph.history import write_history
from counterpoint.graph.store import GraphStore, open_store


@pytest.fixture
def trained(make_market: Callable[[], Any], tmp_path: Path) -> GraphStore:
    with new_folder(tmp_path / "trained") as scratch:
        build_graph(make_market().write(tmp_path / "data"), BuildSettings(), scratch)
    return open_store(tmp_path / "trained")


def history(trained: GraphStore, folder: DataFolder, path: Path) -> GraphStore:
    with new_folder(path) as scratch:
        write_history(folder, trained.meta, stored_encoders(trained), scratch)
    return open_store(path)


def edges(store: GraphStore) -> list[tuple[int, int, int]]:
    dst = np.repeat(np.arange(store.meta.n_nodes), np.diff(store.edges["indptr"]))
    columns = (dst, store.edges["indices"], store.edges["etype"])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def looped_edges(market: Any) -> list[tuple[int, int, int]]:
    """All edges of the market's three relations, both ways, one by one."""
    place = {
        (name, row_id): row
        for name, first in (("user", 0), ("item", len(market.tables["nodes/user"])))
        for row, row_id in enumerate(market.tables[f"nodes/{name}"]["id"], start=first)
    }
    clicks = market.tables["tasks/click"].filter(pl.col("label") == 1)
    relations = [
        (market.tables["relations/follows"], "user", "user"),
        (market.tables["relations/similar"], "item", "item"),
        (clicks, "user", "item"),
    ]
    found = set()
    for number, (table, src_type, dst_type) in enumerate(relations):
        for src, dst in table.select("src", "dst").iter_rows():
            u, v = place[src_type, src], place[dst_type, dst]
            found |= {(v, u, 2 * number), (u, v, 2 * number + 1)}
    return sorted(found)


def test_all_of_todays_rows_are_history(trained: GraphStore, market: Any, tmp_path: Path) -> None:
    """Held-out positives too; the same nodes have the same bytes of features as at training."""
    store = history(trained, market.write(tmp_path / "today"), tmp_path / "history")
    assert edges(store) == looped_edges(market)
    assert len(edges(store)) > len(edges(trained))
    ours, theirs = file_digests(store.path), file_digests(trained.path)
    same = ["train/features.safetensors", "ids/user.parquet", "ids/item.parquet"]
    assert [ours[name] for name in same] == [theirs[name] for name in same]
    assert store.meta.node_types == trained.meta.node_types
    assert store.meta.tasks == trained.meta.tasks


def test_the_models_order_and_what_it_knows(
    trained: GraphStore, market: Any, tmp_path: Path
) -> None:
    """Today's schema has another order, a node type and a feature more; other tasks are gone."""
    first = history(trained, market.write(tmp_path / "plain"), tmp_path / "first")
    fields = market.schema.model_dump()
    types = {name: fields["node_types"][name] for name in ("item", "user")}
    types["user"] = {"features": [{"name": "shoes", "kind": "numeric"}, *types["user"]["features"]]}
    relations = dict(reversed(fields["relations"].items()))
    relations["owns"] = {"src": "user", "dst": "shop"}
    market.rewrite(node_types={**types, "shop": {}}, relations=relations)
    market.change("nodes/user", shoes=pl.lit(40))
    market.tables["nodes/shop"] = pl.DataFrame({"id": [1]})
    for name in ("buy", "visit", "spend", "topic", "tags"):
        del market.tables[f"tasks/{name}"]
    market.tables["tasks/click"] = market.tables["tasks/click"].drop("split", "time")
    second = history(trained, market.write(tmp_path / "today"), tmp_path / "second")
    assert file_digests(second.path) == file_digests(first.path)


def without(market: Any, kind: str, name: str) -> None:
    found = market.schema.model_dump()[kind]
    del found[name]
    market.rewrite(**{kind: found})


def other_kind(market: Any) -> None:
    types = market.schema.model_dump()["node_types"]
    types["user"]["features"][0]["kind"] = "categorical"
    market.rewrite(node_types=types)


def no_node_type(market: Any) -> None:
    market.rewrite(
        node_types={"item": market.schema.model_dump()["node_types"]["item"]},
        relations={"similar": {"src": "item", "dst": "item"}},
        tasks={"topic": market.schema.model_dump()["tasks"]["topic"]},
    )


@pytest.mark.parametrize(
    ("spoil", "lines"),
    [
        (
            no_node_type,
            [
                "dataset.yaml: no node type 'user', which the model needs; add it",
                "no relation 'follows' from user to user with a table, which the model needs",
                "no relation 'clicked' from user to item derived from a task, which the model",
            ],
        ),
        (other_kind, ["node type 'user' has no numeric feature 'age', which the model needs; add"]),
        (lambda m: without(m, "relations", "similar"), ["no relation 'similar' from item to item"]),
        (
            lambda m: m.rewrite(
                relations={
                    **m.schema.model_dump()["relations"],
                    "clicked": {"src": "user", "dst": "item"},
                }
            ),
            ["no relation 'clicked' from user to item derived from a task"],
        ),
        (
            lambda m: m.tables.update({"nodes/user": m.tables["nodes/user"].drop("city")}),
            ["nodes/user.parquet: no column 'city' (there are: id, age); add or rename it"],
        ),
        (
            lambda m: m.put("relations/similar", "dst", 0, 99),
            ["relations/similar.parquet: column 'dst': 1 not in nodes/item.parquet, such as 99"],
        ),
        (
            lambda m: m.put("nodes/item", "looks", 0, [1.0, 2.0]),
            ["nodes/item.parquet: column 'looks': 1 of 30 not of length 3"],
        ),
    ],
)
def test_what_the_model_needs_and_is_not_there_is_one_line(
    trained: GraphStore,
    market: Any,
    tmp_path: Path,
    spoil: Callable[[Any], None],
    lines: list[str],
) -> None:
    spoil(market)
    folder = market.write(tmp_path / "today")
    with pytest.raises(UserError) as raised:
        history(trained, folder, tmp_path / "history")
    assert len(raised.value.faults) == len(lines)
    for fault, line in zip(raised.value.faults, lines, strict=True):
        assert line in fault
    assert not (tmp_path / "history").exists()
