import numpy as np
import polars as pl
import pytest
from scipy.special import expit
from scipy.stats import chi2
from sklearn.metrics import roc_auc_score

from counterpoint.data.planted import planted_preset
from counterpoint.data.planted.hidden_graph import hidden_graph, node_features
from counterpoint.data.planted.logistic import (
    PATHS,
    RELATIONS,
    customer_logits,
    logistic_schema,
    signal_importance,
)
from counterpoint.data.planted.tables import SECONDS
from counterpoint.data.schema import read_schema
from counterpoint.data.splits import assigned_rows
from counterpoint.files import read_json

TASKS = ("interest", "contract")


@pytest.fixture(scope="module")
def graph(logistic):
    return hidden_graph(logistic.config, RELATIONS)


def test_the_schema_is_written(logistic):
    assert read_schema(logistic.folder.path) == logistic_schema(logistic.config)


def test_every_customer_is_a_row_of_both_tasks_at_one_time(logistic):
    interest, contract = (logistic.rows(task) for task in TASKS)
    assert interest["id"].to_list() == list(range(logistic.config.customers))
    assert interest.select("id", "time").equals(contract.select("id", "time"))
    assert 0 <= interest["time"].min() < interest["time"].max() < SECONDS


def test_contracts_are_of_the_interested(logistic):
    interest, contract = (logistic.rows(task) for task in TASKS)
    assert (contract["label"] <= interest["label"]).all()
    assert (contract["bayes"] <= interest["bayes"]).all()
    assert 0 < contract["label"].sum() < interest["label"].sum()


@pytest.mark.parametrize("task", TASKS)
def test_the_rate_is_hit_within_binomial_noise(logistic, task):
    rows, rate = logistic.rows(task), logistic.config.rates[task]
    assert rows["bayes"].mean() == pytest.approx(rate, rel=1e-4)
    assert abs(rows["label"].mean() - rate) < 3 * np.sqrt(rate * (1 - rate) / len(rows))
    stated = read_json(logistic.folder.path / "truth" / "truth.json")["rate"][task]
    assert stated["expected"] == pytest.approx(rate, rel=1e-4)
    assert stated["achieved"] == pytest.approx(rows["label"].mean(), abs=1e-12)


@pytest.mark.parametrize("contract_rate", [0.005, 0.0007])
@pytest.mark.parametrize("relatedness", [-0.5, 0.9])
def test_rare_rates_are_met_at_any_relatedness(plant, contract_rate, relatedness):
    dials = {"interest_rate": 0.02, "contract_rate": contract_rate, "relatedness": relatedness}
    made = plant(planted_preset("logistic_tiny", **dials))
    for task, rate in made.config.rates.items():
        assert made.rows(task)["bayes"].mean() == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize("task", TASKS)
def test_labels_are_bernoulli_draws_of_the_bayes_probability(logistic, task):
    rows = logistic.rows(task).sort("bayes")
    label, bayes = rows["label"].to_numpy(), rows["bayes"].to_numpy().astype(float)
    bins = np.array_split(np.arange(len(rows)), 20)
    statistic = sum(
        (label[b].sum() - bayes[b].sum()) ** 2 / (bayes[b] * (1 - bayes[b])).sum() for b in bins
    )
    assert 0.001 < chi2.sf(statistic, len(bins)) < 0.999


def test_a_probability_is_the_sigmoid_of_the_weighed_signals(logistic, graph):
    truth = read_json(logistic.folder.path / "truth" / "truth.json")
    bayes = {}
    for task in TASKS:
        signals = sum(
            weight * graph.signal(*truth["paths"][name])[:, 0]
            for name, weight in truth["importance"][task].items()
        )
        bayes[task] = expit(signals / logistic.config.temperature + truth["bias"][task])
    bayes["contract"] = np.minimum(bayes["contract"], bayes["interest"])
    for task in TASKS:
        found = logistic.rows(task)["bayes"].to_numpy()
        np.testing.assert_allclose(found, bayes[task], atol=1e-5)


@pytest.mark.parametrize("relatedness", [-0.5, 0.1, 0.5, 0.9])
def test_logits_correlate_as_the_importances(logistic, graph, relatedness):
    config = logistic.config.model_copy(update={"relatedness": relatedness})
    logits = customer_logits(config, graph)
    for found in logits.values():
        assert found.std() * config.temperature == pytest.approx(1, abs=0.05)
    assert np.corrcoef(*logits.values())[0, 1] == pytest.approx(relatedness, abs=0.05)


def test_hidden_numbers_are_summed_to_a_logit_of_the_same_deviation(logistic):
    config = logistic.config.model_copy(update={"latent_width": 3})
    logits = customer_logits(config, hidden_graph(config, RELATIONS))
    for found in logits.values():
        assert found.std() * config.temperature == pytest.approx(1, abs=0.05)


def test_every_signal_matters_to_a_task():
    weights = signal_importance(0.5)
    assert {name for task in TASKS for name, w in weights[task].items() if w} == set(PATHS)


def test_an_account_belongs_to_one_customer(graph, logistic):
    accounts, _ = graph.edges["belongs"]
    assert accounts.tolist() == list(range(logistic.config.accounts))


def test_own_features_say_nothing_of_what_the_neighbours_hide(logistic, graph):
    features = node_features(logistic.config, graph, "customer")
    design = np.column_stack([features, np.ones(len(features))])

    def explained(signal):
        fitted = design @ np.linalg.lstsq(design, signal, rcond=None)[0]
        return 1 - ((signal - fitted) ** 2).sum() / ((signal - signal.mean(0)) ** 2).sum()

    assert explained(graph.hidden["customer"]) > 0.7
    for path in PATHS.values():
        assert explained(graph.signal(*path)) < 0.005


@pytest.mark.parametrize("task", TASKS)
def test_no_own_feature_tells_the_label(logistic, task):
    rows = logistic.rows(task)
    nodes = logistic.folder.scan("nodes/customer").collect()
    assert roc_auc_score(rows["label"], rows["bayes"]) > 0.75
    for feature in nodes.columns[1:]:
        assert roc_auc_score(rows["label"], nodes[feature]) == pytest.approx(0.5, abs=0.05)


def test_the_latest_customers_are_the_test_customers(logistic):
    rows = assigned_rows(logistic.folder, "contract").collect()
    ends = rows.group_by("split").agg(first=pl.col("time").min(), last=pl.col("time").max())
    of = {row["split"]: row for row in ends.iter_rows(named=True)}
    assert of["train"]["last"] < of["valid"]["first"]
    assert of["valid"]["last"] < of["test"]["first"]
    shares = dict(rows["split"].value_counts(normalize=True).iter_rows())
    assert shares == pytest.approx({"train": 0.5, "valid": 0.15, "test": 0.35}, abs=0.01)
