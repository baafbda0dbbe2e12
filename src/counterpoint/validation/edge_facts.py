"""Facts of the graph that will be built: self loops, degrees, scored entities without an edge."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from counterpoint.data.folder import DataFolder
from counterpoint.data.rules import end_columns, positive_rows
from counterpoint.validation.facts import Fact
from counterpoint.validation.split_facts import TRAIN, Assigned, held_out_elsewhere

if TYPE_CHECKING:
    import polars as pl

TAIL = 100  # times the median degree: a node beyond it is a hub


def edge_facts(folder: DataFolder, assigned: Assigned) -> Iterator[Fact]:
    """The facts of every relation, static or derived, and of every task's scored entities."""
    for name in folder.schema.relations:
        yield from _relation_facts(folder, name, assigned)
    connected = {
        node_type: _connected(folder, node_type, assigned) for node_type in folder.schema.node_types
    }
    for name in folder.schema.tasks:
        for column, node_type in end_columns(folder.schema, f"tasks/{name}").items():
            seeds = assigned[name].select(id=column).unique()
            total, count = _size_and_unmatched(seeds, connected[node_type])
            detail = f"scored nodes of type {node_type} without an edge in any relation"
            yield Fact("isolated_seed", f"tasks/{name}", column, "warning", count, total, detail)


def message_edges(folder: DataFolder, name: str, assigned: Assigned) -> "pl.LazyFrame":
    """``src`` and ``dst`` of a relation as the graph will hold it.

    A derived relation has the positives among its task's training rows, without those that
    another task holds out unless ``cross_task`` allows them.
    """
    import polars as pl

    task_name = folder.schema.relations[name].from_task
    if task_name is None:
        return folder.scan(f"relations/{name}").select("src", "dst")
    rows = positive_rows(
        assigned[task_name].filter(pl.col("split") == TRAIN), folder.schema.tasks[task_name]
    ).select("src", "dst")
    held = held_out_elsewhere(folder, task_name, assigned)
    if held is None or folder.schema.cross_task == "allow":
        return rows
    return rows.join(held, on=["src", "dst"], how="anti")


def _relation_facts(folder: DataFolder, name: str, assigned: Assigned) -> Iterator[Fact]:
    import polars as pl

    table, edges = f"relations/{name}", message_edges(folder, name, assigned)
    src, dst = folder.schema.ends(name)
    if src == dst:
        loops = edges.select(pl.len(), (pl.col("src") == pl.col("dst")).sum())
        total, count = loops.collect(engine="streaming").row(0)
        detail, advice = "edges from a node to itself", "drop them unless they mean something"
        yield Fact("self_loop", table, None, "warning", count, total, detail, advice)
    for column in ("src", "dst"):
        degrees = edges.group_by(column).agg(degree=pl.len())
        middle = pl.col("degree").median()
        nodes, median, largest, hubs = (
            degrees.select(
                pl.len(),
                middle.alias("median"),
                pl.col("degree").max().alias("largest"),
                (pl.col("degree") > TAIL * middle).sum().alias("hubs"),
            )
            .collect(engine="streaming")
            .row(0)
        )
        detail = (
            f"nodes of over {TAIL} times the median degree "
            f"(median {median or 0:g}, largest {largest or 0})"
        )
        yield Fact("degree_tail", table, column, "info", hubs, nodes, detail)


def _size_and_unmatched(seeds: "pl.LazyFrame", connected: "pl.DataFrame | None") -> tuple[int, int]:
    import polars as pl

    total = seeds.select(pl.len()).collect(engine="streaming").item()
    if connected is None:
        return total, total
    alone = seeds.join(connected.lazy(), on="id", how="anti")
    return total, alone.select(pl.len()).collect(engine="streaming").item()


def _connected(folder: DataFolder, node_type: str, assigned: Assigned) -> "pl.DataFrame | None":
    """The ids of a node type that have an edge; None where no relation touches the type."""
    import polars as pl

    ends = [
        message_edges(folder, name, assigned).select(id=column)
        for name in folder.schema.relations
        for column, end in zip(("src", "dst"), folder.schema.ends(name), strict=True)
        if end == node_type
    ]
    return pl.concat(ends).unique().collect(engine="streaming") if ends else None
