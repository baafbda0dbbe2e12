"""What an importer returns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.data.schema import DataSchema

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Count:
    """A count of the source beside the published one; None where none is published."""

    what: str
    found: int
    published: int | None = None
    note: str = ""
    file: str = ""


@dataclass(frozen=True)
class Imported:
    """A data set in Counterpoint's terms: tables by name (``nodes/user``), ready to be written."""

    schema: DataSchema
    tables: "Mapping[str, pl.DataFrame | pl.LazyFrame]"
    counts: list[Count]
