"""Users, items and a knowledge graph, as KGCN, KGNN-LS, RippleNet and SELAR lay them out.

``ratings_final.txt`` has lines user, item, label (1: an interaction, 0: a sampled item without
one); ``kg_final.txt`` has lines head, relation number, tail. Items share the numbering of the
entities: an entity that is rated is an item. ``kg.txt`` has the triples in the same order with
the names of the relations.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from counterpoint.data.importers.imported import Count
from counterpoint.data.importers.text_files import Kind, read_table
from counterpoint.data.schema import Relation
from counterpoint.errors import UserError

RATINGS, TRIPLES, NAMED_TRIPLES = "ratings_final.txt", "kg_final.txt", "kg.txt"


@dataclass(frozen=True)
class Published:
    """Counts that the papers print; ``entities`` includes the items."""

    users: int
    items: int
    entities: int
    triples: int
    ratings: int
    relations: int | None = None
    positives: int | None = None


@dataclass(frozen=True)
class KnowledgeGraph:
    """``ratings`` (user, item, label) and the tables, relations and counts made of both files."""

    ratings: pl.DataFrame
    tables: dict[str, pl.DataFrame]
    relations: dict[str, Relation]
    counts: list[Count]


def read_knowledge_graph(source: Path, published: Published) -> KnowledgeGraph:
    """Node tables user, item and entity, and one relation a (knowledge relation, end types)."""
    ratings = read_table(
        source / RATINGS, {"user": Kind.INTEGER, "item": Kind.INTEGER, "label": Kind.LABEL}
    )
    triples = _named_triples(source)
    users, items = (ratings[column].unique().sort() for column in ("user", "item"))
    entities = pl.concat([triples["head"], triples["tail"], items]).unique().sort()
    # an entity's triple to itself, such as its own key, says nothing
    joining = triples.filter(pl.col("head") != pl.col("tail"))
    relations = _relation_tables(joining, items)
    tables = {
        "nodes/user": pl.DataFrame({"id": users}),
        "nodes/item": pl.DataFrame({"id": items}),
        "nodes/entity": pl.DataFrame({"id": entities.filter(~entities.is_in(items.implode()))}),
        **{f"relations/{name}": rows for name, (_, rows) in relations.items()},
    }
    in_ratings = {
        "users": (len(users), published.users),
        "items": (len(items), published.items),
        "ratings, negatives included": (ratings.height, published.ratings),
        "positives": (ratings.filter(label=1).height, published.positives),
    }
    in_triples = {
        "entities, items included": (len(entities), published.entities),
        "knowledge relations": (triples["relation"].n_unique(), published.relations),
        "triples": (triples.height, published.triples),
        "triples to the entity itself, left out": (triples.height - joining.height, None),
    }
    counts = [
        Count(what, found, known, file=file)
        for file, pairs in ((RATINGS, in_ratings), (TRIPLES, in_triples))
        for what, (found, known) in pairs.items()
    ]
    return KnowledgeGraph(
        ratings, tables, {name: relation for name, (relation, _) in relations.items()}, counts
    )


def pair_rows(ratings: pl.DataFrame) -> pl.DataFrame:
    """The ratings as rows of a binary task."""
    return ratings.select(src="user", dst="item", label="label")


def _named_triples(source: Path) -> pl.DataFrame:
    """Head, relation name and tail; names are ``relation_<number>`` where kg.txt is absent."""
    triples = read_table(
        source / TRIPLES, {"head": Kind.INTEGER, "relation": Kind.INTEGER, "tail": Kind.INTEGER}
    )
    named = source / NAMED_TRIPLES
    if not named.is_file():
        return triples.with_columns(relation=pl.format("relation_{}", "relation"))
    names = read_table(named, {"head": Kind.TEXT, "relation": Kind.TEXT, "tail": Kind.TEXT})
    if names.height != triples.height:
        raise UserError(f"{named}: {names.height} lines, but {TRIPLES} has {triples.height}")
    both = pl.DataFrame({"number": triples["relation"], "name": names["relation"]})
    mapping = both.unique()
    if not mapping["number"].is_unique().all() or not mapping["name"].is_unique().all():
        raise UserError(f"{named}: its relation names do not match the numbers of {TRIPLES}")
    return triples.with_columns(
        relation=pl.Series([re.sub(r"[^A-Za-z0-9._-]", "_", name) for name in both["name"]])
    )


def _relation_tables(
    triples: pl.DataFrame, items: pl.Series
) -> dict[str, tuple[Relation, pl.DataFrame]]:
    """``<relation>.<src type>-<dst type>``, for the end types that occur."""

    def node_type(column: str) -> pl.Expr:
        return (
            pl.when(pl.col(column).is_in(items.implode()))
            .then(pl.lit("item"))
            .otherwise(pl.lit("entity"))
        )

    typed = triples.with_columns(src_type=node_type("head"), dst_type=node_type("tail"))
    parts = typed.partition_by(
        "relation", "src_type", "dst_type", as_dict=True, maintain_order=True
    )
    return {
        f"{name}.{src}-{dst}": (Relation(src=src, dst=dst), rows.select(src="head", dst="tail"))
        for (name, src, dst), rows in parts.items()
    }
