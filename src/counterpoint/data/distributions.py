"""Distributions in a few numbers, to compare later ones with: no row, no raw category is kept."""

from collections.abc import Iterator
from hashlib import sha256

import numpy as np

from counterpoint.data.folder import DataFolder
from counterpoint.data.schema import FeatureKind, Strict

POINTS = 101  # quantiles of a number, so that a share is known to a hundredth
FEATURES = "features.json"  # by name, in the folder of an evaluation
CATEGORIES = 100  # the most frequent ones; all others are one
OTHER = "other"


class Sketch(Strict):
    """Numbers: increasing ``points`` among the values, and the share of values up to each."""

    n: int
    points: tuple[float, ...]
    below: tuple[float, ...]


class Shares(Strict):
    """Categories under a digest of their name, with the share of the values that each has."""

    n: int
    shares: dict[str, float]


Distribution = Sketch | Shares


def distribution(values: np.ndarray) -> Distribution:
    """The distribution of values ``[n]``: numbers, or strings, which are categories."""
    if values.dtype.kind in "OU":
        names, counts = np.unique(_digests(values), return_counts=True)
        order = np.lexsort((names, -counts))[:CATEGORIES]
        shares = {str(names[at]): counts[at] / len(values) for at in order}
        rest = 1 - sum(shares.values())
        return Shares(n=len(values), shares={**shares, OTHER: max(float(rest), 0.0)})
    ordered = np.sort(values.astype(np.float64))
    chosen = np.quantile(ordered, np.linspace(0, 1, POINTS), method="inverted_cdf")
    points = np.unique(chosen)
    return Sketch(n=len(ordered), points=tuple(points), below=tuple(below(points, ordered)))


def below(points: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of ``values`` up to each of ``points``."""
    return np.searchsorted(np.sort(values), points, side="right") / len(values)


def shares_of(values: np.ndarray, reference: Shares) -> np.ndarray:
    """Shares ``[categories]`` that strings have of the reference's categories, in its order."""
    names, counts = np.unique(_digests(values), return_counts=True)
    found = dict(zip(names, counts / len(values), strict=True))
    known = [float(found.get(name, 0.0)) for name in reference.shares if name != OTHER]
    return np.array([*known, max(1 - sum(known), 0.0)])


def feature_values(folder: DataFolder) -> Iterator[tuple[str, np.ndarray]]:
    """``<type>.<feature>`` and one value a node: itself, a vector's norm, a bag's size.

    Nodes without a category have the empty one.
    """
    import polars as pl

    for name, node_type in folder.schema.node_types.items():
        for feature in node_type.features:
            column = folder.scan(f"nodes/{name}").select(feature.name).collect()[feature.name]
            if feature.kind is FeatureKind.CATEGORICAL:
                values = column.cast(pl.String).fill_null("").to_numpy().astype(str)
            elif feature.kind is FeatureKind.VECTOR:
                flat = column.explode().to_numpy().astype(np.float64)
                values = np.linalg.norm(flat.reshape(len(column), -1), axis=1)
            elif feature.kind is FeatureKind.BAG:
                values = column.list.len().fill_null(0).to_numpy().astype(np.float64)
            else:
                values = column.to_numpy().astype(np.float64)
            yield f"{name}.{feature.name}", values


def _digests(values: np.ndarray) -> np.ndarray:
    names, back = np.unique(values.astype(str), return_inverse=True)
    digests = [sha256(name.encode()).hexdigest()[:12] for name in names]
    return np.asarray(digests, dtype=str)[back]
