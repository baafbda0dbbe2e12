"""Edges taken out of a step's graph by the two nodes that they join."""

import torch
from torch import Tensor

from counterpoint.graph.views import TrainingGraph


def masked_pairs(
    graph: TrainingGraph, relation: int, seeds: Tensor, share: float, generator: torch.Generator
) -> Tensor:
    """A random ``share`` of the pairs ``(v, u)`` that edges u -> v into seeds v join ``[n, 2]``.

    Parallel edges are one pair. So are, where both ends are of one type, u -> v and v -> u: were
    each drawn by itself, what is left of one would often show the other. Self-loops ask nothing.
    """
    n, meta = graph.meta.n_nodes, graph.meta.relations[relation]
    is_seed = torch.zeros(n, dtype=torch.bool)
    is_seed[seeds] = True
    dst, src = graph.csr.dst.cpu(), graph.csr.indices.cpu()
    at = is_seed[dst] & (graph.etype.cpu() == relation) & (src != dst)
    v, u = dst[at], src[at]
    if meta.src == meta.dst:
        turned = (u < v) & is_seed[u]
        v, u = torch.where(turned, u, v), torch.where(turned, v, u)
    keys = torch.unique(v * n + u)
    keys = keys[torch.rand(len(keys), generator=generator) < share]
    return torch.stack([keys // n, keys % n], dim=1)


def edges_without(graph: TrainingGraph, pairs: Tensor) -> Tensor:
    """``[E]`` (bool): all edges but those, of any relation, that join a pair in either direction.

    Of any relation, since one often tells of another: who bought has clicked.
    """
    v, u = pairs.unbind(1)
    n = graph.meta.n_nodes
    dropped = torch.unique(torch.cat([v * n + u, u * n + v]))
    keys = _edge_keys(graph)
    first = torch.searchsorted(keys, dropped)
    behind = torch.searchsorted(keys, dropped, right=True)
    change = torch.zeros(len(keys) + 1, dtype=torch.int64)
    change.index_add_(0, first, torch.ones_like(first))
    change.index_add_(0, behind, -torch.ones_like(behind))
    left: Tensor = change.cumsum(0)[:-1] == 0
    return left


def neighbour_keys(graph: TrainingGraph, nodes: Tensor) -> Tensor:
    """``v * N + u``, ascending, of each of the nodes v with itself and with its neighbours u.

    A store has the reverse of every relation, so the edges into v show all its neighbours.
    """
    n = graph.meta.n_nodes
    wanted = torch.zeros(n, dtype=torch.bool)
    wanted[nodes] = True
    with_edges = _edge_keys(graph)[wanted[graph.csr.dst.cpu()]]
    found: Tensor = torch.unique(torch.cat([with_edges, nodes * n + nodes]))
    return found


def _edge_keys(graph: TrainingGraph) -> Tensor:
    """``dst * N + src`` of each edge, ascending: edges are sorted by (dst, src)."""
    return (graph.csr.dst * graph.meta.n_nodes + graph.csr.indices).cpu()
