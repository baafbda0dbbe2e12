"""What training may see: nothing of any held-out row."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from counterpoint.data.schema import TaskKind
from counterpoint.errors import UserError
from counterpoint.files import new_folder, sha256_of_file
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.store import GraphStore, open_store

LOOSE = {"min_overlap": 1, "min_degree": 1, "top": 3}
SETTINGS = BuildSettings(
    candidates="uniform",
    candidate_count=5,
    similarities={"peers": {"of": "user", **LOOSE}, "alike": {"of": "item", **LOOSE}},
)


def built(market: Any, path: Path) -> GraphStore:
    with new_folder(path / "graph") as scratch:
        build_graph(market.write(path / "data"), SETTINGS, scratch)
    return open_store(path / "graph")


def training_digests(store: GraphStore) -> dict[str, str]:
    return {path.name: sha256_of_file(path) for path in (store.path / "train").iterdir()}


def edges(store: GraphStore, relation: str) -> set[tuple[int, int]]:
    number = [r.name for r in store.meta.relations].index(relation)
    chosen = store.edges["etype"] == number
    dst = np.repeat(np.arange(store.meta.n_nodes), np.diff(store.edges["indptr"]))
    offsets, meta = store.meta.offsets, store.meta.relations[number]
    src = store.edges["indices"][chosen] - offsets[meta.src]
    return set(zip(src.tolist(), (dst[chosen] - offsets[meta.dst]).tolist(), strict=True))


def changed_held_out(market: Any, task: str) -> None:
    """Other labels, and for links other destinations, in every row that is not for training."""
    table = market.tables[f"tasks/{task}"]
    held = pl.col("split") != "train"
    kind = market.schema.tasks[task].kind
    if kind is TaskKind.LINK:
        gone = table.filter(~held)
        last = table.filter(held).gather_every(2)
        market.tables[f"tasks/{task}"] = pl.concat([gone, last])
    elif kind is TaskKind.REGRESSION:
        market.change(f"tasks/{task}", label=pl.when(held).then(99.0).otherwise("label"))
    elif kind is TaskKind.MULTILABEL:
        other = pl.lit([1, 2], dtype=pl.List(pl.Int64))
        market.change(f"tasks/{task}", label=pl.when(held).then(other).otherwise("label"))
    else:
        flipped = 1 - pl.col("label").clip(0, 1)
        market.change(f"tasks/{task}", label=pl.when(held).then(flipped).otherwise("label"))


@pytest.mark.parametrize("task", ["click", "buy", "visit", "spend", "topic", "tags"])
def test_no_held_out_row_moves_a_byte_of_what_training_sees(
    make_market: Callable[[], Any], tmp_path: Path, task: str
) -> None:
    before, after = make_market(), make_market()
    changed_held_out(after, task)
    a, b = built(before, tmp_path / "a"), built(after, tmp_path / "b")
    assert training_digests(a) == training_digests(b)
    assert a.digest != b.digest


def test_held_out_features_move_no_statistic(
    make_market: Callable[[], Any], tmp_path: Path
) -> None:
    before, after = make_market(), make_market()
    rows = before.tables["tasks/spend"]
    held = rows.filter(pl.col("split") != "train")["id"].to_list()
    wild = pl.when(pl.col("id").is_in(held)).then(1e6).otherwise("age")
    after.change("nodes/user", age=wild)
    a, b = built(before, tmp_path / "a"), built(after, tmp_path / "b")
    users = before.tables["nodes/user"]["id"].is_in(held).to_numpy()
    np.testing.assert_array_equal(
        a.features["user/dense"][~users], b.features["user/dense"][~users]
    )


def test_a_derived_relation_is_the_positive_training_rows(market: Any, tmp_path: Path) -> None:
    store = built(market, tmp_path)
    rows = store.rows("click", "train")
    positive = set(map(tuple, rows.entity[rows.label == 1].tolist()))
    assert edges(store, "clicked") == positive
    assert edges(store, "rev-clicked") == {(dst, src) for src, dst in positive}


@pytest.mark.parametrize("policy", ["drop", "mask", "allow"])
def test_cross_task_policy(market: Any, tmp_path: Path, policy: str) -> None:
    market.rewrite(cross_task=policy)
    visit = market.tables["tasks/visit"]
    train = market.tables["tasks/click"].filter(pl.col("split") == "train", pl.col("label") == 1)
    pair = train.select("src", "dst", "time").head(1).with_columns(split=pl.lit("test"))
    same = visit.join(pair, on=["src", "dst"], how="anti")
    market.tables["tasks/visit"] = pl.concat([same, pair.select(same.columns)])
    store = built(market, tmp_path)
    item = int(pair["dst"][0])
    user = market.tables["nodes/user"]["id"].to_list().index(pair["src"][0])
    labelled = (user, item) in set(map(tuple, store.rows("click", "train").entity.tolist()))
    linked = (user, item) in edges(store, "clicked")
    expected = {"drop": (False, False), "mask": (True, False), "allow": (True, True)}
    assert (labelled, linked) == expected[policy]
    facts = {fact["task"]: fact for fact in store.held_out_facts}
    assert facts["click"]["held_out_by_another_task"] >= 1


def test_candidates_are_no_training_positives_and_shaped_by_all_sources(
    market: Any, tmp_path: Path
) -> None:
    store = built(market, tmp_path)
    found = store.candidates["visit"]
    assert found.shape == (store.meta.count("user"), 5)
    known = set(map(tuple, store.rows("visit", "train").entity.tolist()))
    drawn = {(user, int(item)) for user, row in enumerate(found) for item in row}
    assert not drawn & known


def test_features_are_standardised_on_training_nodes(market: Any, tmp_path: Path) -> None:
    store = built(market, tmp_path)
    train = store.rows("spend", "train").entity
    age = store.features["user/dense"][train, 0]
    assert abs(age.mean()) < 1e-6
    assert abs(age.std() - 1) < 1e-6
    assert (store.features["item/dense"][:, 0] == 0).all()  # a constant column
    indptr = store.features["item/words.indptr"]
    words = market.tables["nodes/item"]["words"].list.len().to_list()
    assert np.diff(indptr).tolist() == words


def test_an_empty_split_is_named(market: Any, tmp_path: Path) -> None:
    table = market.tables["tasks/topic"]
    market.tables["tasks/topic"] = table.filter(pl.col("split") != "valid")
    with pytest.raises(UserError, match=r"topic\.parquet: split 'valid' is empty"):
        built(market, tmp_path)
    assert not (tmp_path / "graph").exists()


def test_a_store_that_was_changed_is_refused(market: Any, tmp_path: Path) -> None:
    store = built(market, tmp_path)
    path = store.path / "train" / "edges.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(UserError, match=r"edges\.safetensors: its SHA-256"):
        open_store(store.path)
