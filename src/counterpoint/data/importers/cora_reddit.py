"""Cora as AUX-TS has Reddit: 70 % of the papers to pre-train on, a tenth for each split."""

from pathlib import Path

import numpy as np
import polars as pl

from counterpoint.data.importers.array_files import bags
from counterpoint.data.importers.cora import counts_of, read_citations, read_papers, schema_of
from counterpoint.data.importers.imported import Count, Imported
from counterpoint.data.splits import SPLITS, entity_uniform

SEED, SHARE = 0, 0.1


def read(source: Path) -> Imported:
    """Task ``topic``: a tenth of the papers in each split, the rest unlabelled (METHODS B.8)."""
    words, topics, _ = read_papers(source)
    paper = np.arange(len(topics))
    place = np.argsort(entity_uniform([paper], SEED)).argsort() // max(int(SHARE * len(paper)), 1)
    names = dict(enumerate(SPLITS))
    labelled = pl.DataFrame(
        {
            "id": paper,
            "label": topics.argmax(axis=1),
            "split": [names.get(tenth) for tenth in place.tolist()],
        }
    ).drop_nulls("split")
    cites = read_citations(source, len(paper))
    tables = {
        "nodes/paper": pl.DataFrame({"id": paper, "words": bags(words)}),
        "relations/cites": cites,
        "tasks/topic": labelled,
    }
    sizes = [Count(f"papers in {name}", labelled.filter(split=name).height) for name in SPLITS]
    schema = schema_of("cora_reddit", words.shape[1], topics.shape[1])
    return Imported(schema, tables, [*counts_of(words, topics, cites), *sizes])
