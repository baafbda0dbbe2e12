"""Tables as pandas frames, for Great Expectations takes no polars: few columns, capped rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from counterpoint.validation.facts import Fact


def table_rows(path: Path) -> int:
    """Number of rows, from the footer."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def column_names(path: Path) -> list[str]:
    """Names of the columns, from the footer."""
    import pyarrow.parquet as pq

    return list(pq.read_schema(path).names)


def table_frame(path: Path, columns: Sequence[str], row_cap: int) -> "pd.DataFrame":
    """At most ``row_cap`` rows of a table, from row groups spread evenly over the file.

    Nullable pandas types, so that a null does not turn integers into floats; a null float is NaN.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        step = -(-file.metadata.num_rows // row_cap) or 1
        groups = range(0, file.num_row_groups, step)
        table = file.read_row_groups(list(groups), columns=list(columns)).slice(0, row_cap)
    return table.to_pandas(types_mapper=_nullable_type)


def fact_row(facts: "Sequence[Fact]") -> "pd.DataFrame":
    """One row with a column of violations a fact.

    Wide, because a condition on a row that is absent would pass, and an absent column does not.
    """
    import pandas as pd

    return pd.DataFrame({fact.name: [fact.violations] for fact in facts})


def _nullable_type(arrow: "pa.DataType") -> object:
    """Nullable for all but floats: a NaN in pandas' ``Float64`` is neither null nor a number."""
    import pandas as pd
    import pyarrow as pa

    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
        return pd.StringDtype()
    if pa.types.is_boolean(arrow):
        return pd.BooleanDtype()
    if pa.types.is_integer(arrow):
        return pd.api.types.pandas_dtype(str(arrow).replace("int", "Int").replace("u", "U"))
    return None
