"""Validate a data-set folder: native suites and facts, judged by Great Expectations.

::

    validation.json     every expectation with its outcome; equal inputs give equal bytes
    suites/             <table>.json and facts.json: what was asked, in Great Expectations' JSON
    facts.parquet       the fact table
    docs/index.html     the same for people: no sample value, no network
    manifest.json
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from counterpoint.data.folder import DataFolder
from counterpoint.data.schema import SCHEMA_FILE
from counterpoint.errors import UserError
from counterpoint.files import new_folder, write_json, write_manifest, write_text
from counterpoint.validation.expectations import (
    Expected,
    fact_suite,
    native_suite,
    own_columns,
    require_known_tables,
    scalar_columns,
    suite_json,
)
from counterpoint.validation.facts import Fact, fact_frame
from counterpoint.validation.frames import column_names, fact_row, table_frame, table_rows
from counterpoint.validation.gate import Judgement, Outcome, built_suite, judged
from counterpoint.validation.graph_facts import graph_facts

ROW_CAP = 2_000_000  # the facts count over all rows; the native suites may look at a part


@dataclass(frozen=True)
class TableSize:
    """Rows of a table, and how many of them the native suite looked at; None: not readable."""

    name: str
    rows: int | None
    rows_judged: int


@dataclass(frozen=True)
class Verdict:
    """One expectation and how it ended, as validation.json has it."""

    name: str
    table: str
    severity: str
    success: bool
    violations: int | None
    total: int
    detail: str

    @property
    def line(self) -> str:
        """The failure in one line: file, name, count, what is wrong."""
        file = self.table if self.table == "folder" else f"{self.table}.parquet"
        count = "" if self.violations is None else f" {self.violations} of {self.total}"
        return f"{file}: {self.name}:{count} {self.detail}".rstrip()


@dataclass(frozen=True)
class ValidationResult:
    """What validation found out about a data set."""

    name: str
    tables: tuple[TableSize, ...]
    verdicts: tuple[Verdict, ...]
    passed: bool

    def failures(self, severity: str = "critical") -> list[str]:
        """The failed expectations of one severity, one line each."""
        return [v.line for v in self.verdicts if v.severity == severity and not v.success]

    def as_json(self) -> dict[str, Any]:
        """What validation.json holds: no time, no generated id, no value of the data."""
        return {
            "name": self.name,
            "passed": self.passed,
            "failures": self.failures(),
            "failed": {
                severity: len(self.failures(severity))
                for severity in ("critical", "warning", "info")
            },
            "tables": [vars(table) for table in self.tables],
            "expectations": [vars(verdict) for verdict in self.verdicts],
        }


def validate(
    folder: DataFolder, target: Path, progress: Callable[[str], None] | None = None
) -> ValidationResult:
    """Judge the data set, write the folder ``target``, return the result whether it passed or not.

    Args:
        folder: the data set.
        target: replaced as a whole; see the module for its files.
        progress: told the name of each suite before it runs.

    Raises:
        UserError: one of the user's own expectations is unknown or has wrong arguments, or a
            table is damaged.
    """
    say = progress or (lambda _: None)
    suites = {table: native_suite(folder, table) for table in folder.tables}
    _require_valid(folder, suites)
    sizes, judgements = [], {}
    for table, suite in suites.items():
        say(table)
        size, judgement = _judged_table(folder, table, suite)
        sizes.append(size)
        if judgement is not None:
            judgements[table] = judgement
    say("facts")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        facts = graph_facts(folder, Path(scratch))
    suites["facts"] = fact_suite(facts)
    judgements["facts"] = judged("facts", suites["facts"], fact_row(facts))
    result = _result(folder, sizes, judgements, facts)
    with new_folder(target) as scratch_folder:
        _write(scratch_folder, result, suites, facts)
    return result


def _require_valid(folder: DataFolder, suites: dict[str, list[Expected]]) -> None:
    where = folder.path / SCHEMA_FILE
    require_known_tables(folder.schema, folder.tables, str(where))
    faults: list[str] = []
    for table, suite in suites.items():
        try:
            built_suite(table, suite)
        except UserError as fault:
            faults += fault.faults
    if faults:
        raise UserError(*faults)


def _judged_table(
    folder: DataFolder, table: str, suite: list[Expected]
) -> tuple[TableSize, Judgement | None]:
    """None where the file is missing or no parquet: the fact ``structure`` says so."""
    path = folder.table_path(table)
    try:
        folder.scan(table)
    except UserError:
        return TableSize(table, None, 0), None
    has = column_names(path)
    wanted = {*scalar_columns(folder, table), *own_columns(folder.schema, table, has)}
    frame = table_frame(path, [column for column in has if column in wanted], ROW_CAP)
    return TableSize(table, table_rows(path), len(frame)), judged(table, suite, frame)


def _result(
    folder: DataFolder,
    sizes: list[TableSize],
    judgements: dict[str, Judgement],
    facts: list[Fact],
) -> ValidationResult:
    fact_of = {fact.name: fact for fact in facts}
    verdicts = [
        _verdict(table, outcome, fact_of.get(outcome.expected.name))
        for table, judgement in judgements.items()
        for outcome in judgement.outcomes
    ]
    passed = all(judgement.passed for judgement in judgements.values())
    return ValidationResult(folder.schema.name, tuple(sizes), tuple(verdicts), passed)


def _verdict(table: str, outcome: Outcome, fact: Fact | None) -> Verdict:
    expected = outcome.expected
    advice = expected.advice if fact is None else fact.advice
    parts = [
        "" if fact is None else fact.detail,
        "" if outcome.success else outcome.remark or advice,
    ]
    return Verdict(
        name=expected.name,
        table=table if fact is None else fact.table,
        severity=expected.severity,
        success=outcome.success,
        violations=outcome.violations,
        total=outcome.total if fact is None else fact.total,
        detail="; ".join(part for part in parts if part),
    )


def _write(
    target: Path, result: ValidationResult, suites: dict[str, list[Expected]], facts: list[Fact]
) -> None:
    write_json(target / "validation.json", result.as_json())
    for name, suite in suites.items():
        write_json(target / "suites" / f"{name}.json", suite_json(name, suite))
    fact_frame(facts).write_parquet(target / "facts.parquet")
    write_text(target / "docs" / "index.html", _page(result))
    write_manifest(target)


def _page(result: ValidationResult) -> str:
    """Our own page, not Great Expectations' Data Docs.

    Those load fifteen files from content networks, are unstyled without them, and stamp times,
    generated ids and the texts of exceptions (which quote values) into the page.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("counterpoint.validation", "."),
        autoescape=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("page.html.j2").render(result.as_json())
