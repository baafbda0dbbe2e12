"""Cora in Planetoid's standard split."""

from pathlib import Path

import numpy as np
import polars as pl
from scipy import sparse

from counterpoint.data.importers.array_files import bags
from counterpoint.data.importers.imported import Count, Imported
from counterpoint.data.importers.planetoid_pickle import read_array, read_csr, read_links
from counterpoint.data.importers.text_files import Kind, read_table
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
from counterpoint.errors import UserError

VALID = 500


def read(source: Path) -> Imported:
    """Task ``topic``: 140 training, 500 valid and 1,000 test papers; the rest is unlabelled."""
    words, topics, test = read_papers(source)
    papers, train = len(topics), read_array(source / "ind.cora.y").shape[0]
    split = np.full(papers, None, dtype=object)
    split[:train], split[train : train + VALID], split[test] = "train", "valid", "test"
    labelled = pl.DataFrame(
        {
            "id": np.arange(papers),
            "label": topics.argmax(axis=1),
            "split": pl.Series(split, dtype=pl.String),
        }
    ).drop_nulls("split")
    cites = read_citations(source, papers)
    tables = {
        "nodes/paper": pl.DataFrame({"id": np.arange(papers), "words": bags(words)}),
        "relations/cites": cites,
        "tasks/topic": labelled,
    }
    counts = [
        *counts_of(words, topics, cites),
        *(
            Count(f"papers in {name}", labelled.filter(split=name).height, known, file=file)
            for name, known, file in (
                ("train", 140, "ind.cora.y"),
                ("valid", VALID, "ind.cora.ally"),
                ("test", 1000, "ind.cora.test.index"),
            )
        ),
    ]
    return Imported(schema_of("cora", words.shape[1], topics.shape[1]), tables, counts)


def counts_of(words: "sparse.csr_matrix", topics: np.ndarray, cites: pl.DataFrame) -> list[Count]:
    """What the files hold, beside the published counts."""
    return [
        Count("papers", len(topics), 2708, file="ind.cora.allx"),
        Count("undirected edges", cites.height, 5278, file="ind.cora.graph"),
        Count("words", words.shape[1], 1433, file="ind.cora.allx"),
        Count("classes", topics.shape[1], 7, file="ind.cora.ally"),
    ]


def schema_of(name: str, words: int, classes: int) -> DataSchema:
    """What ``dataset.yaml`` says of Cora, whatever its split."""
    return DataSchema(
        name=name,
        description="Papers that cite each other; an edge is there once, direction unknown.",
        node_types={
            "paper": NodeType(features=(Feature(name="words", kind=FeatureKind.BAG, size=words),))
        },
        relations={"cites": Relation(src="paper", dst="paper")},
        tasks={
            "topic": Task(
                kind=TaskKind.MULTICLASS, entity="paper", classes=classes, also=("macro_f1",)
            )
        },
        split=Split(by="given"),
    )


def read_papers(source: Path) -> "tuple[sparse.csr_matrix, np.ndarray, np.ndarray]":
    """Words ``[papers, words]``, one-hot topics ``[papers, classes]`` and the test papers.

    The last files hold the test papers in the order of test.index, not in that of the graph.
    """
    index_file = source / "ind.cora.test.index"
    test = read_table(index_file, {"paper": Kind.INTEGER})["paper"].to_numpy()
    known_words, test_words = (read_csr(source / f"ind.cora.{part}") for part in ("allx", "tx"))
    known, tested = (read_array(source / f"ind.cora.{part}") for part in ("ally", "ty"))
    papers = len(known) + len(tested)
    if not np.array_equal(np.sort(test), np.arange(len(known), papers)):
        raise UserError(f"{index_file}: must name each of the papers {len(known)}..{papers - 1}")
    if known_words.shape[0] + test_words.shape[0] != papers or len(known) != known_words.shape[0]:
        raise UserError(f"{source}: ind.cora.allx and tx are not as long as ally and ty")
    order = np.concatenate([np.arange(len(known)), test]).argsort()
    words = sparse.vstack([known_words, test_words]).tocsr()[order]
    topics = np.concatenate([known, tested])[order]
    if not np.isin(topics, (0, 1)).all() or not (topics.sum(axis=1) == 1).all():
        raise UserError(f"{source}: ind.cora.ally or ty: a paper has not exactly one class")
    return words, topics, test


def read_citations(source: Path, papers: int) -> pl.DataFrame:
    """Each undirected edge once, smaller number first, without self loops."""
    path = source / "ind.cora.graph"
    links = read_links(path)
    ends = pl.DataFrame(
        {"src": list(links), "dst": list(links.values())},
        schema={"src": pl.Int64, "dst": pl.List(pl.Int64)},
    ).explode("dst")
    edges = (
        ends.drop_nulls()
        .select(src=pl.min_horizontal("src", "dst"), dst=pl.max_horizontal("src", "dst"))
        .filter(pl.col("src") != pl.col("dst"))
        .unique()
        .sort("src", "dst")
    )
    if edges.filter((pl.col("src") < 0) | (pl.col("dst") >= papers)).height:
        raise UserError(f"{path}: names a paper outside 0..{papers - 1}")
    return edges
