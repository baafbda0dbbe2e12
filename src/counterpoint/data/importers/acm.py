"""ACM papers and authors (HeCo): paper's class and subject, without the subject nodes."""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from counterpoint.data.importers.array_files import read_array, read_classes
from counterpoint.data.importers.heco import (
    BagNodes,
    read_papers_and_authors,
    split_counts,
    split_labels,
)
from counterpoint.data.importers.imported import Count, Imported
from counterpoint.data.importers.text_files import check_ids, read_one_each
from counterpoint.data.schema import DataSchema, Relation, Split, Task, TaskKind

CLASSES, SUBJECTS = 3, 60
SPLIT_FILES = {"train": "train_60.npy", "valid": "val_60.npy", "test": "test_60.npy"}
PUBLISHED_SPLITS = {"train": 180, "valid": 1000, "test": 1000}


def read(source: Path) -> Imported:
    """Task ``paper_class`` on HeCo's split of 60 labels a class, auxiliary ``subject``.

    ps.txt gives the subjects as labels and never as edges. Papers outside HeCo's split have no
    class label; their subjects are training rows.
    """
    papers, authors, writes = read_papers_and_authors(source, "words", "words")
    classes = read_classes(source / "labels.npy", len(papers), CLASSES)
    subjects = read_one_each(source / "ps.txt", {"paper": len(papers), "subject": SUBJECTS})
    members = {name: _members(source / file, len(papers)) for name, file in SPLIT_FILES.items()}
    of_class, of_subject = (
        split_labels(source, "paper", labels, members) for labels in (classes, subjects)
    )
    tables = {
        "nodes/paper": papers.table,
        "nodes/author": authors.table,
        "relations/writes": writes,
        "tasks/paper_class": of_class.drop_nulls("split"),
        "tasks/subject": of_subject.with_columns(pl.col("split").fill_null("train")),
    }
    counts = [
        Count("papers", len(papers), 4019, file="p_feat.npz"),
        Count("authors", len(authors), 7167, file="a_feat.npz"),
        Count("subjects", subjects.n_unique(), SUBJECTS, file="ps.txt"),
        Count("author-paper edges", writes.height, 13407, file="pa.txt"),
        *(
            Count(
                f"papers of class {label}", int((classes == label).sum()), known, file="labels.npy"
            )
            for label, known in enumerate((1993, 965, 1061))
        ),
        *split_counts(tables["tasks/paper_class"], "papers", PUBLISHED_SPLITS, SPLIT_FILES),
    ]
    return Imported(_schema(papers, authors), tables, counts)


def _schema(papers: BagNodes, authors: BagNodes) -> DataSchema:
    return DataSchema(
        name="acm",
        description=(
            "Papers and authors. There are no subject nodes: subject is a task. An author's bag "
            "is the union of the bags of the author's papers."
        ),
        node_types={"paper": papers.node_type, "author": authors.node_type},
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


def _members(path: Path, papers: int) -> NDArray[np.int64]:
    """The papers that a split's file names."""
    ids = pl.Series(read_array(path, -1)).cast(pl.Int64)
    check_ids(path, ids, papers, "paper")
    return ids.to_numpy()
