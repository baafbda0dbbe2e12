import shutil

import polars as pl
import pytest

from counterpoint.data.checks import faults
from counterpoint.data.schema import Split

DERIVED = "cannot be brought as a table; remove the file"


def _null(table, column, row=3):
    return lambda market: market.put(table, column, row, None)


def _put(table, column, value, row=3):
    return lambda market: market.put(table, column, row, value)


def _cast(table, column, dtype):
    return lambda market: market.change(table, **{column: pl.col(column).cast(dtype)})


def _drop(table, column):
    def change(market):
        market.tables[table] = market.tables[table].drop(column)

    return change


def _repeat(table):
    def change(market):
        rows = market.tables[table]
        market.tables[table] = pl.concat([rows, rows.head(2)])

    return change


def _without(table):
    return lambda market: market.tables.pop(table)


def _emptied(table):
    def change(market):
        market.tables[table] = market.tables[table].clear()

    return change


def _also(table):
    return lambda market: market.tables.update({table: market.tables["relations/similar"]})


def _label_where(table, split, value):
    label = pl.when(pl.col("split") == split).then(value).otherwise(pl.col("label"))
    return lambda market: market.change(table, label=label)


def _by_time_with_mixed_times(market):
    market.rewrite(split=Split(by="time"))
    for table in ("tasks/spend", "tasks/topic", "tasks/tags"):
        market.change(table, time=pl.lit(market.tables["tasks/click"]["time"][0]))
    market.change("tasks/visit", time=pl.col("time").cast(pl.Int64))


def _all_one_class(market):
    market.rewrite(split=Split(by="random"))
    market.change("tasks/click", label=pl.lit(1))


FAULTS = {
    "missing table": (_without("relations/follows"), "relations/follows.parquet: no such file"),
    "missing feature": (
        _drop("nodes/user", "age"),
        "nodes/user.parquet: no column 'age' (there are: id, city); add or rename it",
    ),
    "missing label": (_drop("tasks/buy", "label"), "tasks/buy.parquet: no column 'label'"),
    "missing split": (_drop("tasks/buy", "split"), "tasks/buy.parquet: no column 'split'"),
    "float id": (
        _cast("nodes/item", "id", pl.Float64),
        "nodes/item.parquet: column 'id' is of type Float64, must be integer or string; cast it",
    ),
    "ids of two types": (
        _cast("tasks/click", "dst", pl.Int32),
        "tasks/click.parquet: column 'dst' is of type Int32, the id in nodes/item.parquet of type "
        "Int64; cast one to the other",
    ),
    "text as number": (_cast("nodes/user", "age", pl.String), "column 'age' is of type String"),
    "number as category": (_cast("nodes/user", "city", pl.Categorical), "column 'city' is of type"),
    "scalar as vector": (
        lambda market: market.change("nodes/item", looks=pl.lit(1.0)),
        "column 'looks' is of type Float64, must be a list of numbers",
    ),
    "text as label": (_cast("tasks/click", "label", pl.String), "must be a number or boolean"),
    "float class": (_cast("tasks/topic", "label", pl.Float64), "column 'label' is of type Float64"),
    "number as split": (
        lambda market: market.change("tasks/click", split=pl.lit(1)),
        "column 'split' is of type Int32, must be string",
    ),
    "text as time": (_cast("tasks/click", "time", pl.String), "must be a number, date or datetime"),
    "times of two types": (_by_time_with_mixed_times, "tasks are split by one time, cast it"),
    "text as weight": (_cast("relations/follows", "weight", pl.String), "column 'weight' is of"),
    "null id": (_null("nodes/user", "id"), "nodes/user.parquet: column 'id': 1 of 40 null;"),
    "null end": (_null("relations/follows", "src"), "follows.parquet: column 'src': 1 of 40 null"),
    "null label": (_null("tasks/click", "label"), "tasks/click.parquet: column 'label': 1 of 600"),
    "null feature": (_null("nodes/user", "city"), "column 'city': 1 of 40 null; fill them"),
    "null list": (_null("nodes/item", "looks"), "column 'looks': 1 of 30 null; fill them"),
    "duplicate node": (
        _put("nodes/user", "id", "u07"),
        "nodes/user.parquet: column 'id': 1 rows repeat an earlier node, such as 'u07'",
    ),
    "dangling edge": (
        _put("relations/follows", "dst", "nobody"),
        "relations/follows.parquet: column 'dst': 1 not in nodes/user.parquet, such as 'nobody'; "
        "add the nodes or drop the rows",
    ),
    "dangling entity": (
        _put("tasks/click", "dst", 999),
        "tasks/click.parquet: column 'dst': 1 not in nodes/item.parquet, such as 999",
    ),
    "binary label": (
        _put("tasks/click", "label", 2),
        "column 'label': 1 of 600 neither 0 nor 1, such as 2; correct them or drop the rows",
    ),
    "class label": (_put("tasks/topic", "label", -1), "1 of 30 outside 0..2, such as -1"),
    "multilabel label": (_put("tasks/tags", "label", [0, 4]), "outside 0..3, such as [0, 4]"),
    "regression label": (_put("tasks/spend", "label", float("nan")), "not finite, such as nan"),
    "infinite feature": (_put("nodes/user", "age", float("inf")), "column 'age': 1 of 40 not fin"),
    "infinite entry": (
        _put("nodes/item", "looks", [1.0, None, 2.0]),
        "1 of 30 with an entry that is null or not finite, such as [1.0, None, 2.0]",
    ),
    "vector length": (
        _put("nodes/item", "looks", [1.0]),
        "column 'looks': 1 of 30 not of length 3, such as [1.0]",
    ),
    "token range": (
        _put("nodes/item", "words", [0, 10]),
        "column 'words': 1 of 30 with a token outside 0..9, such as [0, 10]",
    ),
    "null weight": (_null("relations/follows", "weight"), "column 'weight': 1 of 40 null"),
    "unknown split": (
        _put("tasks/click", "split", "holdout"),
        "column 'split': 1 of 600 not train, valid or test, such as 'holdout'",
    ),
    "empty split": (
        lambda market: market.change("tasks/visit", split=pl.lit("train")),
        "tasks/visit.parquet: column 'split': 0 rows are 'valid'; put some into each split",
    ),
    "one class in a split": (
        _label_where("tasks/click", "test", 0),
        "tasks/click.parquet: column 'label': all 120 rows of split 'test' are 0; a binary task "
        "needs both classes",
    ),
    "one class overall": (_all_one_class, "column 'label': all 600 rows are 1; a binary task"),
    "duplicate entity": (
        _repeat("tasks/buy"),
        "tasks/buy.parquet: column 'src', 'dst': 2 rows repeat an earlier entity, such as "
        "'u00', 0; keep one row an entity",
    ),
    "derived relation": (_also("relations/clicked"), DERIVED),
    "unknown table": (_also("relations/likes"), "likes.parquet: dataset.yaml names no such table"),
    "empty table": (_emptied("relations/similar"), "relations/similar.parquet: no rows"),
}


