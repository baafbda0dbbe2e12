import re

import pytest
from scipy.special import ndtri

from counterpoint.evaluation.difference import Difference
from counterpoint.evaluation.shortfall import seeds_needed, shortfall


def difference(delta: float, seed_variance: float, test_variance: float) -> Difference:
    return Difference(
        delta=delta,
        seed_variance=seed_variance,
        n_seeds=10,
        test_variance=test_variance,
        test_degrees_of_freedom=400,
    )


def test_the_seeds_that_decide_are_the_fewest():
    held = difference(-0.5, 4.0, 0.01)
    assert held.lower(0.05) < -1
    needed = seeds_needed(held, -1.0, 0.05)
    assert held.model_copy(update={"n_seeds": needed}).lower(0.05) > -1
    assert held.model_copy(update={"n_seeds": needed - 1}).lower(0.05) <= -1
    assert shortfall(held, -1.0, 0.05, 500) == f"{needed} seeds (now 10)"


def test_one_more_seed_can_be_enough():
    held = difference(-0.5, 4.0, 0.01)
    needed = seeds_needed(held, -1.0, 0.05)
    almost = held.model_copy(update={"n_seeds": needed - 1})
    assert seeds_needed(almost, -1.0, 0.05) == needed


def test_more_seeds_than_anyone_has():
    assert shortfall(difference(-0.99, 4.0, 1e-9), -1.0, 0.05, 500) == "more than 1000 seeds"


def test_where_the_test_set_is_too_small_clusters_are_asked_for():
    held = difference(-0.5, 0.01, 0.25)
    line = shortfall(held, -1.0, 0.05, 500)
    needed = int(re.fullmatch(r"no number of seeds; about (\d+) clusters \(now 500\)", line)[1])
    variance = 0.01 / 10 + 0.25 * 500 / needed
    assert -0.5 + float(ndtri(0.05)) * variance**0.5 == pytest.approx(-1, abs=1e-3)


def test_where_both_are_too_few_both_are_asked_for():
    line = shortfall(difference(-0.5, 4.0, 0.25), -1.0, 0.05, 500)
    found = re.fullmatch(
        r"no number of seeds; about (\d+) clusters \(now 500\) with about (\d+) seeds", line
    )
    clusters, seeds = int(found[1]), int(found[2])
    variance = 4.0 / seeds + 0.25 * 500 / clusters
    assert -0.5 + float(ndtri(0.05)) * variance**0.5 == pytest.approx(-1, abs=0.02)


def test_an_estimate_beyond_the_bound_lacks_nothing_that_can_be_bought():
    assert "no number of seeds or clusters" in shortfall(difference(-1.0, 1, 1), -1.0, 0.05, 500)
