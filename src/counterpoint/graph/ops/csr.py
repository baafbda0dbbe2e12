"""The incoming adjacency of one relation, in compressed sparse rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor


class Transpose(NamedTuple):
    """The same edges ordered by source.

    Shapes:
        indptr ``[n_src + 1]``; indices ``[E]``, the destination of each edge; order ``[E]``, the
        position of each edge in the order by destination: ``weights[order]`` goes with indices.
    """

    indptr: Tensor
    indices: Tensor
    order: Tensor


@dataclass(frozen=True, eq=False)
class Csr:
    """Edges ordered by destination, so that each destination owns one run of incoming edges.

    Built by :meth:`from_edges`, which checks the ids; the constructor trusts its caller. The
    transpose, the destinations and the positions are made when first asked for, and kept.

    Shapes:
        indptr ``[n_dst + 1]`` and indices ``[E]`` (the source of each edge), both int64.
    """

    indptr: Tensor
    indices: Tensor
    n_src: int

    @classmethod
    def from_edges(cls, src: Tensor, dst: Tensor, n_src: int, n_dst: int) -> tuple[Csr, Tensor]:
        """Return the adjacency, and the order ``[E]`` that carries edge values into it.

        Edges are sorted by destination, then source; equal edges keep their order, so
        ``weights[order]`` belongs to the edges of the result.

        Raises:
            ValueError: ids that are no int64 vectors of one length, or lie outside their range.
        """
        if src.shape != dst.shape or src.ndim != 1:
            raise ValueError(
                f"src {list(src.shape)} and dst {list(dst.shape)} must be equally long"
            )
        for name, ids, size in (("src", src, n_src), ("dst", dst, n_dst)):
            if ids.dtype != torch.int64:
                raise ValueError(f"{name} must be int64, not {ids.dtype}")
            outside = int(((ids < 0) | (ids >= size)).sum())
            if outside:
                raise ValueError(f"{name}: {outside} of {len(ids)} ids are not in 0..{size - 1}")
        order = torch.argsort(dst * n_src + src, stable=True)
        return cls(_offsets(dst, n_dst), src[order], n_src), order

    @property
    def n_dst(self) -> int:
        """Number of destination nodes."""
        return len(self.indptr) - 1

    @property
    def n_edges(self) -> int:
        """Number of edges, E."""
        return len(self.indices)

    @cached_property
    def dst(self) -> Tensor:
        """The destination of each edge ``[E]``."""
        nodes = torch.arange(self.n_dst, device=self.indptr.device)
        return nodes.repeat_interleave(self.indptr.diff(), output_size=self.n_edges)

    @cached_property
    def positions(self) -> Tensor:
        """The position of each edge, 0 to E - 1: the rows of edge values, run after run."""
        return torch.arange(self.n_edges, device=self.indptr.device)

    @cached_property
    def transpose(self) -> Transpose:
        """The same edges ordered by source, then destination."""
        order = torch.argsort(self.indices, stable=True)
        return Transpose(_offsets(self.indices, self.n_src), self.dst[order], order)

    def to(self, device: torch.device | str) -> Csr:
        """Return the adjacency on a device: itself, with what it keeps, if it is there already."""
        indptr = self.indptr.to(device)
        if indptr is self.indptr:
            return self
        return Csr(indptr, self.indices.to(device), self.n_src)

    def kept(self, mask: Tensor) -> Csr:
        """Return the adjacency of the edges where mask ``[E]`` (bool) is true, in their order.

        Edge values follow as ``weights[mask]``. A transpose that is there already is thinned out
        with the rest: sorting the edges of every step again would cost more than the layer.
        """
        total = _running_total(mask)
        kept = Csr(total[self.indptr], self.indices[mask], self.n_src)
        if "transpose" in self.__dict__:
            whole = self.transpose
            still = mask[whole.order]
            indptr = _running_total(still)[whole.indptr]
            order = total[whole.order[still]]
            kept.__dict__["transpose"] = Transpose(indptr, whole.indices[still], order)
        return kept

    def among(self, mask: Tensor) -> Csr:
        """Return the adjacency on the nodes where mask ``[n_src]`` (bool) is true, numbered anew.

        For graphs whose destinations are their first sources, and whose edges all join nodes of
        the mask; their order stays.
        """
        place = mask.cumsum(0) - 1
        indptr = _running_total(self.indptr.diff()[mask[: self.n_dst]])
        found = Csr(indptr, place[self.indices], int(mask.sum()))
        if "transpose" in self.__dict__:
            by_source = _running_total(self.transpose.indptr.diff()[mask])
            order = self.transpose.order
            found.__dict__["transpose"] = Transpose(by_source, place[self.transpose.indices], order)
        return found

    def distinct(self) -> Csr:
        """Return the adjacency with edges between the same two ends taken once."""
        key = self.dst * self.n_src + self.indices
        # in order already, unless somebody has shuffled the runs
        ordered = bool((key[1:] >= key[:-1]).all())
        order = self.positions if ordered else torch.argsort(key, stable=True)
        again = torch.zeros(self.n_edges, dtype=torch.bool, device=key.device)
        again[order[1:]] = key[order[1:]] == key[order[:-1]]
        return self.kept(~again) if bool(again.any()) else self


def _offsets(ids: Tensor, n: int) -> Tensor:
    """Where the run of each of n ids begins once ids ``[E]`` are sorted: ``[n + 1]``."""
    return _running_total(torch.bincount(ids, minlength=n))


def _running_total(counts: Tensor) -> Tensor:
    """Sums of the first 0, 1, ... entries of counts ``[n]``: ``[n + 1]`` int64."""
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))
