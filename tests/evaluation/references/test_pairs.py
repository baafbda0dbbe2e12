import numpy as np
import polars as pl
import pytest
from scipy.special import expit, logit

from counterpoint.data.schema import DataSchema
from counterpoint.evaluation.references.pairs import calibrated, pair_references, smoothed_means
from counterpoint.metrics import value

SCHEMA = DataSchema.model_validate(
    {
        "name": "shop",
        "node_types": {
            "user": {"features": [{"name": "x", "kind": "numeric"}]},
            "item": {"features": [{"name": "x", "kind": "numeric"}]},
            "tag": {},
        },
        "relations": {
            "clicked": {"from_task": "click"},
            "tagged": {"src": "item", "dst": "tag"},
        },
        "tasks": {
            "click": {"kind": "binary", "entity": ("user", "item")},
            "stars": {"kind": "regression", "entity": ("user", "item"), "role": "auxiliary"},
        },
        "split": {"by": "given"},
    }
)
USERS, ITEMS = 20, 15


def tables(seed: int = 0, flip_test: bool = False) -> dict[str, pl.DataFrame]:
    """Clicks follow the features of both ends; the split goes through the pairs."""
    rng = np.random.default_rng(seed)
    src, dst = np.divmod(rng.permutation(USERS * ITEMS), ITEMS)
    x_user, x_item = rng.normal(size=USERS), rng.normal(size=ITEMS)
    logits = 2 * x_user[src] + 2 * x_item[dst]
    label = (rng.random(len(src)) < expit(logits)).astype(int)
    split = np.repeat(["train", "valid", "test"], [200, 50, 50])
    if flip_test:
        label = np.where(split == "test", 1 - label, label)
    keys = {"src": src, "dst": dst, "split": split}
    return {
        "nodes/user": pl.DataFrame({"id": range(USERS), "x": x_user}),
        "nodes/item": pl.DataFrame({"id": range(ITEMS), "x": x_item}),
        "nodes/tag": pl.DataFrame({"id": range(2)}),
        "relations/tagged": pl.DataFrame({"src": range(ITEMS), "dst": (x_item > 0).astype(int)}),
        "tasks/click": pl.DataFrame({**keys, "label": label}),
        "tasks/stars": pl.DataFrame({**keys, "label": logits}),
    }


def test_what_stands_beside_a_binary_task(make_store):
    found = pair_references(make_store(SCHEMA, tables()), "click", "test", seed=0)
    assert list(found) == [
        "popularity",
        "item-CF",
        "SVD-14",
        "rates of both ends",
        "logistic regression, own features",
        "logistic regression, own and neighbours' features",
    ]
    assert value("auc", found["logistic regression, own features"]) > 0.8
    assert value("auc", found["rates of both ends"]) > 0.7
    for parts in found.values():
        assert value("logloss", parts) < 1  # calibrated, all of them


def test_popularity_keeps_the_order_of_training_clicks(make_store):
    store = make_store(SCHEMA, tables())
    train, test = store.rows("click", "train"), store.rows("click", "test")
    clicks = np.bincount(train.entity[train.label == 1, 1], minlength=ITEMS)
    parts = pair_references(store, "click", "test", seed=0)["popularity"]
    by_count = clicks[test.entity[:, 1]]
    assert len(np.unique(parts.score)) == len(np.unique(by_count))
    assert (np.diff(parts.score[np.argsort(by_count)]) >= 0).all()


def test_the_scored_labels_move_nothing(make_store):
    before = pair_references(make_store(SCHEMA, tables()), "click", "test", seed=0)
    flipped = make_store(SCHEMA, tables(flip_test=True), name="flipped")
    after = pair_references(flipped, "click", "test", seed=0)
    for name, parts in before.items():
        np.testing.assert_array_equal(parts.score, after[name].score)
        assert (parts.label != after[name].label).all()


def test_calibration_keeps_the_order_of_a_score_that_fails():
    rng = np.random.default_rng(0)
    score = rng.normal(size=200)
    against = (score < 0).astype(np.float32)
    found = calibrated(score, against, score)
    assert (np.diff(found[np.argsort(score)]) > 0).all()


