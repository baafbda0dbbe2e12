"""DBLP in the setting of StrucHIS: author's area and paper's venue, without the venue nodes."""

from pathlib import Path

import numpy as np
import polars as pl

from counterpoint.data.importers.array_files import (
    bags,
    read_array,
    read_classes,
    read_named_arrays,
    read_sparse,
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
from counterpoint.errors import UserError

AREAS, VENUES = 4, 20
MASKS = "struchis/masks.npz"
PUBLISHED_SPLITS = {"author": (974, 243, 2840), "paper": (8596, 2866, 2866)}


def read(source: Path) -> Imported:
    """Tasks ``author_area`` and ``paper_venue``; pc.txt gives labels and never edges."""
    heco = source / "heco"
    author_bags, paper_bags = (read_sparse(heco / f"{end}_feat.npz") for end in "ap")
    term_vectors = read_array(heco / "t_feat.npz", -1, -1)  # a .npy in spite of its name
    authors, papers, terms = author_bags.shape[0], paper_bags.shape[0], len(term_vectors)
    writes = read_edges(heco / "pa.txt", {"paper": papers, "author": authors})
    mentions = read_edges(heco / "pt.txt", {"paper": papers, "term": terms})
    areas = pl.Series(read_classes(heco / "labels.npy", authors, AREAS))
    venues = read_one_each(heco / "pc.txt", {"paper": papers, "venue": VENUES})
    tasks = {
        "author_area": _labelled(source, "author", areas),
        "paper_venue": _labelled(source, "paper", venues),
    }
    tables = {
        "nodes/author": pl.DataFrame({"id": np.arange(authors), "keywords": bags(author_bags)}),
        "nodes/paper": pl.DataFrame({"id": np.arange(papers), "words": bags(paper_bags)}),
        "nodes/term": pl.DataFrame({"id": np.arange(terms), "vector": term_vectors.tolist()}),
        "relations/writes": writes.select(src="author", dst="paper"),
        "relations/mentions": mentions.select(src="paper", dst="term"),
        **{f"tasks/{name}": rows for name, rows in tasks.items()},
    }
    counts = [
        Count("authors", authors, 4057, file="heco/a_feat.npz"),
        Count("papers", papers, 14328, file="heco/p_feat.npz"),
        Count("terms", terms, 7723, file="heco/t_feat.npz"),
        Count("author-paper edges", writes.height, 19645, file="heco/pa.txt"),
        Count("paper-term edges", mentions.height, 85810, file="heco/pt.txt"),
    ]
    for rows, (node_type, published) in zip(tasks.values(), PUBLISHED_SPLITS.items(), strict=True):
        counts += [
            Count(f"{node_type}s in {split}", rows.filter(split=split).height, known, file=MASKS)
            for split, known in zip(SPLITS, published, strict=True)
        ]
    widths = (author_bags.shape[1], paper_bags.shape[1], term_vectors.shape[1])
    return Imported(_schema(*widths), tables, counts)


def _schema(author_words: int, paper_words: int, term_width: int) -> DataSchema:
    return DataSchema(
        name="dblp",
        description=(
            "Authors, papers and terms. There are no venue nodes: paper_venue is a task. Words "
            "that occur several times in a paper are in its bag once."
        ),
        node_types={
            "author": NodeType(
                features=(Feature(name="keywords", kind=FeatureKind.BAG, size=author_words),)
            ),
            "paper": NodeType(
                features=(Feature(name="words", kind=FeatureKind.BAG, size=paper_words),)
            ),
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
    nodes = len(labels)
    shapes = {f"{node_type}_{split}": (nodes,) for split in SPLITS}
    masks = read_named_arrays(source / MASKS, **shapes)
    rows = pl.DataFrame({"id": np.arange(nodes), "label": labels})
    parts = [
        rows.filter(masks[f"{node_type}_{split}"].astype(bool)).with_columns(split=pl.lit(split))
        for split in SPLITS
    ]
    labelled = pl.concat(parts).sort("id")
    if labelled["id"].is_duplicated().any():
        raise UserError(f"{source / MASKS}: a {node_type} is in two masks")
    return labelled
