"""What a model sees of a graph: node inputs and one block of edges a layer."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding

from counterpoint.graph.ops import Csr
from counterpoint.graph.store import GraphStore


@dataclass(frozen=True)
class TypeInput:
    """Inputs of the nodes of one type.

    Shapes: ``ids [n]`` places within the type; ``dense [n, F]``; ``codes [n, C]``; ``bags`` one
    :class:`Csr` ``[n, vocabulary]`` each. ``whole`` says that ids are all of the type, in order.
    """

    ids: Tensor
    dense: Tensor | None
    codes: Tensor | None
    bags: dict[str, Csr]
    whole: bool = False

    def of_nodes(self, table: Tensor) -> Tensor:
        """Rows ``[n, d]`` of a table over all nodes of the type."""
        # all rows need no gathering, nor scattering in each backward pass
        return table if self.whole else embedding(self.ids, table)

    def to(self, device: torch.device) -> "TypeInput":
        """The same inputs on a device."""
        return TypeInput(
            ids=self.ids.to(device),
            dense=None if self.dense is None else self.dense.to(device),
            codes=None if self.codes is None else self.codes.to(device),
            bags={name: bag.to(device) for name, bag in self.bags.items()},
            whole=self.whole,
        )

    def at(self, rows: Tensor) -> "TypeInput":
        """The same inputs for some of the nodes."""
        return TypeInput(
            ids=self.ids[rows],
            dense=None if self.dense is None else self.dense[rows],
            codes=None if self.codes is None else self.codes[rows],
            bags={name: _csr_rows(bag, rows) for name, bag in self.bags.items()},
        )


def _csr_rows(csr: Csr, rows: Tensor) -> Csr:
    starts, ends = csr.indptr[rows], csr.indptr[rows + 1]
    lengths = ends - starts
    indptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    within = torch.arange(int(indptr[-1]), device=rows.device)
    within = within - torch.repeat_interleave(indptr[:-1], lengths)
    places = torch.repeat_interleave(starts, lengths) + within
    return Csr(indptr, csr.indices[places], csr.n_src)


@dataclass(frozen=True)
class RelationEdges:
    """The edges of one relation in a block, with nodes numbered within their types.

    Shapes: ``places [E_r]`` of the edges in the block; ``dst [n_d]`` and ``src [n_s]``, rows of
    the block that hold the nodes of the two types; ``csr`` is ``[n_d, n_s]``.
    """

    relation: int
    dst_type: int
    src_type: int
    csr: Csr
    places: Tensor
    dst: Tensor
    src: Tensor


@dataclass(frozen=True)
class Block:
    """Edges of one layer. The destinations are the first ``csr.n_dst`` of the sources.

    Shapes: ``etype [E]``; ``degree [n_src]``, incoming edges of each source node in the graph that
    the block was taken from, which is more than in the block when it was sampled;
    ``node_type [n_src]``.
    """

    csr: Csr
    etype: Tensor
    degree: Tensor
    node_type: Tensor

    @cached_property
    def by_relation(self) -> tuple[RelationEdges, ...]:
        """The edges of each relation that has any here."""
        n_dst = self.csr.n_dst
        numbers, n_types = torch.unique(self.etype).tolist(), len(torch.bincount(self.node_type))
        rows = [torch.nonzero(self.node_type == t).flatten() for t in range(n_types)]
        within = torch.empty_like(self.node_type)
        for found in rows:
            within[found] = torch.arange(len(found), device=within.device)
        return tuple(self._relation(number, rows, within, n_dst) for number in numbers)

    def _relation(
        self, number: int, rows: list[Tensor], within: Tensor, n_dst: int
    ) -> RelationEdges:
        places = torch.nonzero(self.etype == number).flatten()
        first = places[0]
        dst_type = int(self.node_type[self.csr.dst[first]])
        src_type = int(self.node_type[self.csr.indices[first]])
        dst, src = rows[dst_type][rows[dst_type] < n_dst], rows[src_type]
        degree = torch.bincount(within[self.csr.dst[places]], minlength=len(dst))
        indptr = torch.nn.functional.pad(degree.cumsum(0), (1, 0))
        csr = Csr(indptr, within[self.csr.indices[places]], len(src))
        return RelationEdges(number, dst_type, src_type, csr, places, dst, src)

    @cached_property
    def is_whole(self) -> bool:
        """Whether all edges into its destinations are there."""
        return torch.equal(self.at_destinations(self.degree), self.csr.indptr.diff())

    def at_destinations(self, values: Tensor) -> Tensor:
        """Rows ``[n_dst, ...]`` of the destinations among the sources' ``[n_src, ...]``."""
        # a slice that takes all would still be copied back into zeros by each backward pass
        return values if len(values) == self.csr.n_dst else values[: self.csr.n_dst]

    def to(self, device: torch.device) -> "Block":
        """The same block on a device."""
        rest = (self.etype.to(device), self.degree.to(device), self.node_type.to(device))
        return Block(self.csr.to(device), *rest)


