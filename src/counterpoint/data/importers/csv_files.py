"""CSV files that may be larger than memory: checked in one streaming pass, then scanned."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from counterpoint.data.importers.text_files import Kind, parsed, value_fault
from counterpoint.errors import UserError


@dataclass(frozen=True)
class CheckedCsv:
    """A CSV file with a header whose every value is of its column's kind.

    ``totals`` holds the number of ``rows`` and the sum of each label column.
    """

    path: Path
    columns: Mapping[str, Kind]
    totals: Mapping[str, int]

    def scan(self) -> pl.LazyFrame:
        """The columns, parsed; streams."""
        return _texts(self.path).select(parsed(name, kind) for name, kind in self.columns.items())


def header(path: Path) -> list[str]:
    """Names in the first line of a CSV file."""
    try:
        return _texts(path).collect_schema().names()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except pl.exceptions.PolarsError as fault:
        raise _unreadable(path, fault) from None


def checked_csv(path: Path, columns: Mapping[str, Kind]) -> CheckedCsv:
    """Check ``columns`` of a CSV file in one pass of bounded memory; other columns are ignored.

    Raises:
        UserError: a column or value is missing, or a value is not of its kind.
    """
    missing = [name for name in columns if name not in header(path)]
    if missing:
        raise UserError(f"{path}: line 1: no column {', '.join(missing)}")
    firsts = {
        f"fault {name}": pl.col("row").filter(parsed(name, kind).is_null()).min()
        for name, kind in columns.items()
    }
    labels = [name for name, kind in columns.items() if kind is Kind.LABEL]
    sums = {name: parsed(name, Kind.LABEL).cast(pl.Int64).sum() for name in labels}
    try:
        found = (
            _texts(path)
            .with_row_index("row")
            .select(pl.len().alias("rows"), **sums, **firsts)
            .collect(engine="streaming")
            .row(0, named=True)
        )
    except pl.exceptions.PolarsError as fault:
        raise _unreadable(path, fault) from None
    faults = [(found[f"fault {name}"], name) for name in columns]
    rows = [(row, name) for row, name in faults if row is not None]
    if rows:
        row, name = min(rows)
        value = _texts(path).select(name).slice(row, 1).collect().item()
        raise value_fault(path, row + 2, name, value, columns[name])
    if not found["rows"]:
        raise UserError(f"{path}: has no rows")
    return CheckedCsv(path, columns, {name: found[name] for name in ("rows", *labels)})


def _texts(path: Path) -> pl.LazyFrame:
    return pl.scan_csv(path, infer_schema=False)


def _unreadable(path: Path, fault: pl.exceptions.PolarsError) -> UserError:
    return UserError(f"{path}: not a readable CSV file ({str(fault).splitlines()[0]})")
