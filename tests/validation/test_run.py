"""Whole validations: three of them, shared by the tests, because each takes seconds."""

import polars as pl
import pytest

from counterpoint.errors import UserError
from counterpoint.files import read_json, verified_digest
from counterpoint.validation import run
from counterpoint.validation.run import validate

SECRET = "alice@example.org"
ITEM_COLUMNS = ["id", "looks", "words", "note"]


def _break(market):
    """Faults that native expectations must name, and own expectations that meet the secret."""
    market.put("nodes/user", "id", 0, SECRET)
    market.put("nodes/user", "id", 1, SECRET)
    market.put("nodes/user", "age", 2, None)
    market.put("nodes/user", "age", 3, float("inf"))
    market.put("relations/follows", "src", 4, SECRET)
    market.put("relations/follows", "dst", 4, SECRET)
    market.put("relations/follows", "dst", 5, None)
    market.put("tasks/click", "label", 6, 7)
    market.put("tasks/click", "split", 7, SECRET)
    market.put("tasks/topic", "label", 8, 3)
    market.put("tasks/spend", "label", 9, float("nan"))
    market.tables["tasks/buy"] = pl.concat([market.tables["tasks/buy"]] * 2)
    market.tables["relations/similar"] = market.tables["relations/similar"].clear()
    market.change("nodes/item", note=pl.lit(SECRET))
    on_id = {"table": "nodes/user", "kwargs": {"column": "id", "value_set": ["u00"]}}
    market.rewrite(
        expectations=[
            {**on_id, "type": "expect_column_distinct_values_to_be_in_set"},
            {**on_id, "type": "expect_column_values_to_be_in_set", "severity": "warning"},
            {
                "table": "nodes/item",
                "type": "expect_column_values_to_be_between",
                "kwargs": {"column": "note", "min_value": 3},
            },
            {
                "table": "nodes/item",
                "type": "expect_table_columns_to_match_ordered_list",
                "kwargs": {"column_list": ITEM_COLUMNS},
            },
        ]
    )


@pytest.fixture(scope="module")
def sound(make_market, tmp_path_factory):
    place = tmp_path_factory.mktemp("sound")
    market = make_market()
    market.put("relations/follows", "dst", 3, "u03")  # a self loop, which only warns
    folder = market.write(place / "data")
    told = []
    result = validate(folder, place / "out", told.append)
    assert told == [*folder.tables, "facts"]
    validate(folder, place / "again")
    return result, place


@pytest.fixture(scope="module")
def broken(make_market, tmp_path_factory):
    place = tmp_path_factory.mktemp("broken")
    market = make_market()
    _break(market)
    return validate(market.write(place / "data"), place / "out"), place / "out"


def test_sound_data_pass_although_a_warning_fails(sound):
    result, _ = sound
    assert result.passed
    assert result.failures() == []
    assert result.failures("warning") == [
        "relations/follows.parquet: fact:self_loop:relations/follows: 1 of 40 edges from a node "
        "to itself; drop them unless they mean something"
    ]


def test_equal_inputs_give_equal_bytes(sound):
    _, place = sound
    assert verified_digest(place / "out") == verified_digest(place / "again")


def test_every_expectation_is_accounted_for(sound):
    result, place = sound
    written = read_json(place / "out" / "validation.json")
    assert written["passed"] is True
    assert written["failed"] == {"critical": 0, "warning": 1, "info": 0}
    names = [one["name"] for one in written["expectations"]]
    asked = [
        one["meta"]["name"]
        for path in (place / "out" / "suites").rglob("*.json")
        for one in read_json(path)["expectations"]
    ]
    assert sorted(names) == sorted(asked)
    assert len(set(names)) == len(names) == len(result.verdicts)
    facts = pl.read_parquet(place / "out" / "facts.parquet")
    assert {f"fact:{c}:{s}" for c, s in facts.select("check", "subject").iter_rows()} == {
        name for name in names if name.startswith("fact:")
    }