def test_calibration_gives_probabilities():
    rng = np.random.default_rng(0)
    score = rng.normal(size=4000)
    label = (rng.random(4000) < expit(np.arcsinh(score) - 1)).astype(np.float32)
    found = calibrated(score, label, np.array([0.0, 2.0]))
    np.testing.assert_allclose(found, expit(np.arcsinh([0.0, 2.0]) - 1), atol=0.04)


def test_smoothed_means_by_hand():
    found = smoothed_means(np.array([0, 0, 2]), np.array([1.0, 1.0, 0.0]), 3, 0.5)
    np.testing.assert_allclose(found, [7 / 12, 0.5, 5 / 11])


def test_rates_of_both_ends_add_log_odds(make_store):
    store = make_store(SCHEMA, tables())
    train, test = store.rows("click", "train"), store.rows("click", "test")
    rate = train.label.mean()
    u, i = test.entity[0]
    odds = logit(rate)
    for end, node in ((0, u), (1, i)):
        of_node = train.label[train.entity[:, end] == node]
        odds += logit((of_node.sum() + 10 * rate) / (len(of_node) + 10)) - logit(rate)
    parts = pair_references(store, "click", "test", seed=0)["rates of both ends"]
    assert parts.score[0] == pytest.approx(expit(odds), rel=1e-5)


def test_what_stands_beside_a_regression(make_store):
    store = make_store(SCHEMA, tables())
    found = pair_references(store, "stars", "test", seed=0)
    assert list(found) == [
        "mean",
        "means of both ends",
        "ridge regression, own features",
        "ridge regression, own and neighbours' features",
    ]
    mean = store.rows("stars", "train").label.mean()
    np.testing.assert_allclose(found["mean"].score, mean, rtol=1e-5)
    error = {name: value("rmse", parts) for name, parts in found.items()}
    assert error["means of both ends"] < 0.7 * error["mean"]
    assert error["ridge regression, own features"] < 0.1


def test_means_of_both_ends_by_hand(make_store):
    store = make_store(SCHEMA, tables())
    train, test = store.rows("stars", "train"), store.rows("stars", "test")
    mean = train.label.mean(dtype=np.float64)
    rest = train.label - mean
    of_item = {}
    for item in range(ITEMS):
        own = train.entity[:, 1] == item
        of_item[item] = rest[own].sum() / (own.sum() + 10)
    rest = rest - np.array([of_item[item] for item in train.entity[:, 1]])
    user, item = test.entity[0]
    own = train.entity[:, 0] == user
    expected = mean + of_item[item] + rest[own].sum() / (own.sum() + 10)
    found = pair_references(store, "stars", "test", seed=0)["means of both ends"]
    assert found.score[0] == pytest.approx(expected, rel=1e-4)


def test_no_edge_that_comes_from_the_labels_is_a_feature(make_store):
    name = "logistic regression, own and neighbours' features"
    underived = {"tagged": SCHEMA.relations["tagged"]}
    without = SCHEMA.model_copy(update={"relations": underived})
    found, expected = (
        pair_references(make_store(schema, tables(), name=folder), "click", "test", 0)[name]
        for schema, folder in ((SCHEMA, "with"), (without, "without"))
    )
    np.testing.assert_array_equal(found.score, expected.score)


def test_without_static_relations_there_are_no_neighbours(make_store):
    lone = SCHEMA.model_copy(update={"relations": {"clicked": SCHEMA.relations["clicked"]}})
    found = pair_references(make_store(lone, tables()), "click", "test", seed=0)
    assert "logistic regression, own features" in found
    assert "logistic regression, own and neighbours' features" not in found


def test_many_training_rows_are_drawn_from(make_store, monkeypatch):
    monkeypatch.setattr("counterpoint.evaluation.references.pairs.MOST_ROWS", 60)
    store = make_store(SCHEMA, tables())
    name = "logistic regression, own features"
    first, again, other = (
        pair_references(store, "click", "test", seed)[name].score for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
