"""From external ids to rows."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class IdIndex:
    """External ids [n] in sorted order, and the row [n] of each."""

    ids: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, ids: np.ndarray) -> "IdIndex":
        """Index of ids [n]: integers, or objects that are strings."""
        ids = ids.astype(str) if ids.dtype.kind == "O" else ids
        order = np.argsort(ids, kind="stable")
        return cls(ids[order], order)

    def with_further(self, ids: np.ndarray) -> "IdIndex":
        """The index with other ids [m], of the same kind, in the rows after ours."""
        ids = np.concatenate([self.ids, ids.astype(str) if ids.dtype.kind == "O" else ids])
        order = np.concatenate([self.order, np.arange(len(self.ids), len(ids))])
        places = np.argsort(ids, kind="stable")
        return IdIndex(ids[places], order[places])

    def rows(self, asked: np.ndarray) -> np.ndarray:
        """Rows [m] of ids [m] of any kind; −1 where there is no such id."""
        wanted, valid = self._comparable(asked)
        places = np.searchsorted(self.ids, wanted)
        places[places == len(self.ids)] = 0
        return np.where(valid & (self.ids[places] == wanted), self.order[places], -1)

    def _comparable(self, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``asked`` [m] in the kind of our ids, and where [m] that is possible.

        A request may carry "7" for 7, and 7.0 where another row of its column is empty.
        """
        import pandas as pd

        if self.ids.dtype.kind == "U":
            return asked.astype(str), ~pd.isna(asked)
        numbers = pd.to_numeric(pd.Series(asked), errors="coerce").to_numpy()
        if numbers.dtype.kind != "f":
            return numbers, np.ones(len(numbers), dtype=bool)
        valid = (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**53)  # exact in a float
        return np.where(valid, numbers, 0).astype(np.int64), valid
