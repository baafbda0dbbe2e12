import numpy as np
import pytest

from counterpoint.data.schema import Task
from counterpoint.evaluation.references.linear import (
    linear_name,
    linear_predictions,
    mean_loss,
)

RNG = np.random.default_rng(0)
DESIGN = RNG.normal(size=(300, 3)).astype(np.float32)
SIGNAL = DESIGN @ np.array([2.0, -1.0, 0.0])
NODE = {"entity": "paper"}


def fitted(task: Task, label: np.ndarray) -> np.ndarray:
    return linear_predictions(
        task, (DESIGN[:200], label[:200]), (DESIGN[200:250], label[200:250]), DESIGN[250:]
    )


def test_binary_probabilities_follow_the_signal():
    found = fitted(Task(kind="binary", **NODE), (SIGNAL > 0).astype(np.float32))
    assert found.shape == (50,)
    assert ((found > 0.5) == (SIGNAL[250:] > 0)).mean() > 0.95


def test_a_class_without_training_rows_has_probability_zero():
    label = np.where(SIGNAL > 0, 3, 1)
    found = fitted(Task(kind="multiclass", classes=5, **NODE), label)
    assert found.shape == (50, 5)
    np.testing.assert_allclose(found.sum(1), 1)
    assert (found[:, [0, 2, 4]] == 0).all()


def test_one_class_in_training_is_a_constant():
    found = fitted(Task(kind="multiclass", classes=2, **NODE), np.ones(300, np.int64))
    np.testing.assert_array_equal(found, np.tile([0.0, 1.0], (50, 1)))


def test_multilabel_has_a_model_a_class():
    label = np.stack([SIGNAL > 0, SIGNAL < 0, np.zeros(300)], axis=1).astype(np.float32)
    found = fitted(Task(kind="multilabel", classes=3, **NODE), label)
    assert ((found[:, 0] > 0.5) == (SIGNAL[250:] > 0)).mean() > 0.95
    assert np.corrcoef(found[:, 0], found[:, 1])[0, 1] < -0.9
    assert (found[:, 2] == 0).all()


def test_regression_is_ridge():
    task = Task(kind="regression", **NODE)
    np.testing.assert_allclose(fitted(task, SIGNAL + 5), SIGNAL[250:] + 5, atol=0.05)
    assert linear_name(task, "own features") == "ridge regression, own features"


def test_validation_chooses_the_penalty():
    """Noise columns and few rows: a strong penalty does better, and must be what is taken."""
    rng = np.random.default_rng(1)
    design = rng.normal(size=(140, 40)).astype(np.float32)
    label = (design[:, 0] + rng.normal(size=140) > 0).astype(np.float32)
    task = Task(kind="binary", **NODE)
    train, valid = (design[:40], label[:40]), (design[40:140], label[40:140])
    loss = mean_loss(task, valid[1], linear_predictions(task, train, valid, valid[0]))
    # chosen on nothing but the training rows, the weakest penalty would win
    overfitted = mean_loss(task, valid[1], linear_predictions(task, train, train, valid[0]))
    assert loss < overfitted


@pytest.mark.parametrize(
    ("kind", "label", "score", "loss"),
    [
        ("regression", [1.0, 3.0], [2.0, 1.0], 2.5),
        ("binary", [1.0, 0.0], [0.5, 0.75], np.log(2) * 1.5),
        ("multiclass", [1, 0], [[0.5, 0.5], [0.25, 0.75]], np.log(2) * 1.5),
        ("multilabel", [[1.0, 0.0]], [[0.5, 0.75]], np.log(2) * 1.5),
    ],
)
def test_mean_loss_by_hand(kind, label, score, loss):
    classes = {"classes": 2} if kind.startswith("multi") else {}
    task = Task(kind=kind, **classes, **NODE)
    assert mean_loss(task, np.array(label), np.array(score)) == pytest.approx(loss)