def test_nothing_is_left_beside_the_target(sound):
    _, place = sound
    assert sorted(path.name for path in place.iterdir()) == ["again", "data", "out"]


@pytest.mark.parametrize(
    "name",
    [
        "unique:nodes/user.id",
        "not_null:nodes/user.age",
        "finite:nodes/user.age",
        "not_null:relations/follows.dst",
        "domain:tasks/click.label",
        "domain:tasks/click.split",
        "domain:tasks/topic.label",
        "not_null:tasks/spend.label",
        "fact:label_domain:tasks/spend.label",
        "unique:tasks/buy.src+dst",
        "rows:relations/similar",
        "own:0:expect_column_distinct_values_to_be_in_set:nodes/user",
        "own:2:expect_column_values_to_be_between:nodes/item",
        "fact:duplicate_node:nodes/user.id",
        "fact:null:nodes/user.age",
        "fact:dangling:relations/follows.dst",
        "fact:label_domain:tasks/click.label",
        "fact:duplicate_entity:tasks/buy",
    ],
)
def test_each_fault_fails_the_expectation_that_names_it(sound, broken, name):
    assert name.startswith("own:") or name in {v.name for v in sound[0].verdicts if v.success}
    (line,) = [line for line in broken[0].failures() if f" {name}:" in line]
    table = name.split(":")[-1].split(".")[0]
    assert line.startswith(f"{table}.parquet: ")
    assert not broken[0].passed


def test_a_failed_warning_of_ones_own_is_no_critical_failure(broken):
    (line,) = [line for line in broken[0].failures("warning") if "own:1:" in line]
    assert line not in broken[0].failures()


def test_an_own_expectation_on_the_table_sees_all_its_columns(broken):
    assert not [line for line in broken[0].failures() if "own:3:" in line]


def test_no_output_holds_a_value_of_the_data(broken):
    result, out = broken
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in repr(result)
    assert SECRET not in str(pl.read_parquet(out / "facts.parquet").rows())


def test_the_page_needs_no_network(broken):
    page = (broken[1] / "docs" / "index.html").read_text()
    assert "://" not in page
    assert "<script" not in page
    assert "fact:dangling:relations/follows.dst" in page
    assert "failed" in page


def test_a_part_of_a_large_table_is_judged_and_the_result_says_so(market, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "ROW_CAP", 100)
    market.put("tasks/click", "label", 599, 7)
    result = validate(market.write(tmp_path / "data"), tmp_path / "out")
    (size,) = [size for size in result.tables if size.name == "tasks/click"]
    assert (size.rows, size.rows_judged) == (600, 100)
    assert any("fact:label_domain:tasks/click.label: 1 of 600" in f for f in result.failures())
    assert "looked at 100 of them" in (tmp_path / "out" / "docs" / "index.html").read_text()


def test_missing_tables_and_columns_are_judged_too(market, tmp_path):
    market.tables.pop("relations/follows")
    market.tables["nodes/user"] = market.tables["nodes/user"].drop("age")
    result = validate(market.write(tmp_path / "data"), tmp_path / "out")
    failed = "\n".join(result.failures())
    assert "fact:structure:relations/follows" in failed
    assert "fact:structure:nodes/user" in failed
    assert "column:nodes/user.age" in failed
    assert (tmp_path / "out" / "validation.json").is_file()


def test_bad_own_expectations_are_told_at_once_and_leave_nothing(market, tmp_path):
    market.rewrite(
        expectations=[
            {"table": "nodes/user", "type": "expect_nonsense"},
            {"table": "nodes/item", "type": "expect_column_to_exist"},
        ]
    )
    folder = market.write(tmp_path / "data")
    with pytest.raises(UserError) as caught:
        validate(folder, tmp_path / "out")
    assert len(caught.value.faults) == 2
    assert not (tmp_path / "out").exists()