@dataclass(frozen=True)
class View:
    """Input of one encoding.

    ``inputs`` go by node type; ``order [n]`` puts their concatenation into the order of the first
    block's sources (None: it is that order). ``rows [n_out]`` are the flat node numbers of the
    outputs, sorted (None: all nodes of the graph in order). ``node_type [n]`` is the place of each
    source's type in the store's list. ``hidden [n]`` (bool) are sources whose input is taken away.
    """

    inputs: dict[str, TypeInput]
    order: Tensor | None
    node_type: Tensor
    blocks: tuple[Block, ...]
    rows: Tensor | None = None
    hidden: Tensor | None = None

    def to(self, device: torch.device) -> "View":
        """The same view on a device; sampling happens on the CPU."""
        return View(
            inputs={name: inputs.to(device) for name, inputs in self.inputs.items()},
            order=None if self.order is None else self.order.to(device),
            node_type=self.node_type.to(device),
            blocks=tuple(block.to(device) for block in self.blocks),
            rows=None if self.rows is None else self.rows.to(device),
            hidden=None if self.hidden is None else self.hidden.to(device),
        )

    def local(self, nodes: Tensor) -> Tensor:
        """Rows of the output that hold the flat node numbers ``nodes``."""
        return nodes if self.rows is None else torch.searchsorted(self.rows, nodes)


class TrainingGraph:
    """The graph of training edges on a device; makes full-graph views."""

    def __init__(self, store: GraphStore, device: torch.device | str = "cpu") -> None:
        self.store, self.meta, self.device = store, store.meta, torch.device(device)
        edges = {name: torch.from_numpy(array) for name, array in store.edges.items()}
        self.csr = Csr(edges["indptr"], edges["indices"], self.meta.n_nodes).to(self.device)
        assert self.csr.transpose  # made now, so that each step's view thins it out, not sorts it
        self.etype = edges["etype"].to(self.device, torch.int64)
        derived = [relation.derived for relation in self.meta.relations]
        self.derived = torch.tensor(derived, dtype=torch.bool, device=self.device)
        apart = store.left_out if store.left_out is not None else np.zeros(self.meta.n_nodes, bool)
        self.left_out = torch.from_numpy(apart)  # where objectives draw: on the CPU
        counts = torch.tensor([t.count for t in self.meta.node_types])
        self.node_type = torch.repeat_interleave(torch.arange(len(counts)), counts).to(self.device)
        self.inputs = {t.name: self._type_input(t.name, t.count) for t in self.meta.node_types}

    def _type_input(self, name: str, count: int) -> TypeInput:
        def array(key: str) -> Tensor | None:
            found: np.ndarray | None = self.store.features.get(f"{name}/{key}")
            return None if found is None else torch.from_numpy(found).to(self.device)

        bags = {}
        meta = next(t for t in self.meta.node_types if t.name == name)
        for bag, size in meta.bags.items():
            indptr, indices = array(f"{bag}.indptr"), array(f"{bag}.indices")
            assert indptr is not None
            assert indices is not None
            bags[bag] = Csr(indptr, indices, size)
        ids = torch.arange(count, device=self.device)
        return TypeInput(ids, array("dense"), array("codes"), bags, whole=True)

    @cached_property
    def _keys(self) -> Tensor:
        """``dst * N + src`` of each edge, ascending: edges are sorted by (dst, src)."""
        return self.csr.dst * self.meta.n_nodes + self.csr.indices

    @cached_property
    def _most_parallel(self) -> int:
        """The largest number of edges that join one ordered pair of nodes."""
        if not self.csr.n_edges:
            return 0
        return int(torch.unique_consecutive(self._keys, return_counts=True)[1].max())

    def kept_edges(self, pairs: Tensor | None) -> Tensor | None:
        """``[E] bool``: all edges but the derived ones, either way, that join a scored pair.

        Args:
            pairs: ``[n, 2]`` flat node numbers.
        """
        if pairs is None or not len(pairs) or not bool(self.derived.any()):
            return None
        n = self.meta.n_nodes
        scored = torch.cat([pairs[:, 1] * n + pairs[:, 0], pairs[:, 0] * n + pairs[:, 1]])
        first = torch.searchsorted(self._keys, scored)
        keep = torch.ones(self.csr.n_edges, dtype=torch.bool, device=self.device)
        for step in range(self._most_parallel):
            place = (first + step).clamp(max=self.csr.n_edges - 1)
            hit = place[(self._keys[place] == scored) & self.derived[self.etype[place]]]
            keep[hit] = False
        return keep

    @cached_property
    def _whole(self) -> Block:
        """All edges: one object, so that what layers derive from it is derived once."""
        return Block(self.csr, self.etype, self.csr.indptr.diff(), self.node_type)

    def view(self, layers: int, keep: Tensor | None = None, hidden: Tensor | None = None) -> View:
        """The whole graph, ``layers`` deep.

        Args:
            layers: number of blocks.
            keep: ``[E]`` (bool) edges to leave in; None: all.
            hidden: flat numbers of nodes whose input features are taken away.
        """
        block = self._whole
        if keep is not None:
            csr = self.csr.kept(keep)
            block = Block(csr, self.etype[keep], csr.indptr.diff(), self.node_type)
        taken = None
        if hidden is not None:
            taken = torch.zeros(self.meta.n_nodes, dtype=torch.bool, device=self.device)
            taken[hidden] = True
        return View(self.inputs, None, self.node_type, (block,) * layers, hidden=taken)
