import numpy as np
import pytest

from counterpoint.registry.id_index import IdIndex

NUMBERS = IdIndex.of(np.asarray([30, 10, 2**60 + 1, 2**61]))
NAMES = IdIndex.of(np.asarray(["c", "a", "bb"], dtype=object))


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ([10, 30, 2**60 + 1, 11], [1, 0, 2, -1]),
        (["10", "30"], [1, 0]),
        ([10.0, float("nan")], [1, -1]),
        ([10, None, "x", 10.5], [1, -1, -1, -1]),
        ([2**60], [-1]),
        ([99, 2**62], [-1, -1]),
        ([float(2**61)], [-1]),  # may have been 2**61 + 1
        ([], []),
    ],
)
def test_rows_of_numbers(asked, rows):
    assert NUMBERS.rows(np.asarray(asked, dtype=object)).tolist() == rows


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        (["a", "bb", "c", "b"], [1, 2, 0, -1]),
        (["bbb", "zz"], [-1, -1]),
        (["a", None, float("nan"), 3], [1, -1, -1, -1]),
    ],
)
def test_rows_of_names(asked, rows):
    assert NAMES.rows(np.asarray(asked, dtype=object)).tolist() == rows


def test_a_missing_id_is_not_an_id_called_nan():
    index = IdIndex.of(np.asarray(["nan", "None"], dtype=object))
    assert index.rows(np.asarray([float("nan"), None, "nan"], dtype=object)).tolist() == [-1, -1, 0]


@pytest.mark.parametrize(
    ("index", "further", "asked", "rows"),
    [
        (NUMBERS, np.asarray([20, 40, 5]), [20, 30, 5, 40, 10, 6], [4, 0, 6, 5, 1, -1]),
        (
            NAMES,
            np.asarray(["longer", "b"], dtype=object),
            ["longer", "bb", "b", "lo", "c"],
            [3, 2, 4, -1, 0],
        ),
        (NAMES, np.asarray([], dtype=object), ["c", "x"], [0, -1]),
    ],
)
def test_further_ids_have_the_rows_after_ours(index, further, asked, rows):
    assert index.with_further(further).rows(np.asarray(asked, dtype=object)).tolist() == rows
