"""The papers' tables, recomputed: which derived numbers follow from the printed ones?

benchmarks/paper_tables.yaml has the numbers that METHODS reports (B.9, C.8, D.6). A printed number
stands for all that round to it, so a derived one is recomputed as the range that the table allows:
it *follows* if it is what the table's digits give, may be *rounding* if the range has it, and is a
*misprint* if it has not. Where the paper does not say how it derived, every reading is tried.

    python -m benchmarks.paper_tables --json benchmarks/results/paper_tables.json
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import BaseModel, ConfigDict
from scipy.stats import t as student

from counterpoint.data.schema import read_yaml
from counterpoint.errors import UserError
from counterpoint.files import write_json

CHANCE = 0.5  # of AUC and GAUC
PAPERS = Path(__file__).with_suffix(".yaml")
Numbers = Sequence[float]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Table(Strict):
    """A printed table: numbers by row, all with as many ``digits`` behind the point."""

    paper: str
    shows: str
    digits: int
    columns: list[str]
    rows: dict[str, list[float]]
    sd: dict[str, list[float]] = {}
    runs: int = 0

    def at(self, row: str, column: str) -> float:
        return self.rows[row][self.columns.index(column)]

    def sign(self, column: str) -> int:
        return -1 if column.endswith("log loss") else 1

    def others(self, row: str) -> list[str]:
        return [other for other in self.rows if other != row]


class Reading(Strict):
    """A way to derive a number; ``over`` are the rows it is relative to, none: all others."""

    by: str
    over: list[str] = []


class Derived(Strict):
    """Printed numbers: one a column of ``row``, or one a row, over ``columns`` (none: all)."""

    what: str
    table: str
    digits: int
    printed: dict[str, float]
    readings: dict[str, Reading]
    row: str = ""
    columns: list[str] = []


def relaimpr(value: float, base: float) -> float:
    """How much more ``value`` is above chance than ``base``, in per cent (METHODS C.7).

    ``((value - 0.5) / (base - 0.5) - 1) * 100``, of AUC and GAUC, whose chance is one half.

    Raises:
        UserError: the base is no better than chance: nothing is relative to that.
    """
    if base <= CHANCE:
        raise UserError(f"RelaImpr: the base is {base}, which is not above chance, {CHANCE}")
    return 100 * ((value - CHANCE) / (base - CHANCE) - 1)


# All rise with the row's own numbers and fall with the others', so that their range over what
# rounding allows is at its ends.
FORMULAS: dict[str, Callable[[Numbers, Numbers], float]] = {
    "cell": lambda own, _: own[0],
    "direction": lambda own, others: (own[0] > max(others)) - (own[0] < max(others)),
    "relaimpr": lambda own, others: relaimpr(own[0], max(others)),
    "ratio_of_means": lambda own, others: 100 * (fmean(own) / fmean(others) - 1),
    "mean_of_ratios": lambda own, others: (
        100 * fmean(a / b - 1 for a, b in zip(own, others, strict=True))
    ),
}


def recomputed(
    table: Table, derived: Derived, reading: Reading, label: str, printed: float
) -> dict[str, Any]:
    """A printed number beside what the table gives for it."""
    row, columns = (derived.row, [label]) if derived.row else (label, derived.columns)
    columns = columns or table.columns
    over = reading.over or table.others(row)
    own = [table.at(row, column) for column in columns]
    others = [table.at(other, column) for other in over for column in columns]
    formula, half = FORMULAS[reading.by], 0.5 * 10**-table.digits
    low, value, high = (
        formula([x + move for x in own], [x - move for x in others]) for move in (-half, 0, half)
    )
    reach = 0.5 * 10**-derived.digits + 1e-9
    if abs(value - printed) <= reach:
        state = "follows"
    else:
        state = "rounding" if low - reach <= printed <= high + reach else "misprint"
    return {"printed": printed, "value": value, "low": low, "high": high, "state": state}


def all_readings(tables: dict[str, Table], derived: Derived) -> dict[str, Any]:
    table = tables[derived.table]
    readings = {
        name: {
            label: recomputed(table, derived, reading, label, printed)
            for label, printed in derived.printed.items()
        }
        for name, reading in derived.readings.items()
    }
    best = min(
        sum(found["state"] == "misprint" for found in by_label.values())
        for by_label in readings.values()
    )
    shown = {"paper": table.paper, "shows": table.shows, "what": derived.what}
    counts = {"printed": len(derived.printed), "misprints_at_least": best}
    return {**shown, **counts, "digits": derived.digits, "readings": readings}


def standing(table: Table, row: str, single: Sequence[str] = ()) -> dict[str, Any]:
    """By column the rank of ``row``, the best other one, and the best of each sort of model."""

    def best(rows: Sequence[str], column: str) -> str:
        return max(rows, key=lambda name: table.sign(column) * table.at(name, column))

    by_column = {}
    for column in table.columns:
        sign, own = table.sign(column), table.at(row, column)
        rival = best(table.others(row), column)
        found = {
            "rank": 1 + sum(sign * (table.at(name, column) - own) > 0 for name in table.rows),
            "rival": rival,
            "ahead": sign * (own - table.at(rival, column)),
        }
        if single:
            joint = [name for name in table.rows if name not in single]
            found |= {"single": best(single, column), "joint": best(joint, column)}
            scores = [sign * table.at(found[sort], column) for sort in ("single", "joint")]
            found["ahead_of_single"] = scores[1] - scores[0]
        by_column[column] = found
    shown = {"paper": table.paper, "shows": table.shows, "row": row, "of": len(table.rows)}
    return {**shown, "digits": table.digits, "columns": by_column}


def transfer(
    table: Table, over: str, rows: Sequence[str], columns: Sequence[str] = ()
) -> dict[str, Any]:
    """Of each joint row, in how many columns it is below the single-task one, and Δ_m (E.2)."""
    columns = columns or table.columns
    found = {}
    for row in rows:
        pairs = [(table.at(row, column), table.at(over, column)) for column in columns]
        found[row] = {
            "below": sum(a < b for a, b in pairs),
            "delta_m": 100 * fmean(a / b - 1 for a, b in pairs),
            "relaimpr": fmean(relaimpr(a, b) for a, b in pairs),
        }
    shown = {"paper": table.paper, "shows": table.shows, "over": over, "of": len(columns)}
    return {**shown, "rows": found}


def gap(table: Table, row: str, over: str) -> dict[str, Any]:
    """By column the difference and its 95 % interval: Welch's, as nothing says runs are paired."""
    found = {}
    for index, column in enumerate(table.columns):
        variances = [table.sd[name][index] ** 2 / table.runs for name in (row, over)]
        freedom = sum(variances) ** 2 * (table.runs - 1) / sum(v**2 for v in variances)
        reach = float(student.ppf(0.975, freedom)) * sum(variances) ** 0.5
        mean = table.rows[row][index] - table.rows[over][index]
        found[column] = {"mean": mean, "low": mean - reach, "high": mean + reach}
    return {"paper": table.paper, "shows": table.shows, "row": row, "over": over, "columns": found}


def summary(papers: dict[str, Any]) -> dict[str, Any]:
    """What the page shows, from what ``paper_tables.yaml`` says."""
    tables = {name: Table.model_validate(values) for name, values in papers["tables"].items()}

    def on_table(function: Callable[..., dict[str, Any]], asked: dict[str, Any]) -> dict[str, Any]:
        return function(tables[asked["table"]], **{k: v for k, v in asked.items() if k != "table"})

    return {
        "derived": [
            all_readings(tables, Derived.model_validate(values)) for values in papers["derived"]
        ],
        "standings": [on_table(standing, asked) for asked in papers["standings"]],
        "transfers": [on_table(transfer, asked) for asked in papers["transfers"]],
        "gaps": [on_table(gap, asked) for asked in papers["gaps"]],
        "cannot": papers["cannot"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write what was found")
    arguments = parser.parse_args()
    found = summary(read_yaml(PAPERS))
    for derived in found["derived"]:
        for reading, by_label in derived["readings"].items():
            for label, one in by_label.items():
                print(f"{derived['shows']}: {derived['what']}, {reading}, {label}: {one['state']}")
    if arguments.json:
        write_json(arguments.json, found)


if __name__ == "__main__":
    main()
