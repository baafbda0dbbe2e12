import json

import numpy as np
import polars as pl
import pytest
from scipy.stats import chi2
from sklearn.metrics import roc_auc_score

from counterpoint.data.checks import faults
from counterpoint.data.planted import planted_preset
from counterpoint.data.planted.market import exposure
from counterpoint.data.planted.market.generate import market_schema, write_market
from counterpoint.data.planted.streams import random_stream
from counterpoint.data.planted.tables import SECONDS
from counterpoint.data.schema import read_schema
from counterpoint.data.splits import assigned_rows
from counterpoint.files import read_json

TASKS = ("click", "conversion", "complaint")


def test_the_folder_has_no_fault(market):
    assert faults(market.folder) == []
    assert read_schema(market.folder.path) == market_schema(market.config)


@pytest.mark.parametrize("by", ["random", "time"])
def test_it_can_be_split(plant, by):
    split = {"by": by, "valid": 0.2, "test": 0.3}
    made = plant(planted_preset("tiny", split=split))
    assert faults(made.folder) == []
    shares = assigned_rows(made.folder, "click").collect()["split"].value_counts(normalize=True)
    for name, share in (("train", 0.5), ("valid", 0.2), ("test", 0.3)):
        assert shares.filter(split=name)["proportion"].item() == pytest.approx(share, abs=0.04)


def test_sizes_are_the_dials(market):
    for node_type, size in market.config.sizes.items():
        assert market.folder.scan(f"nodes/{node_type}").collect().height == size
    rows = market.rows("click")
    assert len(rows) == market.config.interactions
    assert rows.select("src", "dst").is_unique().all()
    assert 0 <= rows["time"].min() < rows["time"].max() < SECONDS


def test_the_tasks_judge_the_same_impressions_and_conversions_are_clicks(market):
    click, conversion, complaint = (market.rows(task) for task in TASKS)
    keys = ["src", "dst", "time"]
    assert click.select(keys).equals(conversion.select(keys))
    assert click.select(keys).equals(complaint.select(keys))
    assert (conversion["label"] <= click["label"]).all()


def test_without_a_funnel_conversions_need_no_click(plant):
    made = plant(planted_preset("tiny", funnel=False, conversion_rate=0.2))
    assert faults(made.folder) == []
    assert read_schema(made.folder.path).tasks["conversion"].parent is None
    click, conversion = (made.rows(task)["label"] for task in ("click", "conversion"))
    assert (conversion > click).sum() > 0
    assert conversion.mean() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("task", TASKS)
def test_the_rate_is_hit_within_binomial_noise(market, task):
    rows, rate = market.rows(task), getattr(market.config, f"{task}_rate")
    assert rows["bayes"].mean() == pytest.approx(rate, rel=1e-4)
    noise = np.sqrt(rate * (1 - rate) / len(rows))
    assert abs(rows["label"].mean() - rate) < 3 * noise


@pytest.mark.parametrize("task", TASKS)
def test_labels_are_bernoulli_draws_of_the_bayes_probability(market, task):
    rows = market.rows(task).sort("bayes")
    label, bayes = rows["label"].to_numpy(), rows["bayes"].to_numpy().astype(float)
    bins = np.array_split(np.arange(len(rows)), 20)
    statistic = sum(
        (label[b].sum() - bayes[b].sum()) ** 2 / (bayes[b] * (1 - bayes[b])).sum() for b in bins
    )
    assert 0.001 < chi2.sf(statistic, len(bins)) < 0.999


@pytest.mark.parametrize("task", TASKS)
def test_no_single_feature_comes_near_the_bayes_score(market, task):
    rows = market.rows(task)
    label = rows["label"].to_numpy()
    bayes = roc_auc_score(label, rows["bayes"].to_numpy())
    for end, key in (("user", "src"), ("item", "dst")):
        nodes = market.folder.scan(f"nodes/{end}").collect()
        for feature in nodes.columns[1:]:
            auc = roc_auc_score(label, nodes[feature].to_numpy()[rows[key].to_numpy()])
            assert max(auc, 1 - auc) < bayes - 0.15


def test_the_truth_says_what_was_planted(market):
    truth = read_json(market.folder.path / "truth" / "truth.json")
    assert truth["dials"] == json.loads(market.config.model_dump_json())
    assert truth["cosine"]["click"]["complaint"] == pytest.approx(-0.5, abs=1e-6)
    assert truth["cosine"]["click"]["conversion"] == pytest.approx(0.9, abs=1e-6)
    relations = set(market.folder.schema.static_relations)
    for task in TASKS:
        assert set(truth["importance"][task]) == relations
        label = market.rows(task)["label"]
        assert truth["rate"][task]["achieved"] == pytest.approx(label.mean(), abs=1e-12)


def test_a_block_does_not_depend_on_the_blocks_before_it(tmp_path, monkeypatch):
    monkeypatch.setattr(exposure, "BLOCK_ROWS", 400)
    seen = []
    made = planted_preset("tiny")
    path = tmp_path / "blocks"
    path.mkdir()
    write_market(made, path, progress=lambda done, total: seen.append((done, total)))
    assert len(seen) >= 7
    assert seen[-1] == (3_000, 3_000)
    rows = pl.read_parquet(path / "tasks" / "click.parquet")
    plan = exposure.planned_exposure(made)
    first, end = plan.blocks[4]
    block = rows.filter(pl.col("src").is_between(first, end - 1))
    np.testing.assert_array_equal(block.select("src", "dst").to_numpy().T, plan.pairs(4))


def test_no_two_blocks_share_a_random_stream(tmp_path, monkeypatch):
    names = []

    def recorded(seed, *name):
        names.append(name)
        return random_stream(seed, *name)

    monkeypatch.setattr(exposure, "BLOCK_ROWS", 400)
    monkeypatch.setitem(write_market.__globals__, "random_stream", recorded)
    write_market(planted_preset("tiny"), tmp_path)
    assert len(names) >= 14
    assert len(set(names)) == len(names)
