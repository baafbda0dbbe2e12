import numpy as np
import pytest

from counterpoint.data.planted.labels import calibrated_biases, drawn_labels, probabilities

PARENTS = {"conversion": "click"}


def test_a_conversion_is_never_likelier_than_its_click():
    logits = {
        "click": np.array([0.0, 2.0], np.float32),
        "conversion": np.array([3.0, 1.0], np.float32),
    }
    bayes = probabilities(logits, {"click": 0.0, "conversion": 0.0}, PARENTS)
    np.testing.assert_allclose(bayes["conversion"], [0.5, 1 / (1 + np.exp(-1))], rtol=1e-6)


def test_labels_are_drawn_with_their_probability_and_conversions_are_clicks():
    n = 100_000
    bayes = {
        "click": np.full(n, 0.4, np.float32),
        "conversion": np.full(n, 0.1, np.float32),
        "complaint": np.full(n, 0.4, np.float32),
    }
    labels = drawn_labels(bayes, PARENTS, np.random.default_rng(0))
    for task, probability in (("click", 0.4), ("conversion", 0.1), ("complaint", 0.4)):
        assert labels[task].mean() == pytest.approx(probability, abs=0.006)
    assert (labels["conversion"] <= labels["click"]).all()
    both = (labels["click"] & labels["complaint"]).mean()
    assert both == pytest.approx(0.16, abs=0.006)


def test_biases_meet_the_rates_of_nested_tasks():
    generator = np.random.default_rng(0)
    logits = {
        task: generator.normal(0, 3, 20_000).astype(np.float32) for task in ("click", "conversion")
    }
    rates = {"click": 0.1, "conversion": 0.03}
    biases = calibrated_biases(logits, rates, PARENTS)
    bayes = probabilities(logits, biases, PARENTS)
    assert (bayes["conversion"] == bayes["click"]).any()
    for task, rate in rates.items():
        assert bayes[task].mean(dtype=np.float64) == pytest.approx(rate, rel=1e-4)
    alone = calibrated_biases({"a": logits["conversion"]}, {"a": 0.03}, {})["a"]
    assert biases["conversion"] > alone + 0.5  # what the cap takes, the bias gives back
