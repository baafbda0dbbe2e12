import gzip

import polars as pl
import pytest

from counterpoint.data.importers.text_files import (
    Kind,
    check_ids,
    existing_file,
    read_edges,
    read_id_lists,
    read_one_each,
    read_table,
)
from counterpoint.errors import UserError

COLUMNS = {"a": Kind.INTEGER, "b": Kind.NUMBER, "c": Kind.TEXT, "d": Kind.LABEL}


def test_each_kind(tmp_path, write_lines):
    path = write_lines(tmp_path / "t", "head", "1::2.5:: x ::0", "-3::4::::1")
    rows = read_table(path, COLUMNS, separator="::", header_lines=1)
    assert rows.rows() == [(1, 2.5, " x ", 0), (-3, 4.0, "", 1)]


def test_kinds_that_may_be_empty(tmp_path, write_lines):
    columns = {"a": Kind.MAYBE_NUMBER, "b": Kind.MAYBE_TEXT}
    rows = read_table(write_lines(tmp_path / "t", "2.5\tx", "\t"), columns)
    assert rows.rows() == [(2.5, "x"), (0.0, "")]
    with pytest.raises(UserError, match="line 1: column a: 'nan' is no finite number, nor empty"):
        read_table(write_lines(tmp_path / "t", "nan\tx"), columns)


def test_gzip(tmp_path):
    path = tmp_path / "t.gz"
    path.write_bytes(gzip.compress(b"1\n2\n"))
    assert read_table(path, {"a": Kind.INTEGER})["a"].to_list() == [1, 2]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("head", "1\t2\tx\t0", "1\t2\tx"), "line 3: 3 columns, must be 4"),
        (("head", "1\t2\tx\t0\t9"), "line 2: 5 columns, must be 4"),
        (("head", "1\t2\tx\t0", ""), "line 3: 1 columns, must be 4"),
        (("head", "1\t2\tx\t0", "1.5\t2\tx\t0"), "line 3: column a: '1.5' is no integer"),
        (("head", "1\tnan\tx\t0"), "line 2: column b: 'nan' is no finite number"),
        (("head", "1\tinf\tx\t0"), "line 2: column b: 'inf' is no finite number"),
        (("head", "1\t2\tx\t2"), "line 2: column d: '2' is no label (0 or 1)"),
        (("head",), "has no rows"),
        ((), "has no rows"),
    ],
)
def test_bad_lines(tmp_path, write_lines, lines, said):
    path = write_lines(tmp_path / "t", *lines)
    with pytest.raises(UserError) as refused:
        read_table(path, COLUMNS, header_lines=1)
    assert str(refused.value) == f"{path}: {said}"


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(UserError, match="t: no such file"):
        read_table(tmp_path / "t", COLUMNS)
    (tmp_path / "t").write_bytes(b"\xff\xfe\n")
    with pytest.raises(UserError, match="t: not readable text"):
        read_table(tmp_path / "t", COLUMNS)


def test_id_lists(tmp_path, write_lines):
    path = write_lines(tmp_path / "t", "0\t5\t6", "1\t7")
    assert read_id_lists(path, "user", "item").rows() == [(0, 5), (0, 6), (1, 7)]


@pytest.mark.parametrize(
    ("line", "said"),
    [("1", "line 2: a user and no item"), ("1\t7\tx", "line 2: column item: 'x' is no integer")],
)
def test_bad_id_lists(tmp_path, write_lines, line, said):
    path = write_lines(tmp_path / "t", "0\t5\t6", line)
    with pytest.raises(UserError) as refused:
        read_id_lists(path, "user", "item")
    assert str(refused.value) == f"{path}: {said}"


def test_edges_stay_within_their_nodes(tmp_path, write_lines):
    path = write_lines(tmp_path / "t", "0\t1", "1\t2")
    assert read_edges(path, {"paper": 2, "author": 3}).rows() == [(0, 1), (1, 2)]
    with pytest.raises(UserError, match="t: line 2: author 2, but there are 2 of them"):
        read_edges(path, {"paper": 2, "author": 2})
    with pytest.raises(UserError, match="line 1: node -1"):
        check_ids(path, pl.Series([-1, 0]), 5, "node")


def test_one_each(tmp_path, write_lines):
    path = write_lines(tmp_path / "t", "1\t0", "0\t2")
    assert read_one_each(path, {"paper": 2, "venue": 3}).to_list() == [2, 0]
    with pytest.raises(UserError, match="2 lines, must be one for each of 3 papers"):
        read_one_each(path, {"paper": 3, "venue": 3})


def test_existing_file(tmp_path, write_lines):
    write_lines(tmp_path / "b")
    assert existing_file(tmp_path, "a", "b") == tmp_path / "b"
    with pytest.raises(UserError, match="holds no c or d"):
        existing_file(tmp_path, "c", "d")
