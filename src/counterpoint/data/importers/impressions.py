"""Click-and-purchase logs whose rows are impressions: a node each, with features and labels.

These logs have no stable user and item numbers, so there is no graph in them; both tasks are on
node type impression. Files may be larger than memory.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from counterpoint.data.importers.csv_files import checked_csv
from counterpoint.data.importers.imported import Count, Imported
from counterpoint.data.importers.text_files import Kind, existing_file
from counterpoint.data.schema import (
    DataSchema,
    Feature,
    FeatureKind,
    NodeType,
    Split,
    Task,
    TaskKind,
)


@dataclass(frozen=True)
class Layout:
    """Columns and files of a log.

    ``files`` gives each part of the split its possible file names. The second task's positives
    are positives of ``click``.
    """

    name: str
    description: str
    files: Mapping[str, tuple[str, ...]]
    categorical: tuple[str, ...]
    numeric: tuple[str, ...]
    conversion: str
    others: tuple[str, ...] = ()

    @property
    def columns(self) -> dict[str, Kind]:
        """Kind of each column."""
        return {
            **dict.fromkeys((*self.others, *self.categorical), Kind.INTEGER),
            **dict.fromkeys(self.numeric, Kind.NUMBER),
            **dict.fromkeys(("click", self.conversion), Kind.LABEL),
        }


def read_impressions(
    layout: Layout, source: Path, split: Callable[[str], pl.Expr] = pl.lit
) -> Imported:
    """Lazy tables of a log; ids are row numbers in the order train, valid, test.

    Args:
        layout: of the log.
        source: folder with its files.
        split: the ``split`` column, from the part of the split that a file is.
    """
    paths = {part: existing_file(source, *names) for part, names in layout.files.items()}
    files = {part: checked_csv(path, layout.columns) for part, path in paths.items()}
    rows = pl.concat(
        [file.scan().with_columns(split=split(part)) for part, file in files.items()]
    ).with_row_index("id")
    ids = pl.col("id").cast(pl.Int64)
    tables = {
        "nodes/impression": rows.select(ids, *layout.categorical, *layout.numeric),
        **{
            f"tasks/{task}": rows.select(ids, "split", label=task)
            for task in ("click", layout.conversion)
        },
    }
    counts = [
        Count(what, file.totals[total], file=file.path.name)
        for file in files.values()
        for what, total in (
            ("impressions", "rows"),
            ("clicks", "click"),
            (f"{layout.conversion}s", layout.conversion),
        )
    ]
    return Imported(_schema(layout), tables, counts)


def _schema(layout: Layout) -> DataSchema:
    features = [Feature(name=name, kind=FeatureKind.CATEGORICAL) for name in layout.categorical]
    features += [Feature(name=name, kind=FeatureKind.NUMERIC) for name in layout.numeric]
    return DataSchema(
        name=layout.name,
        description=layout.description,
        node_types={"impression": NodeType(features=tuple(features))},
        tasks={
            "click": Task(kind=TaskKind.BINARY, entity="impression"),
            layout.conversion: Task(kind=TaskKind.BINARY, entity="impression", parent="click"),
        },
        split=Split(by="given"),
    )
