"""Nodes that training never saw, against the same weights on a graph that is built by hand."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from counterpoint.data.folder import open_folder
from counterpoint.errors import UserError
from counterpoint.files import new_folder
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.ops import Csr
from counterpoint.graph.store import GraphStore, open_store
from counterpoint.graph.views import Block, TypeInput, View
from counterpoint.models.contract import Model, TaskBatch, probabilities
from counterpoint.registry.bundle import Bundle, read_bundle
from counterpoint.registry.scores import task_scores
from counterpoint.stages.encoding import encoding_from, with_todays_nodes
from counterpoint.stages.serving import write_served
from counterpoint.training.cell import CellTrainer, open_run
from counterpoint.training.settings import TrainSettings, cell_named

SETTINGS = TrainSettings.model_validate(
    {
        "encoder": {"width": 4, "layers": 2, "dropout": 0.5},
        "sharing": {"width": 4, "tower_width": 4},
        "batch_size": 200,
        "epochs": 1,
        "threads": 1,
    }
)
NEW = {"user": {"u03", "u17", "u39"}, "item": {0, 11, 29}}  # first, within and last
PAIR, NODE = ("click", "buy", "visit"), ("topic", "tags")


@dataclass
class Yesterday:
    """A version that was trained without :data:`NEW`, and today's tables, which have them."""

    store: GraphStore
    bundle: Bundle
    model: Model
    today: Any
    folder: Path


def without_new(market: Any) -> None:
    """Drop the new nodes with all their rows."""
    ends = {"follows": ("user", "user"), "similar": ("item", "item")}
    for table, frame in market.tables.items():
        kind, name = table.split("/")
        if kind == "nodes":
            columns = {"id": name}
        elif kind == "relations":
            columns = dict(zip(("src", "dst"), ends[name], strict=True))
        else:
            task = market.schema.tasks[name]
            columns = dict(zip(task.id_columns, task.node_types, strict=True))
        gone = [pl.col(column).is_in(list(NEW[of])) for column, of in columns.items()]
        market.tables[table] = frame.filter(~pl.any_horizontal(gone))


def a_city_of_its_own(market: Any) -> None:
    city = pl.when(pl.col("id") == "u17").then(pl.lit("Z")).otherwise("city")
    market.change("nodes/user", city=city)


