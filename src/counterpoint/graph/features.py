"""Feature columns to arrays, with statistics from nodes that no held-out row scores."""

from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.schema import Feature, FeatureKind
from counterpoint.graph.store import TypeMeta

if TYPE_CHECKING:
    import polars as pl


def _standardised(columns: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """Columns ``[n, F]`` minus mean over std of the rows ``fit [n] bool``; constants become 0."""
    known = columns[fit] if fit.any() else columns
    mean, std = known.mean(axis=0), known.std(axis=0)
    scale = np.where(std > 1e-12, 1.0 / np.maximum(std, 1e-12), 0.0)
    return np.asarray((columns - mean) * scale, dtype=np.float32)


def _codes(column: "pl.Series", fit: np.ndarray) -> tuple[np.ndarray, int]:
    """Codes ``[n]`` from 1 in sorted order of the values seen in ``fit``; 0 is any other value."""
    import polars as pl

    values = column.cast(pl.String)
    known = values.filter(pl.Series(fit)).drop_nulls().unique().sort()
    table = pl.DataFrame({"value": known, "code": np.arange(1, len(known) + 1)})
    coded = values.to_frame("value").join(table, on="value", how="left", maintain_order="left")
    return coded["code"].fill_null(0).to_numpy().astype(np.int64), len(known) + 1


def _bag(column: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
    """CSR ``indptr [n + 1]``, ``indices`` of a list column."""
    lengths = column.list.len().fill_null(0).to_numpy()
    indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    tokens = column.filter(column.list.len() > 0).explode()
    return indptr, tokens.to_numpy().astype(np.int64)


def encoded_features(
    name: str, table: "pl.DataFrame", features: tuple[Feature, ...], fit: np.ndarray
) -> tuple[TypeMeta, dict[str, np.ndarray]]:
    """Arrays of one node type, and their sizes.

    Args:
        name: of the node type.
        table: its node table in row order.
        features: its feature columns.
        fit: ``[n] bool``, the nodes that statistics and vocabularies may see.
    """
    dense, codes, vocabularies = [], [], []
    arrays: dict[str, np.ndarray] = {}
    bags: dict[str, int] = {}
    for feature in features:
        column = table[feature.name]
        if feature.kind is FeatureKind.NUMERIC:
            dense.append(column.to_numpy().astype(np.float64)[:, None])
        elif feature.kind is FeatureKind.VECTOR:
            dense.append(column.explode().to_numpy().astype(np.float64).reshape(len(table), -1))
        elif feature.kind is FeatureKind.CATEGORICAL:
            code, size = _codes(column, fit)
            codes.append(code)
            vocabularies.append(size)
        else:
            indptr, indices = _bag(column)
            arrays[f"{name}/{feature.name}.indptr"] = indptr
            arrays[f"{name}/{feature.name}.indices"] = indices
            bags[feature.name] = int(feature.size or 0)
    if dense:
        arrays[f"{name}/dense"] = _standardised(np.concatenate(dense, axis=1), fit)
    if codes:
        arrays[f"{name}/codes"] = np.stack(codes, axis=1)
    widths = tuple(columns.shape[1] for columns in dense)
    meta = TypeMeta(
        name=name,
        count=len(table),
        dense=sum(widths),
        dense_widths=widths,
        vocabularies=tuple(vocabularies),
        bags=bags,
    )
    return meta, arrays
