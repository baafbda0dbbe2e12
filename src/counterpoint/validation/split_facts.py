"""Facts of tasks and their splits: balance, drift, funnels, overlap, order in time."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoint.data.folder import DataFolder
from counterpoint.data.rules import positive_rows, split_counts
from counterpoint.data.schema import SCHEMA_FILE, Task, TaskKind
from counterpoint.data.splits import SPLITS, assigned_rows
from counterpoint.validation.facts import Fact, Severity

if TYPE_CHECKING:
    import polars as pl

DRIFT_BOUND = 0.5  # a positive rate may differ from the training split's by this share of it
TRAIN, *HELD_OUT = SPLITS

Assigned = Mapping[str, "pl.LazyFrame"]


def stored_assignments(folder: DataFolder, scratch: Path) -> dict[str, "pl.LazyFrame"]:
    """Each task's entity, label, time and split, streamed to ``scratch`` and scanned from there."""
    import polars as pl

    stored = {}
    for place, (name, task) in enumerate(folder.schema.tasks.items()):
        rows = assigned_rows(folder, name)
        wanted = [*task.id_columns, "split", "time"]
        if task.kind is TaskKind.BINARY:
            wanted.append("label")
        path = scratch / f"{place}.parquet"
        columns = [column for column in rows.collect_schema().names() if column in wanted]
        rows.select(columns).sink_parquet(path)
        stored[name] = pl.scan_parquet(path)
    return stored


def split_facts(folder: DataFolder, assigned: Assigned) -> Iterator[Fact]:
    """The facts of every task, task by task."""
    for name, task in folder.schema.tasks.items():
        yield from _balance_facts(name, task, assigned[name])
        yield from _funnel_facts(folder, name, assigned)
        yield from _time_facts(folder, name, assigned)
        yield _split_overlap(name, task, assigned[name])
        yield _cross_task_overlap(folder, name, assigned)


def same_entity_tasks(folder: DataFolder, name: str) -> list[str]:
    """The other tasks that score the same node type or pair of node types."""
    tasks = folder.schema.tasks
    return [
        other
        for other, task in tasks.items()
        if other != name and task.node_types == tasks[name].node_types
    ]


def held_out_elsewhere(folder: DataFolder, name: str, assigned: Assigned) -> "pl.LazyFrame | None":
    """The entities that other tasks hold out for validation and test; None without such tasks."""
    import polars as pl

    keys = list(folder.schema.tasks[name].id_columns)
    others = [
        assigned[other].filter(pl.col("split").is_in(HELD_OUT)).select(keys)
        for other in same_entity_tasks(folder, name)
    ]
    return pl.concat(others) if others else None


def _balance_facts(name: str, task: Task, rows: "pl.LazyFrame") -> Iterator[Fact]:
    table = f"tasks/{name}"
    counts = split_counts(rows, task)
    empty = [split for split, (size, _) in counts.items() if size == 0]
    sizes = ", ".join(f"{split} {size}" for split, (size, _) in counts.items())
    detail, advice = f"splits without rows ({sizes})", f"change split in {SCHEMA_FILE}"
    yield Fact("empty_split", table, None, "critical", len(empty), len(SPLITS), detail, advice)
    if task.kind is not TaskKind.BINARY:
        return
    single = [split for split, (size, ones) in counts.items() if size and ones in (0, size)]
    ones = ", ".join(f"{split} {ones} of {size}" for split, (size, ones) in counts.items())
    detail, advice = f"splits of one class (positives: {ones})", "change split or the labels"
    yield Fact("one_class", table, None, "critical", len(single), len(SPLITS), detail, advice)
    rates = {split: ones / size for split, (size, ones) in counts.items() if size}
    base = rates.get(TRAIN, 0.0)
    drifted = [s for s in HELD_OUT if s in rates and _drifts(rates[s], base, counts[s][0])]
    shown = ", ".join(f"{split} {rate:.4f}" for split, rate in rates.items())
    detail = f"splits whose positive rate is over {DRIFT_BOUND:.0%} off that of train ({shown})"
    yield Fact("rate_drift", table, None, "warning", len(drifted), len(HELD_OUT), detail)


def _drifts(rate: float, base: float, rows: int) -> bool:
    """Whether a rate among ``rows`` is off by more than the bound and three standard errors."""
    chance = 3 * math.sqrt(base * (1 - base) / rows)
    return abs(rate - base) > max(DRIFT_BOUND * base, chance)


