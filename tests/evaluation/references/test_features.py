import numpy as np
import polars as pl

from counterpoint.data.schema import Relation
from counterpoint.evaluation.references.features import (
    beside,
    neighbour_labels,
    neighbour_means,
    own_features,
)


def test_own_features_are_columns_codes_and_bags(node_store):
    dense, codes, words = own_features(node_store, "paper")
    assert dense.shape == (6, 1)
    # 0 stands for unseen values, then a and b
    np.testing.assert_array_equal(codes.toarray()[:2], [[0, 1, 0], [0, 0, 1]])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(words.toarray()[0], [half, half, 0, 0], rtol=1e-6)
    assert own_features(node_store, "author") == []
    assert beside([dense, codes, words]).shape == (6, 8)


def test_neighbour_means_by_relation(node_store):
    writers, *cited_by = neighbour_means(node_store, "paper", derived=True)
    # paper 1 is written by authors 0 and 1, who have no features but themselves
    np.testing.assert_allclose(writers.toarray()[1], [0.5**0.5, 0.5**0.5, 0], rtol=1e-6)
    age = own_features(node_store, "paper")[0]
    # cites runs from 3 and 0 to 5, from 1 to 0; then come the reverse relation's blocks
    np.testing.assert_allclose(cited_by[0][5], (age[3] + age[0]) / 2, rtol=1e-6)
    assert cited_by[0][2] == 0
    np.testing.assert_allclose(cited_by[3][1], age[0], rtol=1e-6)


def test_neighbour_labels_without_the_own_one(node_store):
    writes, cites, _ = neighbour_labels(node_store, "topic")
    # paper 0 shares author 0 with 1 (class 0) and 4 (valid: not known); its own 0 is taken out
    np.testing.assert_allclose(writes[0], [1, 0, 0], atol=1e-6)
    # paper 2's author wrote nothing else
    np.testing.assert_array_equal(writes[2], [0, 0, 0])
    # paper 1 meets 0 (class 0) through author 0 and 3 (class 1) through author 1, both with 3
    np.testing.assert_allclose(writes[1], [0.5, 0.5, 0], atol=1e-6)
    # paper 5 is cited by 3 (class 1) and 0 (class 0)
    np.testing.assert_allclose(cites[5], [0.5, 0.5, 0], atol=1e-6)


def test_a_busy_author_counts_for_less(make_store, node_schema, node_data):
    tables = node_data()
    writes = tables["relations/writes"]
    tables["relations/writes"] = pl.concat([writes, pl.DataFrame({"src": [2, 2], "dst": [1, 0]})])
    shares = neighbour_labels(make_store(node_schema, tables), "topic")[0]
    # paper 1 meets 0 through author 0, 3 through author 1, 0 and 2 through author 2; all have three
    np.testing.assert_allclose(shares[1], [3 / 4, 1 / 4, 0], atol=1e-6)
    tables["relations/writes"] = pl.concat([writes, pl.DataFrame({"src": [0, 0], "dst": [5, 3]})])
    shares = neighbour_labels(make_store(node_schema, tables, name="busy"), "topic")[0]
    # author 0 has five papers: a fifth each for 0 and 3 through 0, a third for 3 through 1
    np.testing.assert_allclose(shares[1], [3 / 11, 8 / 11, 0], atol=1e-6)


def test_derived_relations_only_when_asked_for(make_store, link_schema, link_data):
    schema = link_schema.model_copy(update={"relations": {"bought": Relation(from_task="buy")}})
    store = make_store(schema, link_data())
    assert len(neighbour_means(store, "user", derived=True)) == 1
    assert neighbour_means(store, "user", derived=False) == []
