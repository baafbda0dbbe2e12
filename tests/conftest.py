"""A small market that is sound in every respect; a test breaks what it is about."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from counterpoint.data.folder import DataFolder, write_folder
from counterpoint.data.schema import (
    DataSchema,
    Feature,
    FeatureKind,
    NodeType,
    Relation,
    Split,
    Task,
    TaskKind,
)
from counterpoint.data.splits import SPLITS
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.store import open_store
from counterpoint.graph.views import TrainingGraph
from counterpoint.models.contract import Step, TaskBatch
from counterpoint.weighting.aux_ts import AuxTS

USERS, ITEMS, PAIRS = 40, 30, 600
REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass
class Market:
    """A schema and its tables; ``write`` makes the data-set folder."""

    schema: DataSchema
    tables: dict[str, pl.DataFrame]

    def write(self, path: Path) -> DataFolder:
        path.mkdir(parents=True, exist_ok=True)
        return write_folder(path, self.schema, self.tables)

    def change(self, table: str, **columns: pl.Expr) -> None:
        """Replace columns of a table."""
        self.tables[table] = self.tables[table].with_columns(**columns)

    def put(self, table: str, column: str, row: int, value: object) -> None:
        """Set one value of a table."""
        values = self.tables[table][column].to_list()
        values[row] = value
        dtype = self.tables[table][column].dtype
        self.change(table, **{column: pl.Series(values, dtype=dtype, strict=False)})

    def rewrite(self, **fields: object) -> None:
        """Replace fields of the schema."""
        values = {**self.schema.model_dump(), **fields}
        self.schema = DataSchema.model_validate(values)


def _schema() -> DataSchema:
    pair = ("user", "item")
    return DataSchema(
        name="market",
        node_types={
            "user": NodeType(
                features=(
                    Feature(name="age", kind=FeatureKind.NUMERIC),
                    Feature(name="city", kind=FeatureKind.CATEGORICAL),
                )
            ),
            "item": NodeType(
                features=(
                    Feature(name="looks", kind=FeatureKind.VECTOR, size=3),
                    Feature(name="words", kind=FeatureKind.BAG, size=10),
                )
            ),
        },
        relations={
            "follows": Relation(src="user", dst="user"),
            "similar": Relation(src="item", dst="item"),
            "clicked": Relation(from_task="click"),
        },
        tasks={
            "click": Task(kind=TaskKind.BINARY, entity=pair),
            "buy": Task(kind=TaskKind.BINARY, entity=pair, parent="click"),
            "visit": Task(kind=TaskKind.LINK, entity=pair),
            "spend": Task(kind=TaskKind.REGRESSION, entity="user", role="auxiliary"),
            "topic": Task(kind=TaskKind.MULTICLASS, entity="item", classes=3),
            "tags": Task(kind=TaskKind.MULTILABEL, entity="item", classes=4),
        },
        split=Split(by="given"),
    )


def _node_split(place: int) -> str:
    return ("train", "train", "train", "valid", "test")[place % 5]


def _tables() -> dict[str, pl.DataFrame]:
    users = [f"u{i:02}" for i in range(USERS)]
    items = list(range(ITEMS))
    block = [k // 10 for k in range(PAIRS)]
    part = [max(k % 10 - 4, 0) // 2 for k in range(PAIRS)]
    first = datetime(2024, 1, 1)
    pairs = pl.DataFrame(
        {
            "src": [users[k // 15] for k in range(PAIRS)],
            "dst": [(k % 15 * 2 + k // 15) % ITEMS for k in range(PAIRS)],
            "time": [first + timedelta(days=100 * p, hours=k) for k, p in enumerate(part)],
            "split": [SPLITS[p] for p in part],
        }
    )
    return {
        "nodes/user": pl.DataFrame(
            {
                "id": users,
                "age": [20.0 + i for i in range(USERS)],
                "city": ["AB"[i % 2] for i in range(USERS)],
            }
        ),
        "nodes/item": pl.DataFrame(
            {
                "id": items,
                "looks": [[0.5, -1.0, float(i)] for i in items],
                "words": [[i % 10] * (i % 3) for i in items],
            },
            schema_overrides={"words": pl.List(pl.Int64)},
        ),
        "relations/follows": pl.DataFrame(
            {"src": users, "dst": [*users[1:], users[0]], "weight": [1.0] * USERS}
        ),
        "relations/similar": pl.DataFrame({"src": items, "dst": [*items[1:], 0]}),
        "tasks/click": pairs.with_columns(label=pl.Series([int(b % 3 == 0) for b in block])),
        "tasks/buy": pairs.with_columns(label=pl.Series([int(b % 6 == 0) for b in block])),
        "tasks/visit": pairs.filter(pl.Series([b % 2 == 0 for b in block])),
        "tasks/spend": pl.DataFrame(
            {
                "id": users,
                "label": [float(i) for i in range(USERS)],
                "split": [_node_split(i) for i in range(USERS)],
            }
        ),
        "tasks/topic": pl.DataFrame(
            {
                "id": items,
                "label": [i % 3 for i in items],
                "split": [_node_split(i) for i in items],
            }
        ),
        "tasks/tags": pl.DataFrame(
            {
                "id": items,
                "label": [[i % 4] * (i % 2) for i in items],
                "split": [_node_split(i) for i in items],
            },
            schema_overrides={"label": pl.List(pl.Int64)},
        ),
    }


@pytest.fixture(scope="session")
def make_market() -> Callable[[], Market]:
    """Make a fresh sound market: users, items, six tasks of every kind, given splits."""
    return lambda: Market(_schema(), _tables())


@pytest.fixture
def market(make_market: Callable[[], Market]) -> Market:
    return make_market()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets beside the repository."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"the real data sets are not at {REAL_DATA}")
    return REAL_DATA


def _graph(
    market: Market, tmp_path_factory: pytest.TempPathFactory, similarities: dict[str, Any]
) -> TrainingGraph:
    items = market.tables["nodes/item"]["id"]
    shops = [f"s{i}" for i in range(4)]
    market.tables["nodes/shop"] = pl.DataFrame({"id": [*shops, "closed"]})
    market.tables["relations/sold_by"] = pl.DataFrame(
        {"src": items, "dst": [shops[i % 4] for i in items]}
    )
    for table, row in (
        ("nodes/user", {"id": "hermit", "age": 30.0, "city": "A"}),
        ("nodes/item", {"id": ITEMS, "looks": [0.0, 0.0, 0.0], "words": []}),
    ):
        known = market.tables[table]
        market.tables[table] = pl.concat([known, pl.DataFrame([row], schema=known.schema)])
    fields = market.schema.model_dump()
    market.rewrite(
        node_types={**fields["node_types"], "shop": {}},
        relations={**fields["relations"], "sold_by": {"src": "item", "dst": "shop"}},
    )
    folder = market.write(tmp_path_factory.mktemp("market"))
    target = tmp_path_factory.mktemp("graph")
    build_graph(folder, BuildSettings(candidate_count=5, similarities=similarities), target)
    return TrainingGraph(open_store(target))


@pytest.fixture(scope="session")
def market_graph(
    make_market: Callable[[], Market], tmp_path_factory: pytest.TempPathFactory
) -> TrainingGraph:
    """The market with shops, which have no feature, and a node of each type without any edge."""
    return _graph(make_market(), tmp_path_factory, {})


@pytest.fixture(scope="session")
def similar_graph(
    make_market: Callable[[], Market], tmp_path_factory: pytest.TempPathFactory
) -> TrainingGraph:
    """The same, and users and items that have neighbours in common are joined."""
    loose = {"min_overlap": 1, "min_degree": 1, "top": 3}
    similarities = {"peers": {"of": "user", **loose}, "alike": {"of": "item", **loose}}
    return _graph(make_market(), tmp_path_factory, similarities)


@pytest.fixture(scope="session")
def market_step(market_graph: TrainingGraph) -> Callable[..., Step]:
    """Make a step of some training rows of every task, on one view of the whole graph."""
    meta = market_graph.meta

    def entities(name: str, rows: int) -> torch.Tensor:
        starts = [meta.offsets[node_type] for node_type in meta.tasks[name].node_types]
        found = torch.from_numpy(market_graph.store.rows(name, "train").entity)
        found = found[:: max(len(found) // rows, 1)]
        return found + torch.tensor(starts if found.ndim == 2 else starts[0])

    def step(depth: int, rows: int = 12) -> Step:
        scored = {name: entities(name, rows) for name in meta.tasks}
        pairs = torch.cat([entity for entity in scored.values() if entity.ndim == 2])
        view = market_graph.view(depth, market_graph.kept_edges(pairs))
        labels = {
            name: torch.from_numpy(market_graph.store.rows(name, "train").label) for name in scored
        }
        return Step(
            {
                name: TaskBatch(name, view, entity, labels[name][:: len(labels[name]) // rows])
                for name, entity in scored.items()
            }
        )

    return step


@pytest.fixture(scope="session")
def reverse_aux_ts() -> Callable[[AuxTS, AuxTS], None]:
    """Give an AUX-TS the state of another whose tasks and targets are in reverse."""

    def reverse(first: AuxTS, second: AuxTS) -> None:
        second.load_state_dict(first.state_dict())
        second.initial.copy_(first.initial.flip(0))
        with torch.no_grad():
            weight, types = second.network[0].weight, slice(1, 1 + len(first.tasks))
            weight[:, types] = weight[:, types].flip(1)
            weight[:, types.stop :] = weight[:, types.stop :].flip(1)

    return reverse
