"""Third-party numpy and scipy files: arrays only, never pickled objects."""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from counterpoint.errors import UserError

_UNREADABLE = (OSError, ValueError, KeyError, EOFError, BadZipFile)


def read_array(path: Path, *shape: int) -> NDArray[Any]:
    """The one array of a .npy file (whatever its suffix); -1 in ``shape`` stands for any size."""
    found = _loaded(path)
    if not isinstance(found, np.ndarray):
        raise UserError(f"{path}: holds several arrays, must be one (.npy)")
    return _shaped(path, found, shape)


def read_named_arrays(path: Path, **shapes: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    """The named arrays of a .npz file, each with its shape."""
    found = _loaded(path)
    missing = [name for name in shapes if isinstance(found, np.ndarray) or name not in found]
    if missing:
        raise UserError(f"{path}: holds no array {', '.join(missing)}")
    return {name: _shaped(path, found[name], shape) for name, shape in shapes.items()}


def read_sparse(path: Path) -> "sparse.csr_matrix":
    """A matrix that ``scipy.sparse.save_npz`` wrote, as CSR."""
    try:
        with path.open("rb") as stream:
            return sparse.load_npz(stream).tocsr()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except _UNREADABLE as fault:
        raise UserError(f"{path}: no readable sparse matrix ({_first_line(fault)})") from None


def bags(matrix: "sparse.csr_matrix") -> pl.Series:
    """The column numbers of each row's non-zero entries: ``list[i64]``; values are not kept."""
    matrix = matrix.copy()
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    rows = pa.LargeListArray.from_arrays(
        matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
    )
    return pl.Series(values=pl.from_arrow(rows))


def read_classes(path: Path, nodes: int, classes: int) -> NDArray[np.int64]:
    """An array of class numbers in ``0..classes-1``, one a node."""
    labels = read_array(path, nodes)
    wrong = ~np.isin(labels, np.arange(classes))
    if wrong.any():
        place = int(wrong.argmax())
        raise UserError(f"{path}: entry {place}: {labels[place]} is no class of 0..{classes - 1}")
    return labels.astype(np.int64)


def _loaded(path: Path) -> Any:
    try:
        with path.open("rb") as stream:
            found = np.load(stream, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return found
            return {name: found[name] for name in found.files}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except _UNREADABLE as fault:
        raise UserError(f"{path}: no readable array file ({_first_line(fault)})") from None


def _shaped(path: Path, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    fits = array.ndim == len(shape) and all(
        want in (-1, size) for want, size in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = " x ".join("any" if size < 0 else str(size) for size in shape)
        found = " x ".join(str(size) for size in array.shape)
        raise UserError(f"{path}: shape {found}, must be {wanted}")
    return array


def _first_line(fault: BaseException) -> str:
    return (str(fault).splitlines() or [type(fault).__name__])[0]
