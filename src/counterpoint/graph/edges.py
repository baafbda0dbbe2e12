"""Relations to one flat graph over all node types."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from counterpoint.data.folder import DataFolder
from counterpoint.data.schema import TaskKind
from counterpoint.graph.store import RelationMeta, TypeMeta


def _relation_pairs(
    folder: DataFolder, name: str, rows: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    """Unique ``src``, ``dst`` places of a relation."""
    relation = folder.schema.relations[name]
    if relation.from_task is not None:
        found = rows[relation.from_task]
        if folder.schema.tasks[relation.from_task].kind is TaskKind.BINARY:
            found = found.filter(pl.col("label") == 1)
        return found.select(src="row_src", dst="row_dst").unique()
    pairs = folder.scan(f"relations/{name}").select("src", "dst")
    for column, node_type in zip(("src", "dst"), folder.schema.ends(name), strict=True):
        index = folder.scan(f"nodes/{node_type}").select("id").with_row_index("row")
        index = index.rename({"id": column, "row": f"row_{column}"})
        pairs = pairs.join(index, on=column, how="inner")
    return pairs.select(src="row_src", dst="row_dst").unique().collect()


def flat_edges(
    folder: DataFolder, metas: list[TypeMeta], rows: Mapping[str, pl.DataFrame]
) -> tuple[list[RelationMeta], dict[str, np.ndarray]]:
    """All relations and their reverses as one CSR of incoming edges.

    Args:
        folder: the data set.
        metas: its node types in the order of its schema.
        rows: by task those rows (``row_src``, ``row_dst``, ``label``) of which a relation that is
            derived from it may be made.
    """
    starts = np.cumsum([0] + [meta.count for meta in metas])
    offset = {meta.name: int(start) for meta, start in zip(metas, starts[:-1], strict=True)}
    relations: list[RelationMeta] = []
    frames = []
    for name, relation in folder.schema.relations.items():
        src, dst = folder.schema.ends(name)
        pairs = _relation_pairs(folder, name, rows)
        derived = relation.from_task is not None
        for reverse in (False, True):
            a, b = (dst, src) if reverse else (src, dst)
            tail, head = ("dst", "src") if reverse else ("src", "dst")
            frames.append(
                pairs.select(
                    dst=pl.col(head).cast(pl.Int64) + offset[b],
                    src=pl.col(tail).cast(pl.Int64) + offset[a],
                    etype=pl.lit(len(relations), pl.Int16),
                )
            )
            label = f"rev-{name}" if reverse else name
            relations.append(
                RelationMeta(
                    name=label, src=a, dst=b, edges=len(pairs), derived=derived, reverse=reverse
                )
            )
    n_nodes = int(starts[-1])
    if not frames:
        empty = np.zeros(0, dtype=np.int64)
        indptr = np.zeros(n_nodes + 1, dtype=np.int64)
        return [], {"indptr": indptr, "indices": empty, "etype": empty.astype(np.int16)}
    flat = pl.concat(frames).sort("dst", "src", "etype")
    degree = np.bincount(flat["dst"].to_numpy(), minlength=n_nodes)
    return relations, {
        "indptr": np.concatenate([[0], np.cumsum(degree, dtype=np.int64)]),
        "indices": flat["src"].to_numpy(),
        "etype": flat["etype"].to_numpy(),
    }
