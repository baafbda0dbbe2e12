"""The data-set folder: dataset.yaml beside parquet tables of nodes, relations and tasks.

::

    dataset.yaml
    nodes/<type>.parquet       id, one column a feature
    relations/<name>.parquet   src, dst, optional time and weight; static relations only
    tasks/<task>.parquet       id or src and dst; label (not for link tasks); optional time, split
    truth/                     planted data only: truth.json, <task>.parquet with the Bayes score
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoint.data.schema import SCHEMA_FILE, DataSchema, TaskKind, read_schema, schema_text
from counterpoint.errors import UserError
from counterpoint.files import new_file, write_text

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class DataFolder:
    """A data-set folder and its schema; tables are scanned lazily."""

    path: Path
    schema: DataSchema

    def table_path(self, table: str) -> Path:
        """Path of the table ``nodes/user``, ``relations/buys``, ``tasks/click``."""
        return self.path / f"{table}.parquet"

    def scan(self, table: str) -> "pl.LazyFrame":
        """Lazy frame of a table.

        Raises:
            UserError: the file is missing, truncated or no parquet.
        """
        import polars as pl

        path = self.table_path(table)
        if not path.is_file():
            raise UserError(f"{path}: no such file, but {SCHEMA_FILE} names it")
        try:
            pl.read_parquet_schema(path)
            return pl.scan_parquet(path)
        except Exception as fault:
            reason = str(fault).splitlines()[0]
            raise UserError(f"{path}: not a readable parquet file ({reason})") from None

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of all tables that the schema asks for."""
        return (
            *(f"nodes/{name}" for name in self.schema.node_types),
            *(f"relations/{name}" for name in self.schema.static_relations),
            *(f"tasks/{name}" for name in self.schema.tasks),
        )

    def columns(self, table: str) -> tuple[str, ...]:
        """The columns that the schema requires of a table."""
        folder, name = table.split("/", 1)
        if folder == "nodes":
            return ("id", *(feature.name for feature in self.schema.node_types[name].features))
        if folder == "relations":
            return ("src", "dst")
        task = self.schema.tasks[name]
        label = () if task.kind is TaskKind.LINK else ("label",)
        time = ("time",) if self.schema.split.by in ("time", "leave_last_out") else ()
        split = ("split",) if self.schema.split.by == "given" else ()
        return (*task.id_columns, *label, *time, *split)


def open_folder(path: Path) -> DataFolder:
    """Read ``dataset.yaml`` and return the folder; tables are not opened yet."""
    if not path.is_dir():
        raise UserError(f"{path}: no such folder")
    return DataFolder(path, read_schema(path))


def write_folder(
    path: Path, schema: DataSchema, tables: "Mapping[str, pl.DataFrame | pl.LazyFrame]"
) -> DataFolder:
    """Write ``dataset.yaml`` and the tables into the existing folder ``path``.

    Lazy frames are streamed. Call it inside :func:`counterpoint.files.new_folder`.
    """
    import polars as pl

    folder = DataFolder(path, schema)
    for table, frame in tables.items():
        with new_file(folder.table_path(table)) as scratch:
            if isinstance(frame, pl.LazyFrame):
                frame.sink_parquet(scratch, maintain_order=True, row_group_size=1 << 18)
            else:
                frame.write_parquet(scratch, row_group_size=1 << 18)
    write_text(path / SCHEMA_FILE, schema_text(schema))
    return folder
