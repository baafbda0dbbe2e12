import numpy as np

from counterpoint.evaluation.references.nodes import node_references
from counterpoint.metrics import value


def test_what_stands_beside_a_node_task(node_store):
    found = node_references(node_store, "topic", "test")
    assert list(found) == [
        "majority class",
        "logistic regression, own features",
        "logistic regression, own and neighbours' features",
        "logistic regression, neighbours' training labels",
        "logistic regression, features and neighbours' labels",
    ]
    for parts in found.values():
        assert parts.cluster.tolist() == [5]
        assert parts.label.tolist() == [0]


def test_majority_is_the_training_frequency(node_store):
    parts = node_references(node_store, "topic", "test")["majority class"]
    np.testing.assert_allclose(parts.score, [[0.75, 0.25, 0]])
    assert value("accuracy", parts) == 1


def test_words_of_class_1_tell(make_store, node_schema, node_data):
    store = make_store(node_schema, node_data(test_label=1))
    found = node_references(store, "topic", "test")
    own = found["logistic regression, own features"].score[0, 1]
    assert own > found["majority class"].score[0, 1]


def test_a_type_without_features_or_relations_has_the_constant_alone(make_store, node_schema):
    import polars as pl

    lone = node_schema.model_copy(
        update={"node_types": {"paper": node_schema.node_types["author"]}, "relations": {}}
    )
    rows = {"id": range(4), "label": [0, 1, 0, 1], "split": ["train", "train", "valid", "test"]}
    tables = {"nodes/paper": pl.DataFrame({"id": range(4)}), "tasks/topic": pl.DataFrame(rows)}
    assert list(node_references(make_store(lone, tables), "topic", "test")) == ["majority class"]
