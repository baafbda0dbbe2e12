"""What ACM and DBLP have in common: HeCo's files of papers and authors, and given splits."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from counterpoint.data.importers.array_files import bags, read_sparse
from counterpoint.data.importers.imported import Count
from counterpoint.data.importers.text_files import read_edges
from counterpoint.data.schema import Feature, FeatureKind, NodeType
from counterpoint.errors import UserError


@dataclass(frozen=True)
class BagNodes:
    """Nodes of one type, numbered from 0, whose one feature is a bag of words."""

    feature: str
    words: "sparse.csr_matrix"

    def __len__(self) -> int:
        return int(self.words.shape[0])

    @property
    def table(self) -> pl.DataFrame:
        """``id`` and the bag."""
        return pl.DataFrame({"id": np.arange(len(self)), self.feature: bags(self.words)})

    @property
    def node_type(self) -> NodeType:
        """The schema of :attr:`table`."""
        size = int(self.words.shape[1])
        return NodeType(features=(Feature(name=self.feature, kind=FeatureKind.BAG, size=size),))


def read_papers_and_authors(
    folder: Path, paper_feature: str, author_feature: str
) -> tuple[BagNodes, BagNodes, pl.DataFrame]:
    """Papers, authors, and the relation ``writes`` from author to paper."""
    papers = BagNodes(paper_feature, read_sparse(folder / "p_feat.npz"))
    authors = BagNodes(author_feature, read_sparse(folder / "a_feat.npz"))
    pairs = read_edges(folder / "pa.txt", {"paper": len(papers), "author": len(authors)})
    return papers, authors, pairs.select(src="author", dst="paper")


def split_labels(
    path: Path, node_type: str, labels: Any, members: Mapping[str, NDArray[np.int64]]
) -> pl.DataFrame:
    """``id``, ``label`` and ``split`` of every node; ``split`` is null where no member names it.

    Args:
        path: what gave ``members``, for the error.
        node_type: of the nodes.
        labels: one a node.
        members: the nodes of each split.
    """
    ids = pl.Series("id", np.concatenate(list(members.values())), dtype=pl.Int64)
    twice = ids.filter(ids.is_duplicated())
    if len(twice):
        raise UserError(f"{path}: {node_type} {twice[0]} is in two splits")
    names = np.repeat(list(members), [len(nodes) for nodes in members.values()])
    rows = pl.DataFrame({"id": np.arange(len(labels)), "label": labels})
    splits = pl.DataFrame({"id": ids, "split": names})
    return rows.join(splits, on="id", how="left", maintain_order="left")


def split_counts(
    rows: pl.DataFrame, nodes: str, published: Mapping[str, int], files: Mapping[str, str]
) -> list[Count]:
    """How many rows each split has; ``files`` says where it comes from."""
    return [
        Count(f"{nodes} in {split}", rows.filter(split=split).height, known, file=files[split])
        for split, known in published.items()
    ]
