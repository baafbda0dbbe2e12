import numpy as np
import pytest

from counterpoint.data.distributions import (
    Shares,
    Sketch,
    below,
    distribution,
    feature_values,
    shares_of,
)


def test_points_are_values_with_the_share_up_to_each():
    values = np.random.default_rng(0).normal(size=2000).round(1)
    found = distribution(values)
    assert isinstance(found, Sketch)
    assert found.n == 2000
    assert set(found.points) <= set(values)
    assert found.points[-1] == values.max()
    assert found.below == tuple((values <= point).mean() for point in found.points)
    assert list(found.points) == sorted(set(found.points))


def test_one_value_and_few_values():
    assert distribution(np.array([3.0])) == Sketch(n=1, points=(3.0,), below=(1.0,))
    assert distribution(np.array([1, 0, 1, 1])) == Sketch(n=4, points=(0.0, 1.0), below=(0.25, 1.0))
    assert below(np.array([0.5]), np.array([1.0, 0.0])) == 0.5


def test_categories_are_digests_with_their_shares():
    values = np.array(["berlin"] * 3 + ["rome"], dtype=object)
    found = distribution(values)
    assert isinstance(found, Shares)
    assert sorted(found.shares.values()) == [0.0, 0.25, 0.75]
    assert not {"berlin", "rome"} & set(found.shares)
    np.testing.assert_allclose(shares_of(values, found), list(found.shares.values()))
    today = np.array(["rome", "oslo"])
    assert list(shares_of(today, found)) == pytest.approx([0.0, 0.5, 0.5])


def test_rare_categories_are_one():
    values = np.array([f"c{k}" for k in range(150)] + ["c0"])
    found = distribution(values)
    assert len(found.shares) == 101
    assert found.shares["other"] == pytest.approx(50 / 151)
    assert sum(found.shares.values()) == pytest.approx(1)


def test_every_kind_of_feature_is_one_value_a_node(market, tmp_path):
    market.put("nodes/user", "city", 0, None)
    found = dict(feature_values(market.write(tmp_path / "data")))
    tables = market.tables
    assert list(found) == ["user.age", "user.city", "item.looks", "item.words"]
    assert found["user.age"].tolist() == tables["nodes/user"]["age"].to_list()
    assert found["user.city"].tolist()[:3] == ["", "B", "A"]
    looks = [np.linalg.norm(row) for row in tables["nodes/item"]["looks"].to_list()]
    assert found["item.looks"].tolist() == pytest.approx(looks)
    assert found["item.words"].tolist() == [len(row) for row in tables["nodes/item"]["words"]]
