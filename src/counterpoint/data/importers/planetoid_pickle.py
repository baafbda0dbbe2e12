"""Planetoid's Python-2 pickles, read without running anything that they name.

The pickle machine may look up six names. None of them is the real thing where that thing does
work: numpy's and scipy's become inert records, from which arrays are built here, from checked
bytes. Any other name is refused before it is looked up.
"""

import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from counterpoint.errors import UserError


class _Record:
    """Remembers what the pickle says of an object."""

    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Record):
    pass


class _Dtype(_Record):
    pass


class _Csr(_Record):
    pass


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("scipy.sparse.csr", "csr_matrix"): _Csr,
    ("collections", "defaultdict"): defaultdict,
    ("__builtin__", "list"): list,
}
_NUMBERS = ("f4", "f8", "i4", "i8")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None


def _array(record: _Array) -> NDArray[Any]:
    _, shape, dtype, fortran, raw = record.state
    number, order = dtype.arguments[0], dtype.state[1]
    if number not in _NUMBERS or order != "<":
        raise ValueError(f"an array of type {order}{number}")
    flat = np.frombuffer(raw.encode("latin1"), dtype=f"<{number}")
    return flat.reshape(shape, order="F" if fortran else "C")


def _csr(record: _Csr) -> "sparse.csr_matrix":
    data, indices, indptr = (_array(record.state[part]) for part in ("data", "indices", "indptr"))
    matrix = sparse.csr_matrix((data, indices, indptr), shape=record.state["_shape"])
    matrix.check_format(full_check=True)
    return matrix


def _links(record: defaultdict[Any, Any]) -> dict[int, list[int]]:
    if not all(
        type(node) is int and all(type(other) is int for other in others)
        for node, others in record.items()
    ):
        raise ValueError("a neighbour list of anything but integers")
    return dict(record)


def read_array(path: Path) -> NDArray[Any]:
    """A dense array of numbers."""
    array: NDArray[Any] = _read(path, _Array, _array)
    return array


def read_csr(path: Path) -> "sparse.csr_matrix":
    """A sparse matrix of numbers."""
    return _read(path, _Csr, _csr)


def read_links(path: Path) -> dict[int, list[int]]:
    """The neighbours of each node."""
    links: dict[int, list[int]] = _read(path, defaultdict, _links)
    return links


def _read(path: Path, record: type, built: Any) -> Any:
    try:
        with path.open("rb") as stream:
            found = _Unpickler(stream, encoding="latin1").load()
        if type(found) is not record:
            raise ValueError(f"it holds a {type(found).__name__.strip('_').lower()}")
        return built(found)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except Exception as fault:  # a broken pickle can fail in any way
        reason = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise UserError(f"{path}: no Planetoid file ({reason}); get the original") from None
