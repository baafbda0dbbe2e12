"""A part of a data set: a share of the nodes of one type, some of its tasks.

To screen on before the whole is run, or to leave behaviours out. Which nodes stay is a hash of
their place in the node table and the seed: the same nodes each time, labels unseen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from counterpoint.data.folder import DataFolder, write_folder
from counterpoint.data.rules import end_columns
from counterpoint.data.schema import SCHEMA_FILE, DataSchema, one_line_faults
from counterpoint.data.splits import assigned_rows, entity_uniform, node_index
from counterpoint.errors import UserError
from counterpoint.files import new_folder

if TYPE_CHECKING:
    import polars as pl

Roles = Mapping[str, Literal["target", "auxiliary"]]
Tables = dict[str, "pl.LazyFrame"]


@dataclass(frozen=True)
class Share:
    """``share`` in (0, 1) of the nodes of ``node_type``, drawn by ``seed``."""

    node_type: str
    share: float
    seed: int = 0


def write_part(
    folder: DataFolder, target: Path, roles: Roles | None = None, share: Share | None = None
) -> DataFolder:
    """Write a part of the data set ``folder`` as the data-set folder ``target``.

    A row's split is what it was in the whole, as a column: what is chosen on the part's validation
    rows has not seen a test row of the whole. A planted truth does not come along.

    Args:
        folder: the whole.
        target: made, or replaced if it is a data-set folder already; whole or not at all.
        roles: the tasks that stay, and as what; None keeps all as they are. Relations derived
            from a task that goes, go with it.
        share: the nodes that stay; rows that name another go. Other types stay whole: without the
            items that no row names any more, those of test rows would stand out as the cold ones.

    Raises:
        UserError: an unknown task or node type, a share outside (0, 1), nothing left to judge, a
            target in the way.
    """
    taken = target.exists() and not (target / SCHEMA_FILE).is_file()
    if taken or target.resolve() == folder.path.resolve():
        what = "exists and is no data-set folder" if taken else "is the whole itself"
        raise UserError(f"{target}: {what}; choose another target")
    schema = _schema_of_part(folder, roles)
    tables = {name: _table(folder, name) for name in DataFolder(folder.path, schema).tables}
    if share is not None:
        tables = _thinned(folder, schema, tables, share)
    with new_folder(target) as scratch:
        write_folder(scratch, schema, tables)
    return DataFolder(target, schema)


def _table(folder: DataFolder, name: str) -> "pl.LazyFrame":
    if not name.startswith("tasks/"):
        return folder.scan(name)
    task = name.removeprefix("tasks/")
    places = [f"row_{column}" for column in folder.schema.tasks[task].id_columns]
    return assigned_rows(folder, task).drop(places)


def _schema_of_part(folder: DataFolder, roles: Roles | None) -> DataSchema:
    schema = folder.schema
    if roles is None:
        roles = {name: task.role for name, task in schema.tasks.items()}
    if unknown := [name for name in roles if name not in schema.tasks]:
        raise UserError(
            f"{folder.path}: no task {', '.join(unknown)}; there are {', '.join(schema.tasks)}"
        )
    values: dict[str, Any] = schema.model_dump(mode="json", exclude_defaults=True)
    gone = {f"tasks/{name}" for name in schema.tasks if name not in roles}
    values["split"] = {"by": "given"}
    values["tasks"] = {
        name: {k: v for k, v in task.items() if k != "parent" or v in roles} | {"role": roles[name]}
        for name, task in values["tasks"].items()
        if name in roles
    }
    values["relations"] = {
        name: relation
        for name, relation in values.get("relations", {}).items()
        if relation.get("from_task") in (None, *roles)
    }
    values["expectations"] = [
        rule for rule in values.get("expectations", ()) if rule["table"] not in gone
    ]
    try:
        return DataSchema.model_validate(values)
    except ValidationError as fault:
        raise UserError(*one_line_faults(folder.path / SCHEMA_FILE, fault)) from None


def _thinned(folder: DataFolder, schema: DataSchema, tables: Tables, share: Share) -> Tables:
    """The tables without the nodes that go, nor the rows that name them."""
    import polars as pl

    if share.node_type not in schema.node_types:
        there = ", ".join(schema.node_types)
        raise UserError(f"{folder.path}: no node type {share.node_type!r}; there are {there}")
    if not 0 < share.share < 1:
        raise UserError(f"{share.node_type}: share {share.share}: give a number between 0 and 1")
    nodes = node_index(folder, share.node_type).collect()
    stays = entity_uniform([nodes["row"].to_numpy()], share.seed) < share.share
    kept = nodes.filter(pl.Series(stays)).select("id").lazy()
    thinned = dict(tables)
    for name in tables:
        of_nodes = {"id": name.removeprefix("nodes/")} if name.startswith("nodes/") else {}
        for column, node_type in (of_nodes or end_columns(schema, name)).items():
            if node_type == share.node_type:
                thinned[name] = thinned[name].join(
                    kept, left_on=column, right_on="id", how="semi", maintain_order="left"
                )
    return thinned
