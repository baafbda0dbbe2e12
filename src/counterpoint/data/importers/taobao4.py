"""Taobao with four behaviours: view, favourite, cart, purchase (MBGCN-UPA's sample)."""

from pathlib import Path

import polars as pl

from counterpoint.data.importers.imported import Count, Imported
from counterpoint.data.importers.text_files import Kind, read_id_lists, read_table
from counterpoint.data.schema import DataSchema, NodeType, Relation, Split, Task, TaskKind
from counterpoint.data.splits import entity_uniform

# task: prefix of its files, its derived relation, published training pairs
BEHAVIOURS = {
    "view": ("pv", "viewed", 253451),
    "favourite": ("fav", "favourited", 111394),
    "cart": ("cart", "carted", 91570),
    "purchase": ("buy", "purchased", 33644),
}
TARGETS = ("view", "purchase")
USERS, ITEMS, CATEGORIES = 12770, 62891, 2369
CATEGORY_FILE = "item_category.txt"


def read(source: Path) -> Imported:
    """One link task a behaviour; a held-out training pair a user and behaviour is its valid."""
    tasks = {
        name: _rows(source, prefix, seed)
        for seed, (name, (prefix, _, _)) in enumerate(BEHAVIOURS.items())
    }
    categories = read_table(
        source / CATEGORY_FILE, {"item": Kind.INTEGER, "category": Kind.INTEGER}
    )
    pairs = pl.concat([rows.select("src", "dst") for rows in tasks.values()])
    tables = {
        "nodes/user": _nodes(pairs["src"]),
        "nodes/item": _nodes(pl.concat([pairs["dst"], categories["item"]])),
        "nodes/category": _nodes(categories["category"]),
        "relations/in_category": categories.select(src="item", dst="category"),
        **{f"tasks/{name}": rows for name, rows in tasks.items()},
    }
    counts = [
        Count("users", tables["nodes/user"].height, USERS),
        Count("items", tables["nodes/item"].height, ITEMS),
        Count("categories", tables["nodes/category"].height, CATEGORIES, file=CATEGORY_FILE),
    ]
    for name, (prefix, _, published) in BEHAVIOURS.items():
        tests = tasks[name].filter(split="test").height
        trains = tasks[name].height - tests
        counts += [
            Count("training pairs", trains, published, name, f"{prefix}.train.txt"),
            Count("test pairs", tests, USERS, name, f"{prefix}.test.txt"),
        ]
    return Imported(_schema(), tables, counts)


def _schema() -> DataSchema:
    return DataSchema(
        name="taobao4",
        description=(
            "Users, items and categories; view, favourite, cart and purchase. 43 % of the test "
            "purchases are training views: cross_task says what becomes of them."
        ),
        node_types={name: NodeType() for name in ("user", "item", "category")},
        relations={
            "in_category": Relation(src="item", dst="category"),
            **{derived: Relation(from_task=name) for name, (_, derived, _) in BEHAVIOURS.items()},
        },
        tasks={
            name: Task(
                kind=TaskKind.LINK,
                entity=("user", "item"),
                role="target" if name in TARGETS else "auxiliary",
                also=("gauc", "hr@10", "mrr"),
            )
            for name in BEHAVIOURS
        },
        split=Split(by="given"),
        cross_task="drop",
    )


def _rows(source: Path, prefix: str, seed: int) -> pl.DataFrame:
    train = read_id_lists(source / f"{prefix}.train.txt", "user", "item")
    test = read_id_lists(source / f"{prefix}.test.txt", "user", "item")
    train = train.with_columns(
        draw=entity_uniform([train["user"].to_numpy(), train["item"].to_numpy()], seed)
    )
    held_out = pl.col("draw") == pl.col("draw").min().over("user")
    spared = pl.len().over("user") < 2
    return pl.concat(
        [
            train.select(
                "user",
                "item",
                split=pl.when(held_out & ~spared).then(pl.lit("valid")).otherwise(pl.lit("train")),
            ),
            test.with_columns(split=pl.lit("test")),
        ]
    ).rename({"user": "src", "item": "dst"})


def _nodes(ids: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({"id": ids.unique().sort()})
