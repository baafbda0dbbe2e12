import numpy as np
import pytest

from counterpoint.data.planted import planted_preset
from counterpoint.data.planted.hidden_graph import hidden_graph
from counterpoint.data.planted.labels import probabilities
from counterpoint.data.planted.market import pair_logits as module
from counterpoint.data.planted.market.exposure import planned_exposure
from counterpoint.data.planted.market.importance import RELATIONS, relation_importance
from counterpoint.data.planted.market.pair_logits import market_biases, pair_logits

CONFIG = planted_preset("tiny", users=3000, items=2000, shops=400, brands=300, latent_width=2)


@pytest.fixture(scope="module")
def market():
    return hidden_graph(CONFIG, RELATIONS)


@pytest.fixture(scope="module")
def logits(market):
    return pair_logits(CONFIG, market)


def random_pairs(n):
    generator = np.random.default_rng(0)
    return generator.integers(0, CONFIG.users, n), generator.integers(0, CONFIG.items, n)


def test_a_logit_is_the_weighed_sum_of_the_relations_signals(market, logits):
    users, items = random_pairs(50)
    alone, together = np.sqrt(1 - CONFIG.affinity), np.sqrt(CONFIG.affinity)
    importance = relation_importance(CONFIG.relatedness, CONFIG.kinship)
    for task, weights in importance.items():
        expected = np.zeros(50)
        for name, weight in weights.items():
            here, there, other = users, items, "item"
            if RELATIONS[name].src == "item":
                here, there, other = items, users, "user"
            signal = market.signal(f"rev-{name}")[here]
            response = alone + together * market.hidden[other][there]
            expected += weight * (signal * response).sum(1) / np.sqrt(CONFIG.latent_width)
        found = logits.of(task, users, items)
        np.testing.assert_allclose(found, expected / CONFIG.temperature, atol=1e-4)


@pytest.mark.parametrize("task", ["click", "conversion", "complaint"])
def test_the_standard_deviation_of_a_logit_is_one_over_temperature(logits, task):
    found = logits.of(task, *random_pairs(200_000))
    assert found.std() * CONFIG.temperature == pytest.approx(1, abs=0.1)


def test_logits_of_two_tasks_correlate_as_their_importances(logits):
    users, items = random_pairs(200_000)
    click, conversion, complaint = (
        logits.of(task, users, items) for task in ("click", "conversion", "complaint")
    )
    assert np.corrcoef(click, complaint)[0, 1] == pytest.approx(CONFIG.relatedness, abs=0.1)
    assert np.corrcoef(click, conversion)[0, 1] == pytest.approx(CONFIG.kinship, abs=0.1)


def test_biases_meet_the_rates(logits):
    exposure = planned_exposure(CONFIG)
    biases = market_biases(CONFIG, exposure, logits)
    users, items = exposure.pairs(0)
    bayes = probabilities(
        {task: logits.of(task, users, items) for task in biases}, biases, CONFIG.parents
    )
    asked = (CONFIG.click_rate, CONFIG.conversion_rate, CONFIG.complaint_rate)
    for task, rate in zip(("click", "conversion", "complaint"), asked, strict=True):
        assert bayes[task].mean(dtype=np.float64) == pytest.approx(rate, rel=1e-4)


def test_biases_of_a_share_of_many_impressions_are_nearly_those_of_all(logits, monkeypatch):
    config = CONFIG.model_copy(update={"interactions": 40_000})
    exposure = planned_exposure(config)
    everything = market_biases(config, exposure, logits)
    monkeypatch.setattr(module, "CALIBRATION_ROWS", 10_000)
    share = market_biases(config, exposure, logits)
    for task, bias in everything.items():
        assert share[task] != bias
        assert share[task] == pytest.approx(bias, abs=0.15)
