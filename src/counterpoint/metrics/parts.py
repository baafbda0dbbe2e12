"""Metric parts: what evaluation needs of one task on one split for one seed, kept on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from counterpoint.errors import UserError, raise_faults
from counterpoint.files import new_file

Kind = Literal["binary", "multiclass", "multilabel", "link", "regression"]
_LABEL_TYPES: dict[str, type] = {
    "binary": np.uint8,
    "multiclass": np.int64,
    "multilabel": np.uint8,
    "link": np.int64,
    "regression": np.float64,
}


@dataclass(frozen=True, eq=False)
class Parts:
    """One scored split. ``label`` is what the test set fixes, ``score`` what the model said.

    ========== ============================== =============================================
    kind       label                          score (float32)
    ========== ============================== =============================================
    binary     ``[n]`` 0 or 1                 ``[n]`` probability of 1
    multiclass ``[n]`` class index            ``[n, C]`` probabilities, rows sum to one
    multilabel ``[n, C]`` 0 or 1              ``[n, C]`` probabilities
    link       ``[n]`` number of candidates   ``[n]`` rank of the held-out positive among its
                                              candidates, 1 = best, ties at their mean rank
    regression ``[n]`` float64                ``[n]`` prediction
    ========== ============================== =============================================

    ``cluster [n]`` is the unit that the bootstrap resamples: the user index for a task on pairs,
    the node index for a task on nodes. ``row [n]`` is the identity of the scored row, so that two
    models can be shown to have scored the same rows (both int64). Arrays of other types are
    converted.

    Raises:
        UserError: shapes disagree, rows repeat, or a label or score is out of its range.
    """

    kind: Kind
    cluster: NDArray[Any]
    row: NDArray[Any]
    label: NDArray[Any]
    score: NDArray[Any]

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UserError(f"kind: {self.kind!r} is none of {', '.join(get_args(Kind))}")
        types = {"cluster": np.int64, "row": np.int64, "label": _LABEL_TYPES[self.kind]}
        faults = []
        for name, dtype in types.items():
            given = np.asarray(getattr(self, name))
            with np.errstate(invalid="ignore"):
                exact: NDArray[Any] = given.astype(dtype, copy=False)
            if changed := np.sum(exact != given):
                faults.append(f"{name}: {changed} of {given.size} are no {np.dtype(dtype)}")
            object.__setattr__(self, name, exact)
        raise_faults(faults)
        object.__setattr__(self, "score", np.asarray(self.score).astype(np.float32, copy=False))
        raise_faults(self._shape_faults())
        raise_faults(self._value_faults())

    @classmethod
    def of_ranks(
        cls,
        *,
        cluster: NDArray[Any],
        row: NDArray[Any],
        rank: NDArray[Any],
        n_candidates: NDArray[Any],
    ) -> "Parts":
        """Parts of a link task, one row a held-out positive."""
        return cls("link", cluster, row, label=n_candidates, score=rank)

    def __len__(self) -> int:
        return len(self.row)

    @property
    def rank(self) -> NDArray[Any]:
        """Rank of each held-out positive of a link task, ``[n]``."""
        return self.score

    @property
    def n_candidates(self) -> NDArray[Any]:
        """Size of the candidate set of each held-out positive of a link task, ``[n]``."""
        return self.label

    def _shape_faults(self) -> list[str]:
        n = len(self.row)
        classes = self.score.shape[1:]
        score_axes = 2 if self.kind in ("multiclass", "multilabel") else 1
        label_shape = (n, *classes) if self.kind == "multilabel" else (n,)
        faults = []
        if self.cluster.shape != (n,) or self.row.shape != (n,):
            faults.append(f"cluster: shape {self.cluster.shape}, row has {self.row.shape}")
        if self.score.ndim != score_axes or len(self.score) != n:
            faults.append(
                f"score: shape {self.score.shape}; a {self.kind} task with {n} rows needs"
                f" {score_axes} axes and {n} rows"
            )
        elif self.label.shape != label_shape:
            faults.append(f"label: shape {self.label.shape}, expected {label_shape}")
        return faults

    def _value_faults(self) -> list[str]:
        n = len(self.row)
        counted = [
            ("row", "repeated", n - len(np.unique(self.row))),
            ("score", "not finite; the model diverged", np.sum(~np.isfinite(self.score))),
        ]
        if self.kind in ("binary", "multiclass", "multilabel"):
            outside = (self.score < 0) | (self.score > 1)
            counted.append(("score", "outside [0, 1]; give probabilities", np.sum(outside)))
        if self.kind in ("binary", "multilabel"):
            counted.append(("label", "neither 0 nor 1", np.sum(self.label > 1)))
        if self.kind == "multiclass":
            n_classes = self.score.shape[1]
            outside = (self.label < 0) | (self.label >= n_classes)
            unsummed = np.abs(self.score.sum(axis=1) - 1) > 1e-3
            counted.append(("label", f"not a class of 0..{n_classes - 1}", np.sum(outside)))
            counted.append(("score", "rows whose probabilities do not sum to 1", np.sum(unsummed)))
        if self.kind == "link":
            outside = (self.score < 1) | (self.score > self.label)
            counted.append(("rank", "outside 1..n_candidates", np.sum(outside)))
        if self.kind == "regression":
            counted.append(("label", "not finite", np.sum(~np.isfinite(self.label))))
        return [f"{name}: {count} of {n} {what}" for name, what, count in counted if count]


def check_paired(models: Mapping[str, Parts]) -> None:
    """Check that all ``models`` (by name) scored the same rows, in the same order.

    Raises:
        UserError: one line for each model whose kind, rows, clusters or labels differ from the
            first model's.
    """
    (first_name, first), *others = models.items()
    raise_faults(
        [
            f"{name}: {difference} than {first_name}; score both on the same split"
            for name, other in others
            if (difference := _difference(first, other)) is not None
        ]
    )


def _difference(first: Parts, other: Parts) -> str | None:
    if other.kind != first.kind:
        return f"other kind ({other.kind}, not {first.kind})"
    if len(other) != len(first):
        return f"{len(other)} rows, not {len(first)}, other"
    for column in ("row", "cluster", "label"):
        ours, theirs = getattr(first, column), getattr(other, column)
        if ours.shape != theirs.shape:
            return f"other shape of {column} ({theirs.shape}, not {ours.shape})"
        if not np.array_equal(ours, theirs):
            return f"other {column} in {np.sum(ours != theirs)} places"
    return None


def write_parts(path: Path, parts: Parts) -> None:
    """Write ``parts`` as parquet: columns row, cluster, then label and score (link: n_candidates
    and rank), matrices as fixed-size lists. Equal parts give equal bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "row": parts.row,
        "cluster": parts.cluster,
        **dict(zip(_names(parts.kind), (parts.label, parts.score), strict=True)),
    }
    table = pa.table({name: _arrow(array) for name, array in columns.items()})
    with new_file(path) as scratch:
        pq.write_table(
            table.replace_schema_metadata({"kind": parts.kind}), scratch, compression="zstd"
        )


def read_parts(path: Path) -> Parts:
    """Read what :func:`write_parts` wrote.

    Raises:
        UserError: the file is missing, is not parquet or does not hold metric parts.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except pa.ArrowException as fault:
        raise UserError(f"{path}: not readable parquet ({fault})") from None
    kind = (table.schema.metadata or {}).get(b"kind", b"").decode()
    if kind not in get_args(Kind) or table.column_names != ["row", "cluster", *_names(kind)]:
        raise UserError(
            f"{path}: not metric parts (kind {kind!r}, columns {', '.join(table.column_names)});"
            " make it again with write_parts"
        )
    row, cluster, label, score = (_numpy(table[name]) for name in table.column_names)
    return Parts(kind, cluster, row, label, score)


def _names(kind: str) -> tuple[str, str]:
    return ("n_candidates", "rank") if kind == "link" else ("label", "score")


def _arrow(array: NDArray[Any]) -> Any:
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(array).ravel())
    return flat if array.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, array.shape[1])


def _numpy(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    column = column.combine_chunks()
    if not pa.types.is_fixed_size_list(column.type):
        return np.asarray(column)
    return np.asarray(column.flatten()).reshape(-1, column.type.list_size)