@pytest.fixture(
    scope="module", params=["shared_bottom-gcn", "mmoe-gat", "esmm-hgt", "conv_ple-hgn"]
)
def yesterday(
    request: pytest.FixtureRequest,
    make_market: Callable[[], Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Yesterday:
    path, market, today = tmp_path_factory.mktemp("yesterday"), make_market(), make_market()
    without_new(market)
    a_city_of_its_own(today)
    with new_folder(path / "graph") as scratch:
        build_graph(market.write(path / "data"), BuildSettings(candidate_count=5), scratch)
    store, cell = open_store(path / "graph"), cell_named(f"{request.param}-fixed")
    with new_folder(path / "run") as scratch:
        CellTrainer(store, cell, (0,), SETTINGS, scratch, None, lambda line: None).run()
    run = open_run(path / "run")
    write_served(store, run, 0, path / "bundle")
    today.write(path / "today")
    bundle, model = read_bundle(path / "bundle"), run.model(store, 0).eval()
    return Yesterday(store, bundle, model, today, path / "today")


def inputs_by_hand(yesterday: Yesterday) -> dict[str, TypeInput]:
    """Today's features row by row, by statistics of the training rows of yesterday's tables."""
    tables, store = yesterday.today.tables, yesterday.store

    def fit(node_type: str, task: str) -> list[Any]:
        return store.ids(node_type)[store.rows(task, "train").entity].tolist()

    users, items = tables["nodes/user"].to_dicts(), tables["nodes/item"].to_dicts()
    seen = [row for row in users if row["id"] in fit("user", "spend")]
    ages = np.array([row["age"] for row in seen])
    cities = sorted({row["city"] for row in seen})
    assert cities == ["A", "B"]
    age = [(row["age"] - ages.mean()) * (1 / ages.std()) for row in users]
    code = [[cities.index(row["city"]) + 1 if row["city"] in cities else 0] for row in users]
    both = {*fit("item", "topic"), *fit("item", "tags")}
    looks = np.array([row["looks"] for row in items if row["id"] in both])
    std = looks.std(axis=0)
    scale = [1 / x if x > 1e-12 else 0.0 for x in std]
    dense = [(np.array(row["looks"]) - looks.mean(axis=0)) * scale for row in items]
    lengths = [len(row["words"]) for row in items]
    words = [word for row in items for word in row["words"]]
    bag = Csr(torch.tensor([0, *np.cumsum(lengths).tolist()]), torch.tensor(words), 10)
    return {
        "user": TypeInput(
            torch.arange(len(users)),
            torch.tensor(np.array(age)[:, None], dtype=torch.float32),
            torch.tensor(code),
            {},
            whole=True,
        ),
        "item": TypeInput(
            torch.arange(len(items)),
            torch.tensor(np.array(dense), dtype=torch.float32),
            None,
            {"words": bag},
            whole=True,
        ),
    }


def view_by_hand(yesterday: Yesterday) -> View:
    """Each edge of today's tables one by one: static ones, and all clicks of every split."""
    tables = yesterday.today.tables
    users, items = (tables[f"nodes/{name}"]["id"].to_list() for name in ("user", "item"))
    flat = {"user": {u: k for k, u in enumerate(users)}}
    flat["item"] = {i: len(users) + k for k, i in enumerate(items)}
    clicks = tables["tasks/click"].filter(pl.col("label") == 1)
    edges = set()
    for number, (table, a, b) in enumerate(
        [
            (tables["relations/follows"], "user", "user"),
            (tables["relations/similar"], "item", "item"),
            (clicks, "user", "item"),
        ]
    ):
        for src, dst in table.select("src", "dst").iter_rows():
            u, v = flat[a][src], flat[b][dst]
            edges |= {(v, u, 2 * number), (u, v, 2 * number + 1)}
    n = len(users) + len(items)
    dst, src, etype = torch.tensor(sorted(edges)).unbind(1)
    degree = torch.tensor([sum(v == node for v, _, _ in edges) for node in range(n)])
    indptr = torch.nn.functional.pad(degree.cumsum(0), (1, 0))
    node_type = torch.tensor([0] * len(users) + [1] * len(items))
    block = Block(Csr(indptr, src, n), etype, degree, node_type)
    blocks = (block,) * yesterday.model.depth
    return View(inputs_by_hand(yesterday), None, node_type, blocks)


def is_new(frame: pd.DataFrame, entity: tuple[str, ...]) -> np.ndarray:
    return np.any([frame[c].isin(NEW[of]) for c, of in zip(frame, entity, strict=True)], axis=0)


@torch.no_grad()
@pytest.mark.parametrize("task", [*PAIR, *NODE, "spend"])
def test_new_nodes_score_as_the_same_weights_on_todays_graph(
    yesterday: Yesterday, task: str
) -> None:
    """New with new, where nothing of the old graph is left: a row of all pairs of new nodes."""
    model, tables = yesterday.model, yesterday.today.tables
    found = model.tasks[task]
    wide = with_todays_nodes(open_folder(yesterday.folder), yesterday.bundle, task)
    new = [sorted(NEW[of]) for of in found.node_types]
    rows = [(a, b) for a in new[0] for b in new[1]] if found.is_pair else [(a,) for a in new[0]]
    frame = pd.DataFrame(rows, columns=list(found.id_columns))
    starts = {"user": 0, "item": len(tables["nodes/user"])}
    places = [
        [starts[of] + tables[f"nodes/{of}"]["id"].to_list().index(x) for x in frame[column]]
        for column, of in zip(found.id_columns, found.node_types, strict=True)
    ]
    view = view_by_hand(yesterday)
    entity = torch.tensor(places).T if found.is_pair else torch.tensor(places[0])
    batch = TaskBatch(task, view, entity, torch.zeros(len(frame)))
    expected = probabilities(found.kind, model.score(model.encode(view), batch))
    np.testing.assert_allclose(
        task_scores(wide, task, frame),
        expected.numpy().reshape(len(frame), *expected.shape[1:]),
        rtol=2e-6,
        atol=1e-7,
    )
    assert len(np.unique(expected.numpy().round(7), axis=0)) > 1


@torch.no_grad()
def test_representations_are_those_of_the_view_by_hand_to_the_bit(yesterday: Yesterday) -> None:
    wide = with_todays_nodes(open_folder(yesterday.folder), yesterday.bundle, "visit")
    users = yesterday.today.tables["nodes/user"]["id"].to_list()
    h = yesterday.model.encode(view_by_hand(yesterday))["visit"]
    expected = yesterday.model.pair_factors(h[: len(users)], "visit", "src")
    for user in NEW["user"]:
        (row,) = wide.ids["user"].rows(np.array([user], dtype=object))
        np.testing.assert_array_equal(
            wide.tensors["visit.src"][row], expected.vector[users.index(user)].numpy()
        )


@pytest.mark.parametrize("task", [*PAIR, *NODE, "spend"])
def test_known_nodes_answer_as_registered_to_the_bit(yesterday: Yesterday, task: str) -> None:
    wide = with_todays_nodes(open_folder(yesterday.folder), yesterday.bundle, task)
    columns = list(yesterday.model.tasks[task].id_columns)
    frame = yesterday.today.tables[f"tasks/{task}"].select(columns).to_pandas()
    known = frame[~is_new(frame, yesterday.model.tasks[task].node_types)]
    assert 0 < len(known) < len(frame)
    np.testing.assert_array_equal(
        task_scores(wide, task, known), task_scores(yesterday.bundle, task, known)
    )
    with pytest.raises(UserError, match="that the model knows, first"):
        task_scores(yesterday.bundle, task, frame)
    assert np.isfinite(task_scores(wide, task, frame)).all()


def test_the_order_of_a_node_table_is_nothing(yesterday: Yesterday, tmp_path: Path) -> None:
    tables = yesterday.today.tables
    for name in ("user", "item"):
        rows = tables[f"nodes/{name}"].sample(fraction=1.0, shuffle=True, seed=3)
        assert rows["id"][0] != tables[f"nodes/{name}"]["id"][0]
        yesterday.today.tables = {**yesterday.today.tables, f"nodes/{name}": rows}
    shuffled = yesterday.today.write(tmp_path / "shuffled")
    yesterday.today.tables = tables
    frame = tables["tasks/click"].select("src", "dst").to_pandas()
    plain, other = (
        task_scores(with_todays_nodes(folder, yesterday.bundle, "click"), "click", frame)
        for folder in (open_folder(yesterday.folder), shuffled)
    )
    np.testing.assert_allclose(plain, other, rtol=1e-5)
    new = is_new(frame, ("user", "item"))
    np.testing.assert_array_equal(plain[~new], other[~new])


def test_the_digest_is_that_of_an_ingest_and_a_folder_must_be_there(
    yesterday: Yesterday, tmp_path: Path
) -> None:
    encoding = encoding_from(yesterday.folder)
    assert encoding.digest == encoding_from(yesterday.folder).digest
    yesterday.today.write(tmp_path / "same")
    assert encoding_from(tmp_path / "same").digest == encoding.digest
    (tmp_path / "same" / "tasks" / "click.parquet").unlink()
    other = encoding_from(tmp_path / "same")
    assert other.digest != encoding.digest
    with pytest.raises(UserError, match=r"click\.parquet: no such file, but dataset\.yaml names"):
        other.extended(yesterday.bundle, "click")
    with pytest.raises(UserError, match="nowhere: no such folder"):
        encoding_from(tmp_path / "nowhere")
