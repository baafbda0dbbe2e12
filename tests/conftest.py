"""A small market that is sound in every respect; a test breaks what it is about."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

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

USERS, ITEMS, PAIRS = 40, 30, 600


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
