import numpy as np
import pytest
from scipy import sparse

from counterpoint.data.importers.array_files import (
    bags,
    read_array,
    read_classes,
    read_named_arrays,
    read_sparse,
)
from counterpoint.errors import UserError


def test_arrays_by_shape(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.eye(2))
    assert read_array(path, 2, -1).tolist() == [[1, 0], [0, 1]]
    with pytest.raises(UserError, match=r"a\.npy: shape 2 x 2, must be any x 3"):
        read_array(path, -1, 3)
    with pytest.raises(UserError, match="shape 2 x 2, must be 2"):
        read_array(path, 2)


def test_a_plain_array_with_the_suffix_npz(tmp_path):
    path = tmp_path / "a.npz"
    with path.open("wb") as stream:
        np.save(stream, np.arange(3))
    assert read_array(path, 3).tolist() == [0, 1, 2]
    with pytest.raises(UserError, match="holds no array x"):
        read_named_arrays(path, x=(3,))


def test_named_arrays(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(3), y=np.arange(2))
    assert list(read_named_arrays(path, x=(3,))) == ["x"]
    with pytest.raises(UserError, match="shape 2, must be 3"):
        read_named_arrays(path, x=(3,), y=(3,))
    with pytest.raises(UserError, match="several arrays"):
        read_array(path, -1)


def test_pickled_objects_are_refused(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="no readable array file"):
        read_array(path, -1)


def test_broken_and_missing_files(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_array(tmp_path / "none", -1)
    with pytest.raises(UserError, match="no such file"):
        read_sparse(tmp_path / "none")
    (tmp_path / "a").write_bytes(b"PK\x03\x04 no zip")
    for read in (read_array, read_sparse):
        with pytest.raises(UserError, match="no readable") as refused:
            read(tmp_path / "a")
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("as_format", ["csr", "coo"])
def test_bags_are_the_sorted_distinct_columns_of_entries(tmp_path, as_format):
    values, rows, columns = [2, 1, 0, 5], [0, 0, 1, 2], [3, 1, 0, 2]
    matrix = sparse.coo_matrix((values, (rows, columns)), shape=(4, 5)).asformat(as_format)
    sparse.save_npz(tmp_path / "m.npz", matrix)
    assert bags(read_sparse(tmp_path / "m.npz")).to_list() == [[1, 3], [], [2], []]


def test_classes(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([0.0, 2.0]))
    assert read_classes(path, 2, 3).tolist() == [0, 2]
    with pytest.raises(UserError, match=r"entry 1: 2\.0 is no class of 0\.\.1"):
        read_classes(path, 2, 2)
    with pytest.raises(UserError, match="shape 2, must be 3"):
        read_classes(path, 3, 3)