def _funnel_facts(folder: DataFolder, name: str, assigned: Assigned) -> Iterator[Fact]:
    """Positives of a task that are no positives of its parent, where both kinds have positives."""
    import polars as pl

    task = folder.schema.tasks[name]
    if task.parent is None:
        return
    parent = folder.schema.tasks[task.parent]
    if not {task.kind, parent.kind} <= {TaskKind.BINARY, TaskKind.LINK}:
        return
    keys = list(task.id_columns)
    positives = positive_rows(assigned[name], task).select(keys)
    orphans = positives.join(
        positive_rows(assigned[task.parent], parent).select(keys), on=keys, how="anti"
    )
    total = positives.select(pl.len()).collect(engine="streaming").item()
    count = orphans.select(pl.len()).collect(engine="streaming").item()
    detail = f"positives that are absent or not positive in the parent {task.parent}"
    advice = f"correct the labels or remove parent from {SCHEMA_FILE}"
    yield Fact("funnel", f"tasks/{name}", None, "critical", count, total, detail, advice)
    if task.kind is parent.kind is TaskKind.BINARY:
        yield _funnel_space(name, task, assigned[name], assigned[task.parent])


def _funnel_space(name: str, task: Task, rows: "pl.LazyFrame", of_parent: "pl.LazyFrame") -> Fact:
    """The parent's negatives that a task of clicks alone has no rows for; 0 if it has any."""
    import polars as pl

    keys = list(task.id_columns)
    negatives = of_parent.filter(pl.col("label") == 0).select(keys)
    total, known = (
        found.select(pl.len()).collect(engine="streaming").item()
        for found in (negatives, negatives.join(rows.select(keys), on=keys, how="semi"))
    )
    detail = (
        f"negatives of {task.parent}, none of which has a row: rates are of its positives alone"
    )
    advice = "add these rows with label 0, which esmm reads, or remove parent"
    count = 0 if known else total
    return Fact("funnel_space", f"tasks/{name}", None, "warning", count, total, detail, advice)


def _time_facts(folder: DataFolder, name: str, assigned: Assigned) -> Iterator[Fact]:
    """Training rows later than the first held-out entity.

    An entity's time is its latest over all tasks that share its split, as the split by time has
    it; a given split is only compared within its task, and need not follow time.
    """
    import polars as pl

    by = folder.schema.split.by
    if by not in ("given", "time") or "time" not in assigned[name].collect_schema().names():
        return
    keys = list(folder.schema.tasks[name].id_columns)
    peers = [name, *same_entity_tasks(folder, name)] if by == "time" else [name]
    held = pl.concat([assigned[peer].select(*keys, "split", "time") for peer in peers]).filter(
        pl.col("split").is_in(HELD_OUT)
    )
    first = held.group_by(keys).agg(pl.col("time").max()).select(first=pl.col("time").min())
    train = assigned[name].filter(pl.col("split") == TRAIN)
    late = (
        train.select("time")
        .join(first, how="cross")
        .select(pl.len(), (pl.col("time") > pl.col("first")).sum())
    )
    total, count = late.collect(engine="streaming").row(0)
    detail = f"training rows later than the first held-out entity (split by {by})"
    severity: Severity = "critical" if by == "time" else "warning"
    yield Fact("time_order", f"tasks/{name}", None, severity, count, total, detail)


def _split_overlap(name: str, task: Task, rows: "pl.LazyFrame") -> Fact:
    import polars as pl

    splits = rows.group_by(task.id_columns).agg(splits=pl.col("split").n_unique())
    total, count = (
        splits.select(pl.len(), (pl.col("splits") > 1).sum()).collect(engine="streaming").row(0)
    )
    detail, advice = "entities that stand in two splits", "give each entity one split"
    return Fact("split_overlap", f"tasks/{name}", None, "critical", count, total, detail, advice)


def _cross_task_overlap(folder: DataFolder, name: str, assigned: Assigned) -> Fact:
    import polars as pl

    policy = folder.schema.cross_task
    keys = list(folder.schema.tasks[name].id_columns)
    train = assigned[name].filter(pl.col("split") == TRAIN).select(keys)
    held = held_out_elsewhere(folder, name, assigned)
    count = 0
    if held is not None:
        shared = train.join(held, on=keys, how="semi")
        count = shared.select(pl.len()).collect(engine="streaming").item()
    total = train.select(pl.len()).collect(engine="streaming").item()
    consequence = {
        "drop": "they are dropped",
        "mask": "they are trained on, their edges leave the graph",
        "allow": "they are trained on and stay in the graph",
    }[policy]
    detail = f"training rows that another task holds out (cross_task: {policy})"
    severity: Severity = "warning" if policy == "allow" else "info"
    return Fact(
        "cross_task_overlap", f"tasks/{name}", None, severity, count, total, detail, consequence
    )
