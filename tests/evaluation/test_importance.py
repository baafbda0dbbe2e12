"""Correlations with a planted truth whose attention is set by hand."""

import numpy as np
import polars as pl
import pytest

from counterpoint.evaluation.importance import agreements, attention_by_path, signal_paths
from counterpoint.files import write_json

IMPORTANCE = {"follows": 0.1, "likes": -0.8, "knows": 0.5, "sold_by": 0.0}


def readings(by_seed, cell="inline-hgn-fixed", task="click", even=0.25):
    """Rows of one layer from the attention of each relation, by seed."""
    place = {"cell": cell, "fit": "joint", "layer": 0, "task": task}
    return pl.DataFrame(
        [
            {**place, "seed": seed, "relation": relation, "name": name, "value": value}
            for seed, attention in enumerate(by_seed)
            for relation, paid in attention.items()
            for name, value in (("attention", paid), ("even", even))
        ]
    )


def folder(tmp_path, importance=IMPORTANCE, **more):
    (tmp_path / "truth").mkdir()
    truth = {"importance": {"click": importance, "unread": importance}, **more}
    write_json(tmp_path / "truth" / "truth.json", truth)
    return tmp_path


RIGHT = {"rev-follows": 0.2, "rev-likes": 0.6, "rev-knows": 0.4, "rev-sold_by": 0.1}
WRONG = {"rev-follows": 0.4, "rev-likes": 0.1, "rev-knows": 0.2, "rev-sold_by": 0.6}
# what the tables say forward leads to shops and brands, and is no signal of users and items
FORWARD = {"follows": 0.9, "likes": 0.0, "sold_by": 1.0}


def test_attention_in_the_planted_order_agrees_and_in_the_other_does_not(tmp_path, planted_meta):
    found = readings([{**RIGHT, **FORWARD}, {**WRONG, **FORWARD}, {**RIGHT, **FORWARD}])
    (agreed,) = agreements(found, planted_meta, folder(tmp_path))
    assert (agreed.cell, agreed.task, agreed.signals) == ("inline-hgn-fixed", "click", 4)
    assert agreed.most == pytest.approx(1.0)
    assert agreed.correlation.mean == pytest.approx(1 / 3)
    assert agreed.correlation.n == 3
    assert agreed.even == 0.0


def test_each_cell_has_its_own(tmp_path, planted_meta):
    found = pl.concat([readings([RIGHT]), readings([WRONG], cell="single_task-hgn-fixed")])
    agreed = agreements(found, planted_meta, folder(tmp_path))
    assert {one.cell: round(one.correlation.mean, 6) for one in agreed} == {
        "inline-hgn-fixed": 1.0,
        "single_task-hgn-fixed": -1.0,
    }


def test_both_directions_within_a_type_count(tmp_path, planted_meta):
    """Of 0.4 that people who are known get, each name of the relation has a part."""
    parts = {**RIGHT, "rev-knows": 0.05, "knows": 0.35}
    (agreed,) = agreements(readings([parts]), planted_meta, folder(tmp_path))
    assert agreed.correlation.mean == pytest.approx(1.0)


def test_signals_worth_the_same_bound_what_can_be_reached(tmp_path, planted_meta):
    equal = {"follows": 0.7, "likes": 0.0, "knows": 0.0, "sold_by": -0.7}
    attention = {"rev-follows": 0.5, "rev-likes": 0.1, "rev-knows": 0.2, "rev-sold_by": 0.6}
    (agreed,) = agreements(readings([attention]), planted_meta, folder(tmp_path, equal))
    assert agreed.most == pytest.approx(2 / 5**0.5)  # ranks 1.5, 1.5, 3.5, 3.5 against 1 to 4
    assert agreed.correlation.mean == pytest.approx(agreed.most)


@pytest.mark.parametrize(
    "importance", [{"follows": 0.6, "likes": 0.8}, dict.fromkeys(IMPORTANCE, 0.5)]
)
def test_what_has_no_order_is_left_out(tmp_path, planted_meta, importance):
    assert agreements(readings([RIGHT]), planted_meta, folder(tmp_path, importance)) == []


def test_without_a_truth_there_is_nothing_to_agree_with(tmp_path, planted_meta):
    assert agreements(readings([RIGHT]), planted_meta, tmp_path) == []


def test_paths_are_as_the_truth_says_else_against_the_tables():
    importance = {"click": {"follows": 1.0, "deals": 0.5}}
    paths = {"follows": ["follows"], "deals": ["rev-deals", "rev-knows"]}
    stated = [("follows",), ("rev-deals", "rev-knows")]
    assert signal_paths({"importance": importance, "paths": paths}, "click") == stated
    by_task = {"importance": importance, "paths": {"click": paths, "buy": {}}}
    assert signal_paths(by_task, "click") == stated
    assert signal_paths({"importance": importance}, "click") == [("rev-follows",), ("rev-deals",)]


def test_attention_by_a_path_is_rolled_out_over_layers():
    """Layers that keep their input and read along a chain a -> b -> c multiply as matrices."""
    product, attention = np.eye(3), {}
    for layer, (ab, bc) in enumerate([(0.3, 0.6), (0.5, 0.2), (0.4, 0.7)]):
        product = np.array([[1, 0, 0], [ab, 1, 0], [0, bc, 1]]) @ product
        attention |= {(layer, "ab"): ab, (layer, "bc"): bc}
    assert attention_by_path(attention, ["ab"]) == pytest.approx(product[1, 0])
    assert attention_by_path(attention, ["bc"]) == pytest.approx(product[2, 1])
    assert attention_by_path(attention, ["ab", "bc"]) == pytest.approx(product[2, 0])
    assert attention_by_path(attention, ["ab", "bc", "ab", "bc"]) == 0
    assert attention_by_path(attention, ["without edges"]) == 0
