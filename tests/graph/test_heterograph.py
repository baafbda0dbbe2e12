import torch

from counterpoint.graph.heterograph import heterograph, relation_csrs
from counterpoint.graph.views import TrainingGraph


def test_heterograph_and_csrs_hold_the_stores_edges(market_graph: TrainingGraph) -> None:
    store = market_graph.store
    graph, csrs = heterograph(store), relation_csrs(store)
    assert graph.num_nodes() == store.meta.n_nodes
    assert graph.num_edges() == market_graph.csr.n_edges
    for relation in store.meta.relations:
        key = (relation.src, relation.name, relation.dst)
        src, dst = graph.edges(etype=key)
        theirs = set(zip(src.tolist(), dst.tolist(), strict=True))
        csr = csrs[key]
        assert set(zip(csr.indices.tolist(), csr.dst.tolist(), strict=True)) == theirs
        assert len(theirs) == relation.edges


def test_features_come_along(market_graph: TrainingGraph) -> None:
    graph = heterograph(market_graph.store)
    dense = market_graph.inputs["user"].dense
    assert dense is not None
    assert torch.equal(graph.nodes["user"].data["dense"], dense)
