"""The fact: a row of the fact table, which Great Expectations judges.

Great Expectations sees one table at a time; what it cannot see there (dangling ends, overlap of
splits, funnels, isolated nodes) polars counts over all rows in bounded memory, one fact a check.
A detail holds counts and rates, never a value of the data.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

Severity = Literal["critical", "warning", "info"]


@dataclass(frozen=True)
class Fact:
    """One row of the fact table.

    ``total`` is how many rows or things were looked at, ``detail`` what is counted and which
    rates or sizes were met, ``advice`` what to do about violations.
    """

    check: str
    table: str
    column: str | None
    severity: Severity
    violations: int
    total: int
    detail: str
    advice: str = ""

    @property
    def subject(self) -> str:
        """The table, or its column: ``relations/buys.dst``."""
        return self.table if self.column is None else f"{self.table}.{self.column}"

    @property
    def name(self) -> str:
        """Stable name of the expectation on this fact: ``fact:dangling:relations/buys.dst``."""
        return f"fact:{self.check}:{self.subject}"


def fact_frame(facts: list[Fact]) -> "pl.DataFrame":
    """The facts as a table: check, subject, severity, violations, total, share, detail."""
    import polars as pl

    return pl.DataFrame(
        {
            "check": [fact.check for fact in facts],
            "subject": [fact.subject for fact in facts],
            "severity": [fact.severity for fact in facts],
            "violations": [fact.violations for fact in facts],
            "total": [fact.total for fact in facts],
            "share": [fact.violations / fact.total if fact.total else 0.0 for fact in facts],
            "detail": [fact.detail for fact in facts],
        },
        schema_overrides={"violations": pl.Int64, "total": pl.Int64},
    )
