import numpy as np
import polars as pl
import pytest

from counterpoint.data.schema import DataSchema
from counterpoint.errors import UserError
from counterpoint.evaluation.references.planted import bayes_reference

SCHEMA = DataSchema.model_validate(
    {
        "name": "planted",
        "node_types": {"user": {}, "item": {}},
        "tasks": {"click": {"kind": "binary", "entity": ("user", "item")}},
        "split": {"by": "given"},
    }
)
PAIRS = {"src": ["b", "a", "b", "a"], "dst": [7, 5, 5, 7]}


def make(make_store, folder, truth_rows=4):
    """A store beside a truth whose rows stand in another order; users have names, items numbers."""
    tables = {
        "nodes/user": pl.DataFrame({"id": ["a", "b"]}),
        "nodes/item": pl.DataFrame({"id": [7, 5]}),
        "tasks/click": pl.DataFrame(
            {**PAIRS, "label": [0, 1, 1, 0], "split": ["test", "train", "test", "valid"]}
        ),
    }
    store = make_store(SCHEMA, tables)
    (folder / "data" / "truth").mkdir()
    truth = pl.DataFrame({**PAIRS, "bayes": [0.1, 0.2, 0.3, 0.4]}).reverse()[:truth_rows]
    truth.write_parquet(folder / "data" / "truth" / "click.parquet")
    return store


def test_rows_find_their_probability_by_id(make_store, tmp_path):
    store = make(make_store, tmp_path)
    parts = bayes_reference(store, "click", "test", tmp_path / "data")
    np.testing.assert_allclose(parts.score, [0.1, 0.3])
    assert parts.label.tolist() == [0, 1]
    assert parts.cluster.tolist() == [1, 1]


def test_no_truth_no_reference(make_store, tmp_path):
    store = make(make_store, tmp_path)
    assert bayes_reference(store, "click", "test", None) is None
    assert bayes_reference(store, "click", "test", tmp_path) is None


def test_a_truth_that_lacks_a_row_is_named(make_store, tmp_path):
    store = make(make_store, tmp_path, truth_rows=3)
    with pytest.raises(UserError, match=r"click\.parquet: holds 1 of the 2 test rows"):
        bayes_reference(store, "click", "test", tmp_path / "data")


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_tasks_of_several_classes_have_a_probability_a_class(kind, make_store, tmp_path):
    task = {"kind": kind, "entity": "user", "classes": 3}
    schema = DataSchema.model_validate(
        {
            "name": "planted",
            "node_types": {"user": {}},
            "tasks": {"topic": task},
            "split": {"by": "given"},
        }
    )
    label = [0, 2, 1, 1] if kind == "multiclass" else [[0], [], [1, 2], [1]]
    split = ["train", "test", "test", "valid"]
    rows = {"id": ["a", "b", "c", "d"], "label": label, "split": split}
    nodes = pl.DataFrame({"id": ["c", "d", "b", "a"]})
    store = make_store(schema, {"nodes/user": nodes, "tasks/topic": pl.DataFrame(rows)})
    (tmp_path / "data" / "truth").mkdir()
    bayes = np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.1, 0.7, 0.2], [1, 0, 0]], np.float32)
    truth = pl.DataFrame({"id": rows["id"], "bayes": bayes})
    truth.write_parquet(tmp_path / "data" / "truth" / "topic.parquet")
    parts = bayes_reference(store, "topic", "test", tmp_path / "data")
    np.testing.assert_allclose(parts.score, bayes[1:3])
