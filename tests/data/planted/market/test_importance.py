import numpy as np
import pytest

from counterpoint.data.planted.importance import cosines
from counterpoint.data.planted.market.importance import RELATIONS, relation_importance


@pytest.mark.parametrize("relatedness", [-0.5, -0.1, 0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("kinship", [-1.0, 0.3, 0.9, 1.0])
def test_cosines_are_what_the_dials_say(relatedness, kinship):
    importance = relation_importance(relatedness, kinship)
    for weights in importance.values():
        assert list(weights) == list(RELATIONS)
        assert np.linalg.norm(list(weights.values())) == pytest.approx(1, abs=1e-12)
    found = cosines(importance)
    assert found["click"]["complaint"] == pytest.approx(relatedness, abs=1e-12)
    assert found["click"]["conversion"] == pytest.approx(kinship, abs=1e-12)
    assert found["conversion"]["complaint"] == pytest.approx(kinship * relatedness, abs=1e-12)
