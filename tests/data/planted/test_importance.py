import numpy as np
import pytest

from counterpoint.data.planted.importance import RELATIONS, relation_importance


@pytest.mark.parametrize("relatedness", [-0.5, -0.1, 0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("kinship", [-1.0, 0.3, 0.9, 1.0])
def test_cosines_are_what_the_dials_say(relatedness, kinship):
    importance = relation_importance(relatedness, kinship)
    click, conversion, complaint = (
        importance[task] for task in ("click", "conversion", "complaint")
    )
    for weights in importance.values():
        assert weights.shape == (len(RELATIONS),)
        assert np.linalg.norm(weights) == pytest.approx(1, abs=1e-12)
    assert click @ complaint == pytest.approx(relatedness, abs=1e-12)
    assert click @ conversion == pytest.approx(kinship, abs=1e-12)
    assert conversion @ complaint == pytest.approx(kinship * relatedness, abs=1e-12)
