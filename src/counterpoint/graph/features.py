"""Feature columns to arrays, by what was learned from nodes that no held-out row scores."""

from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.schema import Feature, FeatureKind, Strict
from counterpoint.files import read_json
from counterpoint.graph.store import GraphStore, TypeMeta

if TYPE_CHECKING:
    import polars as pl

DENSE = (FeatureKind.NUMERIC, FeatureKind.VECTOR)


class FeatureEncoder(Strict):
    """How the features of one node type become arrays.

    ``mean`` and ``scale`` are those of the dense columns, side by side in the features' order;
    ``vocabularies`` the values of each categorical feature: the first has code 1.
    """

    features: tuple[Feature, ...]
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    vocabularies: tuple[tuple[str, ...], ...] = ()

    def of_kind(self, *kinds: FeatureKind) -> tuple[Feature, ...]:
        """The features of some kinds, in order."""
        return tuple(feature for feature in self.features if feature.kind in kinds)


def fitted_encoder(
    table: "pl.DataFrame", features: tuple[Feature, ...], fit: np.ndarray
) -> FeatureEncoder:
    """What the rows ``fit [n] bool`` of a node table, or all if there are none, say of it.

    A constant column has scale 0: it becomes 0. A vocabulary is in the order of its values.
    """
    mean, scale = np.zeros(0), np.zeros(0)
    if dense := [_dense(table, feature) for feature in features if feature.kind in DENSE]:
        columns = np.concatenate(dense, axis=1)
        known = columns[fit] if fit.any() else columns
        mean, std = known.mean(axis=0), known.std(axis=0)
        scale = np.where(std > 1e-12, 1.0 / np.maximum(std, 1e-12), 0.0)
    return FeatureEncoder(
        features=features,
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        vocabularies=tuple(
            _vocabulary(table[feature.name], fit)
            for feature in features
            if feature.kind is FeatureKind.CATEGORICAL
        ),
    )


def _dense(table: "pl.DataFrame", feature: Feature) -> np.ndarray:
    """``[n, size]`` of a numeric or vector feature."""
    column = table[feature.name]
    if feature.kind is FeatureKind.VECTOR:
        column = column.explode()
    return column.to_numpy().astype(np.float64).reshape(len(table), -1)


def _vocabulary(column: "pl.Series", fit: np.ndarray) -> tuple[str, ...]:
    import polars as pl

    known = column.cast(pl.String).filter(pl.Series(fit)).drop_nulls().unique().sort()
    return tuple(known.to_list())


def _codes(column: "pl.Series", vocabulary: tuple[str, ...]) -> np.ndarray:
    """Codes ``[n]`` from 1 in the vocabulary's order; 0 is any other value."""
    import polars as pl

    places = np.arange(1, len(vocabulary) + 1)
    table = pl.DataFrame({"value": pl.Series(vocabulary, dtype=pl.String), "code": places})
    values = column.cast(pl.String).to_frame("value")
    coded = values.join(table, on="value", how="left", maintain_order="left")
    return coded["code"].fill_null(0).to_numpy().astype(np.int64)


def _bag(column: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
    """CSR ``indptr [n + 1]``, ``indices`` of a list column."""
    lengths = column.list.len().fill_null(0).to_numpy()
    indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    tokens = column.filter(column.list.len() > 0).explode()
    return indptr, tokens.to_numpy().astype(np.int64)


def encoded_features(
    name: str, table: "pl.DataFrame", encoder: FeatureEncoder
) -> tuple[TypeMeta, dict[str, np.ndarray]]:
    """Arrays of one node type, and their sizes.

    Args:
        name: of the node type.
        table: its node table in row order.
        encoder: fitted on this table or on an earlier one.
    """
    arrays: dict[str, np.ndarray] = {}
    if dense := [_dense(table, feature) for feature in encoder.of_kind(*DENSE)]:
        columns = np.concatenate(dense, axis=1) - np.asarray(encoder.mean)
        arrays[f"{name}/dense"] = (columns * np.asarray(encoder.scale)).astype(np.float32)
    if categorical := encoder.of_kind(FeatureKind.CATEGORICAL):
        pairs = zip(categorical, encoder.vocabularies, strict=True)
        codes = [_codes(table[feature.name], vocabulary) for feature, vocabulary in pairs]
        arrays[f"{name}/codes"] = np.stack(codes, axis=1)
    bags = encoder.of_kind(FeatureKind.BAG)
    for feature in bags:
        indptr, indices = _bag(table[feature.name])
        arrays[f"{name}/{feature.name}.indptr"] = indptr
        arrays[f"{name}/{feature.name}.indices"] = indices
    widths = tuple(columns.shape[1] for columns in dense)
    meta = TypeMeta(
        name=name,
        count=len(table),
        dense=sum(widths),
        dense_widths=widths,
        vocabularies=tuple(len(vocabulary) + 1 for vocabulary in encoder.vocabularies),
        bags={feature.name: int(feature.size or 0) for feature in bags},
    )
    return meta, arrays


def stored_encoders(store: GraphStore) -> dict[str, FeatureEncoder]:
    """The encoders of a graph store's features, by node type."""
    found = read_json(store.path / "train" / "encoders.json")
    return {name: FeatureEncoder.model_validate(encoder) for name, encoder in found.items()}
