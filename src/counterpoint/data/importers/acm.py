"""ACM papers and authors (HeCo): paper's class and subject, without the subject nodes."""

from pathlib import Path

import numpy as np
import polars as pl

from counterpoint.data.importers.array_files import bags, read_array, read_classes, read_sparse
from counterpoint.data.importers.imported import Count, Imported
from counterpoint.data.importers.text_files import check_ids, read_edges, read_one_each
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

CLASSES, SUBJECTS = 3, 60
SPLIT_FILES = {"train": "train_60.npy", "valid": "val_60.npy", "test": "test_60.npy"}
PUBLISHED_SPLITS = {"train": 180, "valid": 1000, "test": 1000}


def read(source: Path) -> Imported:
    """Task ``paper_class`` on HeCo's split of 60 labels a class, auxiliary ``subject``.

    ps.txt gives the subjects as labels and never as edges. Papers outside HeCo's split have no
    class label; their subjects are training rows.
    """
    paper_bags, author_bags = (read_sparse(source / f"{end}_feat.npz") for end in "pa")
    papers, authors = paper_bags.shape[0], author_bags.shape[0]
    writes = read_edges(source / "pa.txt", {"paper": papers, "author": authors})
    labelled = pl.DataFrame(
        {
            "id": np.arange(papers),
            "class": read_classes(source / "labels.npy", papers, CLASSES),
            "subject": read_one_each(source / "ps.txt", {"paper": papers, "subject": SUBJECTS}),
        }
    ).join(_split(source, papers), on="id", how="left", maintain_order="left")
    tables = {
        "nodes/paper": pl.DataFrame({"id": np.arange(papers), "words": bags(paper_bags)}),
        "nodes/author": pl.DataFrame({"id": np.arange(authors), "words": bags(author_bags)}),
        "relations/writes": writes.select(src="author", dst="paper"),
        "tasks/paper_class": labelled.drop_nulls("split").select("id", "split", label="class"),
        "tasks/subject": labelled.select("id", pl.col("split").fill_null("train"), label="subject"),
    }
    counts = [
        Count("papers", papers, 4019, file="p_feat.npz"),
        Count("authors", authors, 7167, file="a_feat.npz"),
        Count("subjects", labelled["subject"].n_unique(), SUBJECTS, file="ps.txt"),
        Count("author-paper edges", writes.height, 13407, file="pa.txt"),
        *(
            Count(
                f"papers of class {label}",
                labelled.filter(pl.col("class") == label).height,
                known,
                file="labels.npy",
            )
            for label, known in enumerate((1993, 965, 1061))
        ),
        *(
            Count(
                f"papers in {split}",
                tables["tasks/paper_class"].filter(split=split).height,
                known,
                file=SPLIT_FILES[split],
            )
            for split, known in PUBLISHED_SPLITS.items()
        ),
    ]
    return Imported(_schema(paper_bags.shape[1], author_bags.shape[1]), tables, counts)


def _schema(paper_words: int, author_words: int) -> DataSchema:
    return DataSchema(
        name="acm",
        description=(
            "Papers and authors. There are no subject nodes: subject is a task. An author's bag "
            "is the union of the bags of the author's papers."
        ),
        node_types={
            "paper": NodeType(
                features=(Feature(name="words", kind=FeatureKind.BAG, size=paper_words),)
            ),
            "author": NodeType(
                features=(Feature(name="words", kind=FeatureKind.BAG, size=author_words),)
            ),
        },
        relations={"writes": Relation(src="author", dst="paper")},
        tasks={
            "paper_class": Task(
                kind=TaskKind.MULTICLASS, entity="paper", classes=CLASSES, also=("macro_f1",)
            ),
            "subject": Task(
                kind=TaskKind.MULTICLASS, entity="paper", classes=SUBJECTS, role="auxiliary"
            ),
        },
        split=Split(by="given"),
    )


def _split(source: Path, papers: int) -> pl.DataFrame:
    """``id`` and ``split`` of the papers in HeCo's split."""
    parts = []
    for split, file in SPLIT_FILES.items():
        ids = pl.Series("id", read_array(source / file, -1)).cast(pl.Int64)
        check_ids(source / file, ids, papers, "paper")
        parts.append(pl.DataFrame({"id": ids}).with_columns(split=pl.lit(split)))
    rows = pl.concat(parts)
    if rows["id"].is_duplicated().any():
        raise UserError(f"{source}: a paper is in two of {', '.join(SPLIT_FILES.values())}")
    return rows
