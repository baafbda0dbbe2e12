import json

import pytest

from counterpoint.errors import UserError
from counterpoint.validation.expectations import (
    native_suite,
    own_columns,
    require_known_tables,
    suite_json,
)


def _names(folder, table):
    return [expected.name for expected in native_suite(folder, table)]


def test_a_node_table_is_asked_about_columns_types_nulls_and_ids(market, tmp_path):
    assert _names(market.write(tmp_path), "nodes/user") == [
        "rows:nodes/user",
        "column:nodes/user.id",
        "not_null:nodes/user.id",
        "type:nodes/user.id",
        "column:nodes/user.age",
        "not_null:nodes/user.age",
        "type:nodes/user.age",
        "finite:nodes/user.age",
        "column:nodes/user.city",
        "not_null:nodes/user.city",
        "type:nodes/user.city",
        "unique:nodes/user.id",
    ]


def test_names_are_unique_and_every_suite_has_something_critical(market, tmp_path):
    folder = market.write(tmp_path)
    names = [name for table in folder.tables for name in _names(folder, table)]
    assert len(names) == len(set(names))
    for table in folder.tables:
        assert any(e.severity == "critical" for e in native_suite(folder, table))


def test_suites_are_read_by_great_expectations_and_hold_no_generated_id(market, tmp_path):
    import great_expectations as gx

    folder = market.write(tmp_path)
    suite = suite_json("tasks/click", native_suite(folder, "tasks/click"))
    read = gx.ExpectationSuite(**json.loads(json.dumps(suite)))
    assert len(read.expectations) == len(suite["expectations"])
    assert [e.meta["name"] for e in read.expectations] == _names(folder, "tasks/click")
    assert '"id"' not in json.dumps(list(suite))


def test_own_expectations_come_last_with_their_place(market, tmp_path):
    own = {"table": "nodes/user", "type": "expect_column_max_to_be_between", "severity": "info"}
    market.rewrite(expectations=[{**own, "kwargs": {"column": "age", "max_value": 9}}])
    suite = native_suite(market.write(tmp_path), "nodes/user")
    assert suite[-1].name == "own:0:expect_column_max_to_be_between:nodes/user"
    assert suite[-1].severity == "info"


def test_own_expectations_say_which_columns_they_need(market):
    columns = ["id", "looks", "words"]
    own = {"table": "nodes/item", "type": "expect_column_values_to_not_be_null"}
    market.rewrite(expectations=[{**own, "kwargs": {"column": "words"}}])
    assert own_columns(market.schema, "nodes/item", columns) == {"words"}
    assert own_columns(market.schema, "nodes/user", columns) == set()
    market.rewrite(expectations=[{**own, "kwargs": {"value": 3}}])
    assert own_columns(market.schema, "nodes/item", columns) == set(columns)


def test_an_own_expectation_on_an_unknown_table_is_refused(market, tmp_path):
    market.rewrite(expectations=[{"table": "nodes/usr", "type": "expect_column_to_exist"}])
    folder = market.write(tmp_path)
    with pytest.raises(UserError, match=r"expectations\.0: table 'nodes/usr' is none of"):
        require_known_tables(folder.schema, folder.tables, "dataset.yaml")
