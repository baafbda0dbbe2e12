"""The native suites: what Great Expectations checks in each table, generated from dataset.yaml.

A suite is a list of :class:`Expected` in a stable order with stable names, and its JSON is that of
Great Expectations without generated ids, so that a diff shows what changed and nothing else.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from counterpoint.data.folder import DataFolder
from counterpoint.data.rules import column_kinds, key_columns
from counterpoint.data.schema import SCHEMA_FILE, DataSchema
from counterpoint.data.splits import SPLITS
from counterpoint.errors import UserError
from counterpoint.validation.facts import Fact, Severity

_INTEGER = [f"{sign}Int{bits}Dtype" for sign in ("", "U") for bits in (8, 16, 32, 64)]
_FLOAT = ["float32", "float64"]
_PANDAS_TYPES = {
    "id": [*_INTEGER, "StringDtype"],
    "categorical": [*_INTEGER, "StringDtype", "BooleanDtype"],
    "numeric": [*_INTEGER, *_FLOAT, "BooleanDtype"],
    "binary": [*_INTEGER, *_FLOAT, "BooleanDtype"],
    "multiclass": _INTEGER,
    "regression": [*_INTEGER, *_FLOAT],
    "split": ["StringDtype"],
}
_ADVICE = {
    "rows": f"no rows; write some, or drop the table from {SCHEMA_FILE}",
    "column": "no such column; add or rename it",
    "not_null": "null; fill them or drop the rows",
    "type": "the column is of another type; cast it",
    "finite": "not finite; replace NaN and infinity",
    "domain": "outside the domain; correct them or drop the rows",
    "unique": "not unique; keep one row each",
    "own": f"your own expectation in {SCHEMA_FILE} does not hold",
    "fact": "",  # a fact has its detail
}
_LISTS = ("vector", "bag", "multilabel")  # pandas holds lists as objects: left to the facts


@dataclass(frozen=True)
class Expected:
    """One expectation of Great Expectations with a stable name."""

    name: str
    type: str
    kwargs: dict[str, Any] = field(hash=False)
    severity: Severity = "critical"

    @property
    def advice(self) -> str:
        """What a failure means and what to do, by the kind of expectation."""
        return _ADVICE[self.name.split(":", 1)[0]]


def native_suite(folder: DataFolder, table: str) -> list[Expected]:
    """The expectations on one table: rows, columns, types, nulls, domains, keys, the user's own."""
    suite = [Expected(f"rows:{table}", "expect_table_row_count_to_be_between", {"min_value": 1})]
    for column, kind in column_kinds(folder, table).items():
        if kind not in _LISTS:
            suite += _column_expectations(folder.schema, table, column, kind)
    return [
        *suite,
        _key_expectation(folder.schema, table),
        *_own_expectations(folder.schema, table),
    ]


def scalar_columns(folder: DataFolder, table: str) -> list[str]:
    """The columns that the generated expectations of a table look at."""
    return [name for name, kind in column_kinds(folder, table).items() if kind not in _LISTS]


def own_columns(schema: DataSchema, table: str, columns: Sequence[str]) -> set[str]:
    """Those of ``columns`` that the user's own expectations on a table look at.

    All, if one of them names no column: it is then about the table as such.
    """
    found: set[str] = set()
    for own in schema.expectations:
        if own.table == table:
            named = {text for text in _texts(own.kwargs) if text in columns}
            found |= named or set(columns)
    return found


def fact_suite(facts: Iterable[Fact]) -> list[Expected]:
    """One expectation a fact: no violations. Its column in the judged frame is the fact's name."""
    return [
        Expected(
            fact.name,
            "expect_column_max_to_be_between",
            {"column": fact.name, "min_value": 0, "max_value": 0},
            fact.severity,
        )
        for fact in facts
    ]


def suite_json(name: str, suite: Sequence[Expected]) -> dict[str, Any]:
    """The suite as Great Expectations reads it, without generated ids and versions."""
    return {
        "name": name,
        "expectations": [
            {
                "type": expected.type,
                "kwargs": expected.kwargs,
                "meta": {"name": expected.name},
                "severity": expected.severity,
            }
            for expected in suite
        ],
    }


def require_known_tables(schema: DataSchema, tables: Sequence[str], where: str) -> None:
    """Raise :class:`UserError` where one of the user's own expectations names an unknown table."""
    faults = [
        f"{where}: expectations.{place}: table {own.table!r} is none of {', '.join(tables)}"
        for place, own in enumerate(schema.expectations)
        if own.table not in tables
    ]
    if faults:
        raise UserError(*faults)


def _column_expectations(schema: DataSchema, table: str, column: str, kind: str) -> list[Expected]:
    place, on = f"{table}.{column}", {"column": column}
    suite = [
        Expected(f"column:{place}", "expect_column_to_exist", on),
        Expected(f"not_null:{place}", "expect_column_values_to_not_be_null", on),
    ]
    if kind in _PANDAS_TYPES:
        types = {**on, "type_list": _PANDAS_TYPES[kind]}
        suite.append(Expected(f"type:{place}", "expect_column_values_to_be_in_type_list", types))
    between, in_set = "expect_column_values_to_be_between", "expect_column_values_to_be_in_set"
    if kind in ("numeric", "regression"):
        largest = sys.float_info.max
        bounds = {**on, "min_value": -largest, "max_value": largest}
        suite.append(Expected(f"finite:{place}", between, bounds))
    elif kind == "multiclass":
        classes = schema.tasks[table.split("/", 1)[1]].classes or 0
        bounds = {**on, "min_value": 0, "max_value": classes - 1}
        suite.append(Expected(f"domain:{place}", between, bounds))
    elif kind in ("binary", "split"):
        values = [0, 1] if kind == "binary" else list(SPLITS)
        suite.append(Expected(f"domain:{place}", in_set, {**on, "value_set": values}))
    return suite


def _key_expectation(schema: DataSchema, table: str) -> Expected:
    keys = key_columns(schema, table)
    severity: Severity = "warning" if table.startswith("relations/") else "critical"
    name = f"unique:{table}.{'+'.join(keys)}"
    if len(keys) == 1:
        column = {"column": keys[0]}
        return Expected(name, "expect_column_values_to_be_unique", column, severity)
    pair = {"column_list": keys}
    return Expected(name, "expect_compound_columns_to_be_unique", pair, severity)


def _own_expectations(schema: DataSchema, table: str) -> list[Expected]:
    return [
        Expected(
            f"own:{place}:{own.type}:{table}",
            own.type,
            own.model_dump(mode="json")["kwargs"],
            own.severity,
        )
        for place, own in enumerate(schema.expectations)
        if own.table == table
    ]


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
