import numpy as np
import pytest
from scipy.special import expit, softmax
from scipy.stats import chi2

from counterpoint.data.planted import planted_preset
from counterpoint.data.planted.aminer import (
    AUTHOR_PATHS,
    PAPER_PATHS,
    RELATIONS,
    aminer_schema,
    signal_importance,
)
from counterpoint.data.planted.hidden_graph import hidden_graph, node_features
from counterpoint.data.schema import read_schema
from counterpoint.files import read_json


@pytest.fixture(scope="module")
def graph(aminer):
    return hidden_graph(aminer.config, RELATIONS)


def indicators(aminer):
    """Whether an author has a class ``[authors, classes]``."""
    rows = aminer.rows("author_classes")
    found = np.zeros((len(rows), aminer.config.latent_width), bool)
    for author, classes in enumerate(rows["label"].to_list()):
        found[author, classes] = True
    return found


def weighed(graph, config, paths, task):
    weights = signal_importance(config.relatedness)[task]
    return (
        sum(weights[name] * graph.signal(*path) for name, path in paths.items())
        / config.temperature
    )


def test_the_schema_is_written(aminer):
    schema = read_schema(aminer.folder.path)
    assert schema == aminer_schema(aminer.config)
    assert schema.tasks["paper_class"].classes == schema.tasks["author_classes"].classes == 4


def test_multi_label_rows_hold_each_class_once_and_in_order(aminer):
    rows = aminer.rows("author_classes")
    assert rows["id"].to_list() == list(range(aminer.config.authors))
    for classes in rows["label"].to_list():
        assert classes == sorted(set(classes))
        assert set(classes) <= {0, 1, 2, 3}
    counts = rows["label"].list.len()
    assert counts.min() == 0
    assert counts.max() > 1


def test_a_paper_has_one_class_of_four(aminer):
    rows = aminer.rows("paper_class")
    assert rows["id"].to_list() == list(range(aminer.config.papers))
    assert set(rows["label"]) == {0, 1, 2, 3}


def test_probabilities_are_of_the_weighed_signals(aminer, graph):
    truth = read_json(aminer.folder.path / "truth" / "truth.json")
    papers = weighed(graph, aminer.config, PAPER_PATHS, "paper_class")
    found = aminer.rows("paper_class")["bayes"].to_numpy()
    np.testing.assert_allclose(found, softmax(papers, axis=1), atol=1e-5)
    authors = weighed(graph, aminer.config, AUTHOR_PATHS, "author_classes")
    found = aminer.rows("author_classes")["bayes"].to_numpy()
    np.testing.assert_allclose(found, expit(authors + truth["bias"]["author_classes"]), atol=1e-5)


@pytest.mark.parametrize("class_rate", [0.1, 0.4])
def test_each_of_an_authors_classes_has_the_rate(plant, class_rate):
    made = plant(planted_preset("aminer", papers=2_000, authors=2_000, class_rate=class_rate))
    bayes = made.rows("author_classes")["bayes"].to_numpy()
    np.testing.assert_allclose(bayes.mean(0, dtype=float), class_rate, rtol=1e-4)
    noise = np.sqrt(class_rate * (1 - class_rate) / len(bayes))
    assert np.abs(indicators(made).mean(0) - class_rate).max() < 4 * noise


@pytest.mark.parametrize("task", ["paper_class", "author_classes"])
def test_labels_are_draws_of_the_bayes_probabilities(aminer, task):
    bayes = aminer.rows(task)["bayes"].to_numpy().astype(float)
    if task == "author_classes":
        label = indicators(aminer)
    else:
        label = aminer.rows(task)["label"].to_numpy()[:, None] == np.arange(bayes.shape[1])
    for c in range(bayes.shape[1]):
        bins = np.array_split(np.argsort(bayes[:, c]), 20)
        statistic = sum(
            (label[b, c].sum() - bayes[b, c].sum()) ** 2 / (bayes[b, c] * (1 - bayes[b, c])).sum()
            for b in bins
        )
        assert 0.001 < chi2.sf(statistic, len(bins)) < 0.999


def test_own_features_say_nothing_of_what_the_neighbours_hide(aminer, graph):
    for node_type, paths in (("paper", PAPER_PATHS), ("author", AUTHOR_PATHS)):
        features = node_features(aminer.config, graph, node_type)
        design = np.column_stack([features, np.ones(len(features))])

        def explained(signal, design=design):
            fitted = design @ np.linalg.lstsq(design, signal, rcond=None)[0]
            return 1 - ((signal - fitted) ** 2).sum() / (signal**2).sum()

        assert explained(graph.hidden[node_type]) > 0.7
        for path in paths.values():
            assert explained(graph.signal(*path)) < 0.02