def test_a_sound_folder_has_no_fault(market, tmp_path):
    assert faults(market.write(tmp_path)) == []


@pytest.mark.parametrize("by", ["random", "time", "leave_last_out"])
def test_a_sound_folder_has_no_fault_under_other_splits(market, tmp_path, by):
    market.rewrite(split=Split(by=by))
    for table in ("tasks/spend", "tasks/topic", "tasks/tags"):
        market.change(table, time=pl.lit(market.tables["tasks/click"]["time"][0]))
    assert faults(market.write(tmp_path)) == []


@pytest.mark.parametrize(("change", "line"), FAULTS.values(), ids=FAULTS.keys())
def test_each_fault_is_named(market, tmp_path, change, line):
    change(market)
    found = faults(market.write(tmp_path))
    assert any(line in fault for fault in found), found
    assert all("\n" not in fault and fault.startswith(str(tmp_path)) for fault in found)


def test_one_fault_gives_one_line(market, tmp_path):
    market.put("nodes/user", "age", 3, float("nan"))
    found = faults(market.write(tmp_path))
    assert found == [
        f"{tmp_path}/nodes/user.parquet: column 'age': 1 of 40 not finite, such as nan; "
        "replace NaN and infinity"
    ]


def test_a_null_end_is_not_also_dangling(market, tmp_path):
    market.put("relations/follows", "src", 3, None)
    assert len(faults(market.write(tmp_path))) == 1


def test_all_faults_are_told_at_once(market, tmp_path):
    market.put("nodes/user", "age", 3, None)
    market.put("tasks/topic", "label", 3, 7)
    market.tables.pop("relations/similar")
    assert len(faults(market.write(tmp_path))) == 3


def test_a_missing_node_table_is_not_also_dangling(market, tmp_path):
    market.tables.pop("nodes/user")
    assert faults(market.write(tmp_path)) == [
        f"{tmp_path}/nodes/user.parquet: no such file, but dataset.yaml names it"
    ]


def test_a_long_example_is_cut(market, tmp_path):
    market.put("relations/follows", "dst", 3, "x" * 500)
    (fault,) = faults(market.write(tmp_path))
    assert len(fault) < len(str(tmp_path)) + 200


def test_a_truncated_file_is_named(market, tmp_path):
    folder = market.write(tmp_path)
    path = folder.table_path("tasks/click")
    path.write_bytes(path.read_bytes()[:-40])
    (fault,) = faults(folder)
    assert fault.startswith(f"{path}: not a readable parquet file")


def test_a_file_with_damaged_pages_is_named(market, tmp_path):
    folder = market.write(tmp_path)
    path = folder.table_path("nodes/user")
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    assert any(fault.startswith(f"{path}: not readable to its end") for fault in faults(folder))


def test_files_of_other_kinds_are_left_alone(market, tmp_path):
    folder = market.write(tmp_path)
    (tmp_path / "nodes" / "README.md").write_text("mine")
    shutil.copy(folder.table_path("nodes/user"), tmp_path / "nodes" / ".user.parquet.swp.parquet")
    assert faults(folder) == []


def test_a_fixed_size_array_is_a_vector(market, tmp_path):
    market.change("nodes/item", looks=pl.col("looks").list.to_array(3))
    assert faults(market.write(tmp_path)) == []
    values = [[1.0, float("inf"), 0.0], *[[0.0, 0.0, 0.0]] * 29]
    market.change("nodes/item", looks=pl.Series(values, dtype=pl.Array(pl.Float64, 3)))
    assert len(faults(market.write(tmp_path))) == 1
