"""How the models of each cell read relations, over their seeds (``training/inspection.py``)."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoint.evaluation.history import summary
from counterpoint.evaluation.report import Reading, Summary
from counterpoint.graph.store import GraphMeta

if TYPE_CHECKING:
    import polars as pl


def readings_of_runs(runs: Mapping[str, Path]) -> "pl.DataFrame | None":
    """The rows of all runs whose layers weigh edges, with their ``cell``; None without any."""
    import polars as pl

    paths = {cell: folder / "readings.parquet" for cell, folder in runs.items()}
    found = [
        pl.read_parquet(path).with_columns(cell=pl.lit(cell))
        for cell, path in paths.items()
        if path.is_file()
    ]
    return pl.concat(found) if found else None


def summarised(found: "pl.DataFrame", meta: GraphMeta) -> list[Reading]:
    """Every quantity over the seeds, by cell, task and layer, relations in the graph's order.

    Of a task's last layer only what leads to its own nodes is there: no tower sees the others.
    """
    heads = {relation.name: relation.dst for relation in meta.relations}
    place = {name: number for number, name in enumerate(heads)}
    values: dict[tuple[str, str, int, str], dict[str, Summary]] = {}
    keys = ["cell", "task", "layer", "relation"]
    for *key, name, of_seeds in (
        found.group_by([*keys, "name"], maintain_order=True).agg("value").iter_rows()
    ):
        cell, task, layer, relation = key
        values.setdefault((cell, task, layer, relation), {})[name] = summary(of_seeds)
    last = {(cell, task): layer for cell, task, layer, _ in sorted(values)}
    return [
        Reading(
            cell=cell, task=task, layer=layer, relation=relation, head=heads[relation], values=of
        )
        for (cell, task, layer, relation), of in sorted(
            values.items(), key=lambda item: (item[0][:3], place[item[0][3]])
        )
        if layer < last[cell, task] or heads[relation] in meta.trained[task].node_types
    ]
