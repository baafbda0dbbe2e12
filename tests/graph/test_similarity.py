"""Similarity graphs against sets of neighbours."""

import numpy as np
import pytest
from scipy import sparse

from counterpoint.errors import UserError
from counterpoint.graph import similarity as module
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.similarity import Similarity, similar_pairs
from counterpoint.graph.store import open_store

MEASURES = ("common", "jaccard", "cosine")


def random_incidence(seed, n=40, m=25, density=0.3):
    rng = np.random.default_rng(seed)
    popularity = rng.random(m) * 2 * density
    return (rng.random((n, m)) < popularity).astype(np.int32)


def by_sets(dense, rule):
    """The definition, a pair at a time."""
    sets = [set(np.flatnonzero(row)) for row in dense]
    pairs = set()
    for a, one in enumerate(sets):
        found = []
        for b, other in enumerate(sets):
            common = len(one & other)
            enough = min(len(one), len(other)) >= rule.min_degree
            if a == b or not enough or common < rule.min_overlap:
                continue
            score = {
                "common": common,
                "jaccard": common / len(one | other),
                "cosine": common / np.sqrt(len(one) * len(other)),
            }[rule.measure]
            found.append((-score, b))
        for _, b in sorted(found)[: rule.top]:
            pairs |= {(a, b), (b, a)}
    return sorted(pairs)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("block", [1, 200, 1 << 21])
def test_pairs_equal_those_of_sets(monkeypatch, measure, block):
    monkeypatch.setattr(module, "MOST_PRODUCTS", block)
    for seed in range(3):
        dense = random_incidence(seed)
        rule = Similarity(of="user", measure=measure, top=3, min_overlap=2, min_degree=4)
        a, b = similar_pairs(sparse.csr_array(dense), rule)
        expected = by_sets(dense, rule)
        assert list(zip(a.tolist(), b.tolist(), strict=True)) == expected
        assert 0 < len(expected) < len(dense) ** 2 / 4


@pytest.mark.parametrize("most", [1, 200, 1000, 1 << 21])
def test_a_run_of_nodes_has_a_bounded_number_of_products(monkeypatch, most):
    """At most so many after its first node: twice so many in all, or as many as one node has."""
    monkeypatch.setattr(module, "MOST_PRODUCTS", most)
    for seed in range(3):
        dense = random_incidence(seed, n=60)
        dense[seed * 20] = 1  # a node with more than 200 by itself
        kept = sparse.csr_array(dense)
        products = (dense @ dense.T).sum(1)  # all common neighbours, one by one
        runs = list(module._blocks(kept, kept.T.tocsr()))
        assert np.array_equal(np.concatenate(runs), np.arange(60))
        for rows in runs:
            assert products[rows[1:]].sum() < most
            assert products[rows].sum() < 2 * most or products[rows[0]] >= most
        assert len(runs) <= 1 + products.sum() / most
        assert (len(runs) > 1) == (most < products.sum())


@pytest.mark.parametrize("measure", MEASURES)
def test_numbering_does_not_matter_but_for_ties(measure):
    dense, order = random_incidence(7), np.random.default_rng(1).permutation(40)
    rule = Similarity(of="user", measure=measure, top=40, min_overlap=3, min_degree=2)
    known = np.stack(similar_pairs(sparse.csr_array(dense), rule), axis=1)
    again = np.stack(similar_pairs(sparse.csr_array(dense[order]), rule), axis=1)
    assert {tuple(pair) for pair in order[again].tolist()} == {tuple(p) for p in known.tolist()}


def test_nobody_is_similar_without_enough_in_common():
    lonely = sparse.csr_array(np.eye(5, dtype=np.int32))
    rule = Similarity(of="user", min_overlap=1, min_degree=1)
    assert [len(ends) for ends in similar_pairs(lonely, rule)] == [0, 0]


def stored(market, path, **similarities):
    path.mkdir(parents=True, exist_ok=True)
    folder, target = market.write(path / "data"), path / "graph"
    target.mkdir()
    build_graph(folder, BuildSettings(candidates="all", similarities=similarities), target)
    return open_store(target)


LOOSE = {"min_overlap": 1, "min_degree": 1, "top": 4}


def test_relations_of_the_store(market, tmp_path):
    plain = stored(market, tmp_path / "plain")
    store = stored(
        market,
        tmp_path / "more",
        users={"of": "user", **LOOSE},
        items={"of": "item", "through": ("clicked", "similar"), **LOOSE},
    )
    users, items = store.meta.relations[-2:]
    assert (users.name, users.src, users.dst) == ("users", "user", "user")
    assert users.similarity
    assert users.derived
    dst = np.repeat(np.arange(store.meta.n_nodes), np.diff(store.edges["indptr"]))
    edges = np.stack([dst, store.edges["indices"], store.edges["etype"]])
    assert (np.lexsort(edges[::-1]) == np.arange(edges.shape[1])).all()
    old = edges[:, edges[2] < len(plain.meta.relations)]
    assert np.array_equal(old[1], plain.edges["indices"])
    rows = plain.rows("click", "train")
    dense = np.zeros((40, 30), dtype=np.int32)
    dense[tuple(rows.entity[rows.label == 1].T)] = 1
    found = edges[:2, edges[2] == len(plain.meta.relations)]
    expected = by_sets(dense, Similarity(of="user", **LOOSE))
    assert found.T.tolist() == [list(pair) for pair in expected]
    assert users.edges == len(expected)
    ring = [(a, b) for a in range(30) for b in range(30) if abs(a - b) in (1, 29)]
    dense = dense.T
    both = np.zeros((30, 70), dtype=np.int32)
    both[:, :40] = dense
    for a, b in ring:
        both[a, 40 + b] = 1
    found = edges[:2, edges[2] == len(plain.meta.relations) + 1] - 40
    expected = by_sets(both, Similarity(of="item", **LOOSE))
    assert found.T.tolist() == [list(pair) for pair in expected]
    assert items.edges == len(expected)


@pytest.mark.parametrize(
    ("name", "rule", "fault"),
    [
        ("x", {"of": "shop"}, "no node type 'shop'; there are user, item"),
        ("clicked", {"of": "user"}, "clicked is a relation already; rename it"),
        ("x", {"of": "user", "through": ("similar",)}, "similar is no relation of user; there are"),
        ("x", {"of": "user"}, "5 neighbours in common and 30 each; lower min_overlap"),
    ],
)
def test_faults(market, tmp_path, name, rule, fault):
    with pytest.raises(UserError, match=f"build.similarities.{name}: .*{fault}"):
        stored(market, tmp_path, **{name: rule})


def test_what_comes_from_no_task_must_be_named(market, tmp_path):
    market.rewrite(relations={"follows": {"src": "user", "dst": "user"}})
    del market.tables["relations/similar"]
    with pytest.raises(UserError, match="no relation of user comes from a task; name some by"):
        stored(market, tmp_path, x={"of": "user"})
