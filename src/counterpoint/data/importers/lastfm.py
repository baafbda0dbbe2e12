"""Last-FM with a music knowledge graph (HetRec 2011; KGCN, SELAR)."""

from pathlib import Path

import polars as pl

from counterpoint.data.importers.imported import Imported
from counterpoint.data.importers.kg_recommendation import (
    RATINGS,
    Published,
    pair_rows,
    read_knowledge_graph,
)
from counterpoint.data.importers.text_files import Kind, read_table
from counterpoint.data.schema import DataSchema, NodeType, Relation, Task, TaskKind
from counterpoint.errors import UserError

PUBLISHED = Published(
    users=1872,
    items=3846,
    entities=9366,
    relations=60,
    triples=15518,
    positives=21173,
    ratings=42346,
)


def read(source: Path) -> Imported:
    """Tasks ``listen`` (with the given negatives) and ``listen_count`` on the positives."""
    graph = read_knowledge_graph(source, PUBLISHED)
    positives = graph.ratings.filter(pl.col("label") == 1).select("user", "item")
    schema = DataSchema(
        name="lastfm",
        description=(
            "Users, artists and a music knowledge graph. listen has one sampled negative a "
            "positive; listen_count is log(1 + number of plays) of the positives."
        ),
        node_types={name: NodeType() for name in ("user", "item", "entity")},
        relations={"listened": Relation(from_task="listen"), **graph.relations},
        tasks={
            "listen": Task(kind=TaskKind.BINARY, entity=("user", "item")),
            "listen_count": Task(
                kind=TaskKind.REGRESSION, entity=("user", "item"), role="auxiliary"
            ),
        },
    )
    tables = {
        **graph.tables,
        "tasks/listen": pair_rows(graph.ratings),
        "tasks/listen_count": _log_plays(source, positives),
    }
    return Imported(schema, tables, graph.counts)


def _log_plays(source: Path, positives: pl.DataFrame) -> pl.DataFrame:
    """log(1 + plays) of each positive pair.

    ratings_final.txt renumbers users: n-th is the n-th user of user_artists.dat with an artist of
    the knowledge graph, and an artist's item is its entity. That the pairs so rebuilt are exactly
    the positives is checked.
    """
    plays_file = source / "user_artists.dat"
    plays = read_table(
        plays_file,
        {"user": Kind.INTEGER, "artist": Kind.INTEGER, "plays": Kind.INTEGER},
        header_lines=1,
    )
    entities = read_table(
        source / "item_index2entity_id.txt", {"artist": Kind.INTEGER, "item": Kind.INTEGER}
    )
    known = plays.join(entities, on="artist", maintain_order="left")
    users = known.select("user").unique(maintain_order=True).with_row_index("number")
    rebuilt = known.join(users, on="user", maintain_order="left").select(
        user=pl.col("number").cast(pl.Int64), item="item", plays="plays"
    )
    found = positives.join(rebuilt, on=["user", "item"], maintain_order="left")
    if not found.height == positives.height == rebuilt.height:
        raise UserError(
            f"{plays_file}: {rebuilt.height} plays of known artists, {found.height} of them are "
            f"among the {positives.height} positives of {RATINGS}: not the files it was made of"
        )
    return found.select(src="user", dst="item", label=pl.col("plays").cast(pl.Float64).log1p())
