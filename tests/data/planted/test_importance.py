import numpy as np
import pytest

from counterpoint.data.planted.hidden_graph import HiddenGraph, PlantedRelation
from counterpoint.data.planted.importance import at_cosine, cosines, weighed_signals


@pytest.mark.parametrize("cosine", [-1.0, -0.5, 0.0, 0.9, 1.0])
def test_a_vector_at_a_cosine_is_of_unit_length(cosine):
    one, other = np.array([1, 1, 0]) / np.sqrt(2), np.array([0, 0, 1])
    found = at_cosine(one, other, cosine)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-12)
    assert found @ one == pytest.approx(cosine, abs=1e-12)
    named = {"a": {"x": 1.0, "y": 0.0}, "b": {"x": 0.6, "y": -0.8}}
    assert cosines(named) == {"a": {"a": 1.0, "b": 0.6}, "b": {"a": 0.6, "b": pytest.approx(1)}}


def test_signals_are_weighed_by_task_and_divided_by_temperature():
    hidden = {"shop": np.array([[1.0], [5.0], [2.0]], np.float32), "item": np.zeros((3, 1))}
    own = np.arange(3)
    edges = {"near": (own, np.array([2, 0, 1])), "sold_by": (own, own)}
    relations = {name: PlantedRelation("item", "shop") for name in edges}
    graph = HiddenGraph(hidden, edges, relations)
    paths = {name: (f"rev-{name}",) for name in edges}
    importance = {"a": {"near": 0.6, "sold_by": 0.8, "elsewhere": 9.0}}
    found = weighed_signals(graph, paths, importance, 0.5)["a"][:, 0]
    shops = (hidden["shop"][:, 0] - hidden["shop"].mean()) / hidden["shop"].std()
    expected = (0.6 * shops[[2, 0, 1]] + 0.8 * shops) / 0.5
    np.testing.assert_allclose(found, expected, rtol=1e-5)
