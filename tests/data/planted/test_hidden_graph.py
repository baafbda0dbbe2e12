import numpy as np
import pytest

from counterpoint.data.planted import planted_preset
from counterpoint.data.planted.hidden_graph import (
    HiddenGraph,
    PlantedRelation,
    hidden_graph,
    node_features,
)
from counterpoint.data.planted.market.importance import RELATIONS

SOLD = {"sold_by": PlantedRelation("item", "shop")}
CONFIG = planted_preset("tiny", users=2000, latent_width=2, noise_columns=3)


@pytest.fixture(scope="module")
def market():
    return hidden_graph(CONFIG, RELATIONS)


def test_neighbour_signal_is_the_standardised_mean_of_the_tails():
    hidden = {
        "item": np.zeros((3, 1), np.float32),
        "shop": np.array([[1.0], [5.0]], np.float32),
    }
    edges = {"sold_by": (np.array([0, 0, 1]), np.array([0, 1, 1]))}
    means = np.array([3.0, 5.0, 0.0])  # the third item has no shop
    expected = (means - means.mean()) / means.std()
    found = HiddenGraph(hidden, edges, SOLD).signal("rev-sold_by")
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)


def test_along_a_path_each_step_takes_the_mean_of_what_the_one_before_brought():
    hidden = {
        "item": np.array([[2.0], [4.0], [9.0]], np.float32),
        "shop": np.array([[1.0], [5.0]], np.float32),
    }
    edges = {"sold_by": (np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1]))}
    graph = HiddenGraph(hidden, edges, SOLD)
    at_shops = np.array([2.0, (2 + 4 + 9) / 3])
    back = np.array([at_shops.mean(), at_shops[1], at_shops[1]])
    for path, expected in ((["sold_by"], at_shops), (["sold_by", "rev-sold_by"], back)):
        standard = (expected - expected.mean()) / expected.std()
        np.testing.assert_allclose(graph.signal(*path)[:, 0], standard, rtol=1e-6)


@pytest.mark.parametrize("relation", RELATIONS)
def test_edges_join_nodes_that_exist_and_repeat_none(market, relation):
    head, tail = RELATIONS[relation].src, RELATIONS[relation].dst
    heads, tails = market.edges[relation]
    assert 0 <= heads.min() <= heads.max() < CONFIG.sizes[head]
    assert 0 <= tails.min() <= tails.max() < CONFIG.sizes[tail]
    assert len(set(zip(heads.tolist(), tails.tolist(), strict=True))) == len(heads)


@pytest.mark.parametrize("relation", ["sold_by", "of_brand"])
def test_an_item_has_one_shop_and_one_brand(market, relation):
    assert market.edges[relation][0].tolist() == list(range(CONFIG.items))


@pytest.mark.parametrize("relation", ["knows", "bundled_with"])
def test_relations_within_a_type_go_both_ways_without_loops(market, relation):
    heads, tails = (ends.tolist() for ends in market.edges[relation])
    edges = set(zip(heads, tails, strict=True))
    assert edges == set(zip(tails, heads, strict=True))
    assert all(head != tail for head, tail in edges)


def test_own_features_show_the_own_signal_and_nothing_of_the_neighbours(market):
    features = node_features(CONFIG, market, "user")
    assert features.shape == (2000, CONFIG.signal_columns + 3)

    def explained(signal):
        design = np.column_stack([features, np.ones(len(features))])
        fitted = design @ np.linalg.lstsq(design, signal, rcond=None)[0]
        return 1 - ((signal - fitted) ** 2).sum() / ((signal - signal.mean(0)) ** 2).sum()

    assert explained(market.hidden["user"]) > 0.7
    for relation in ("follows", "likes", "knows"):
        assert explained(market.signal(f"rev-{relation}")) < 0.02


def test_noise_columns_are_noise(market):
    noise = node_features(CONFIG, market, "user")[:, CONFIG.signal_columns :]
    correlation = np.corrcoef(noise.T, market.hidden["user"].T)[:3, 3:]
    assert np.abs(correlation).max() < 0.08
    assert noise.std() == pytest.approx(1, abs=0.05)


def test_feature_noise_has_the_standard_deviation_that_was_asked_for():
    config = planted_preset("tiny", users=5000, feature_noise=0.25)
    loud, quiet = config, config.model_copy(update={"feature_noise": 0.0})
    market = hidden_graph(config, RELATIONS)
    noise = node_features(loud, market, "user") - node_features(quiet, market, "user")
    assert noise[:, : config.signal_columns].std() == pytest.approx(0.25, rel=0.03)
    assert not noise[:, config.signal_columns :].any()
