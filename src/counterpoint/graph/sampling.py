"""Neighbour sampling over DGL: views of a few nodes, the same for the same (seed, epoch, step)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from counterpoint.data.splits import mixed_bits
from counterpoint.graph.ops import Csr
from counterpoint.graph.views import Block, TrainingGraph, View


def step_key(seed: int, epoch: int, step: int) -> int:
    """A 31-bit key for the randomness of one step."""
    bits = np.zeros(1, dtype=np.uint64)
    for part in (seed, epoch, step):
        bits = mixed_bits(bits ^ np.uint64(part))
    return int(bits[0] >> np.uint64(33))


def lazy_dgl() -> Any:
    """The module dgl, imported now."""
    # by way of the module that takes care of dgl's first import
    from counterpoint.graph.ops.dgl_backend import dgl  # type: ignore[attr-defined]

    return dgl


@contextmanager
def _one_thread() -> Iterator[None]:
    """DGL draws from one generator a thread, so by more threads it would draw otherwise."""
    threads = lazy_dgl().utils.get_num_threads()
    lazy_dgl().utils.set_num_threads(1)  # and torch's with it: they share the runtime
    try:
        yield
    finally:
        lazy_dgl().utils.set_num_threads(threads)


class NeighbourSampler:
    """Samples incoming edges layer by layer, outputs first, from the graph of training edges.

    The graph must be on the CPU, where DGL samples; views can then be moved.
    """

    def __init__(self, graph: TrainingGraph, fanouts: Sequence[int]) -> None:
        self.graph, self.fanouts = graph, tuple(fanouts)
        dgl = lazy_dgl()
        csr = graph.csr
        edge_ids = torch.arange(csr.n_edges)
        self._dgl_graph = dgl.graph(("csc", (csr.indptr, csr.indices, edge_ids)))
        self._degree = csr.indptr.diff()

    def view(
        self,
        nodes: Tensor,
        key: int,
        keep: Tensor | None = None,
        hidden: Tensor | None = None,
    ) -> View:
        """A view whose outputs are ``nodes``.

        Args:
            nodes: flat node numbers; repeated ones are taken once.
            key: of the step's randomness (:func:`step_key`).
            keep: ``[E]`` (bool) edges to sample from; None: all.
            hidden: flat numbers of nodes whose input features are taken away.
        """
        dgl, csr = lazy_dgl(), self.graph.csr
        outputs = torch.unique(nodes)
        weight, degree = None, self._degree
        if keep is not None:
            self._dgl_graph.edata["keep"] = keep.float()
            # a degree that counts a scored edge tells which pairs are positive
            lost = torch.bincount(csr.dst[~keep], minlength=csr.n_dst)
            weight, degree = "keep", degree - lost
        frontier, blocks = outputs, []
        with _one_thread():
            dgl.seed(key)
            for fanout in reversed(self.fanouts):
                sampled = dgl.sampling.sample_neighbors(
                    self._dgl_graph, frontier, fanout, prob=weight, replace=False
                )
                block, frontier = self._block(sampled, frontier, degree)
                blocks.append(block)
        taken = None if hidden is None else torch.isin(frontier, hidden)
        return replace(self._view(frontier, tuple(reversed(blocks)), outputs), hidden=taken)

    def _block(self, sampled: Any, outputs: Tensor, degree: Tensor) -> tuple[Block, Tensor]:
        src, dst = sampled.edges()
        edge = sampled.edata[lazy_dgl().EID]
        order = torch.argsort(edge)
        src, dst, edge = src[order], dst[order], edge[order]
        others = torch.unique(src)
        others = others[~torch.isin(others, outputs)]
        sources = torch.cat([outputs, others])
        place = torch.empty(self.graph.meta.n_nodes, dtype=torch.int64)
        place[sources] = torch.arange(len(sources))
        csr, by_destination = Csr.from_edges(place[src], place[dst], len(sources), len(outputs))
        etype = self.graph.etype[edge][by_destination]
        return Block(csr, etype, degree[sources], self.graph.node_type[sources]), sources

    def _view(self, sources: Tensor, blocks: tuple[Block, ...], outputs: Tensor) -> View:
        meta = self.graph.meta
        node_type = self.graph.node_type[sources]
        inputs, places = {}, []
        for number, type_meta in enumerate(meta.node_types):
            at = torch.nonzero(node_type == number).flatten()
            rows = sources[at] - meta.offsets[type_meta.name]
            inputs[type_meta.name] = self.graph.inputs[type_meta.name].at(rows)
            places.append(at)
        by_type = torch.cat(places)
        # of one type they are in order, and a copy of all inputs is spared
        order = torch.argsort(by_type) if bool((by_type.diff() < 0).any()) else None
        return View(inputs, order, node_type, blocks, outputs)
