"""DBLP in the setting of StrucHIS: author's area and paper's venue, without the venue nodes."""

from pathlib import Path

import numpy as np
import polars as pl

from counterpoint.data.importers.array_files import read_array, read_classes, read_named_arrays
from counterpoint.data.importers.heco import (
    BagNodes,
    read_papers_and_authors,
    split_counts,
    split_labels,
)
from counterpoint.data.importers.imported import Count, Imported
from counterpoint.data.importers.text_files import read_edges, read_one_each
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

AREAS, VENUES = 4, 20
MASKS = "struchis/masks.npz"
PUBLISHED_SPLITS = {
    "author": {"train": 974, "valid": 243, "test": 2840},
    "paper": {"train": 8596, "valid": 2866, "test": 2866},
}


def read(source: Path) -> Imported:
    """Tasks ``author_area`` and ``paper_venue``; pc.txt gives labels and never edges."""
    heco = source / "heco"
    papers, authors, writes = read_papers_and_authors(heco, "words", "keywords")
    term_vectors = read_array(heco / "t_feat.npz", -1, -1)  # a .npy in spite of its name
    terms = len(term_vectors)
    mentions = read_edges(heco / "pt.txt", {"paper": len(papers), "term": terms})
    areas = read_classes(heco / "labels.npy", len(authors), AREAS)
    venues = read_one_each(heco / "pc.txt", {"paper": len(papers), "venue": VENUES})
    tasks = {
        "author_area": _labelled(source, "author", pl.Series(areas)),
        "paper_venue": _labelled(source, "paper", venues),
    }
    tables = {
        "nodes/author": authors.table,
        "nodes/paper": papers.table,
        "nodes/term": pl.DataFrame({"id": np.arange(terms), "vector": term_vectors.tolist()}),
        "relations/writes": writes,
        "relations/mentions": mentions.select(src="paper", dst="term"),
        **{f"tasks/{name}": rows for name, rows in tasks.items()},
    }
    counts = [
        Count("authors", len(authors), 4057, file="heco/a_feat.npz"),
        Count("papers", len(papers), 14328, file="heco/p_feat.npz"),
        Count("terms", terms, 7723, file="heco/t_feat.npz"),
        Count("author-paper edges", writes.height, 19645, file="heco/pa.txt"),
        Count("paper-term edges", mentions.height, 85810, file="heco/pt.txt"),
    ]
    for rows, (node_type, published) in zip(tasks.values(), PUBLISHED_SPLITS.items(), strict=True):
        counts += split_counts(rows, f"{node_type}s", published, dict.fromkeys(SPLITS, MASKS))
    return Imported(_schema(authors, papers, term_vectors.shape[1]), tables, counts)


def _schema(authors: BagNodes, papers: BagNodes, term_width: int) -> DataSchema:
    return DataSchema(
        name="dblp",
        description=(
            "Authors, papers and terms. There are no venue nodes: paper_venue is a task. Words "
            "that occur several times in a paper are in its bag once."
        ),
        node_types={
            "author": authors.node_type,
            "paper": papers.node_type,
            "term": NodeType(
                features=(Feature(name="vector", kind=FeatureKind.VECTOR, size=term_width),)
            ),
        },
        relations={
            "writes": Relation(src="author", dst="paper"),
            "mentions": Relation(src="paper", dst="term"),
        },
        tasks={
            "author_area": Task(
                kind=TaskKind.MULTICLASS, entity="author", classes=AREAS, also=("macro_f1",)
            ),
            "paper_venue": Task(
                kind=TaskKind.MULTICLASS, entity="paper", classes=VENUES, also=("macro_f1",)
            ),
        },
        split=Split(by="given"),
    )


def _labelled(source: Path, node_type: str, labels: pl.Series) -> pl.DataFrame:
    """``id``, ``label`` and ``split`` of the nodes that a mask names."""
    shapes = {f"{node_type}_{split}": (len(labels),) for split in SPLITS}
    masks = read_named_arrays(source / MASKS, **shapes)
    members = {split: np.flatnonzero(masks[f"{node_type}_{split}"]) for split in SPLITS}
    return split_labels(source / MASKS, node_type, labels, members).drop_nulls("split")
