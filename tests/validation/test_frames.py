import polars as pl
import pytest

from counterpoint.validation.facts import Fact
from counterpoint.validation.frames import fact_row, table_frame, table_rows


@pytest.fixture
def path(tmp_path):
    rows = pl.DataFrame({"id": range(1000), "name": [str(i) for i in range(1000)]})
    rows.write_parquet(tmp_path / "t.parquet", row_group_size=100)
    return tmp_path / "t.parquet"


def test_a_table_below_the_cap_is_read_whole(path):
    frame = table_frame(path, ["id"], row_cap=1000)
    assert frame["id"].tolist() == list(range(1000))


def test_a_table_above_the_cap_is_read_in_row_groups_spread_over_the_file(path):
    frame = table_frame(path, ["id"], row_cap=300)
    assert len(frame) == 300
    assert frame["id"].max() >= 800
    assert table_rows(path) == 1000


def test_one_large_row_group_is_cut(path):
    rows = pl.read_parquet(path)
    rows.write_parquet(path, row_group_size=1000)
    assert len(table_frame(path, ["id"], row_cap=300)) == 300


def test_nulls_do_not_change_the_type(path):
    rows = pl.DataFrame({"id": [1, None], "s": ["a", None], "b": [True, None], "f": [0.5, None]})
    rows.write_parquet(path)
    frame = table_frame(path, ["id", "s", "b", "f"], row_cap=10)
    assert [str(dtype) for dtype in frame.dtypes] == ["Int64", "string", "boolean", "float64"]


def test_integers_keep_their_width_and_a_nan_is_null(path):
    rows = pl.DataFrame({"u": [1], "i": [2], "f": [float("nan")]})
    rows.cast({"u": pl.UInt8, "i": pl.Int16}).write_parquet(path)
    frame = table_frame(path, ["u", "i", "f"], row_cap=10)
    assert [str(dtype) for dtype in frame.dtypes] == ["UInt8", "Int16", "float64"]
    assert frame["f"].isna().all()


def test_the_fact_row_has_a_column_a_fact():
    facts = [Fact("dangling", "relations/buys", "dst", "critical", 3, 9, "")]
    assert fact_row(facts).to_dict("records") == [{"fact:dangling:relations/buys.dst": 3}]
