import pytest

from counterpoint.data.planted.streams import random_stream


def test_a_stream_is_its_seed_and_name():
    assert (random_stream(1, "pairs", 2).random(9) == random_stream(1, "pairs", 2).random(9)).all()


@pytest.mark.parametrize(
    "other", [(2, "pairs", 2), (1, "labels", 2), (1, "pairs", 3), (1, "pairs")]
)
def test_other_streams_are_other_numbers(other):
    assert (random_stream(1, "pairs", 2).random(9) != random_stream(*other).random(9)).all()
