"""The graph store as others hold it: a DGL heterograph, or one CSR a relation."""

from typing import Any

import numpy as np
import torch

from counterpoint.graph.ops import Csr
from counterpoint.graph.sampling import lazy_dgl
from counterpoint.graph.store import GraphStore

Canonical = tuple[str, str, str]  # source node type, relation, destination node type


def relation_edges(store: GraphStore) -> dict[Canonical, tuple[np.ndarray, np.ndarray]]:
    """Places of source and destination ``[E]`` of each relation, reverses included."""
    meta, edges, offsets = store.meta, store.edges, store.meta.offsets
    dst = np.repeat(np.arange(meta.n_nodes), np.diff(edges["indptr"]))
    found = {}
    for number, relation in enumerate(meta.relations):
        chosen = edges["etype"] == number
        src = edges["indices"][chosen] - offsets[relation.src]
        key = (relation.src, relation.name, relation.dst)
        found[key] = src, dst[chosen] - offsets[relation.dst]
    return found


def relation_csrs(store: GraphStore) -> dict[Canonical, Csr]:
    """Incoming adjacency of each relation."""
    csrs = {}
    for key, (src, dst) in relation_edges(store).items():
        sizes = store.meta.count(key[0]), store.meta.count(key[2])
        csrs[key], _ = Csr.from_edges(torch.from_numpy(src), torch.from_numpy(dst), *sizes)
    return csrs


def heterograph(store: GraphStore) -> Any:
    """A ``dgl.DGLGraph`` with the training edges, node features under ``dense`` and ``codes``."""
    edges = {
        key: (torch.from_numpy(src), torch.from_numpy(dst))
        for key, (src, dst) in relation_edges(store).items()
    }
    counts = {node_type.name: node_type.count for node_type in store.meta.node_types}
    graph = lazy_dgl().heterograph(edges, num_nodes_dict=counts)
    for name in counts:
        for kind in ("dense", "codes"):
            if f"{name}/{kind}" in store.features:
                graph.nodes[name].data[kind] = torch.from_numpy(store.features[f"{name}/{kind}"])
    return graph
