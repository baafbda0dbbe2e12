"""The Bayes-optimal score of planted data, from the truth beside the tables."""

from pathlib import Path

import numpy as np

from counterpoint.errors import UserError
from counterpoint.graph.store import GraphStore
from counterpoint.metrics import Parts


def bayes_reference(
    store: GraphStore, task_name: str, split: str, data_path: Path | None
) -> Parts | None:
    """Every row scored by the probability that its label was drawn with; None without a truth.

    Raises:
        UserError: the truth does not hold a row of the split.
    """
    import polars as pl

    if data_path is None:
        return None
    path = data_path / "truth" / f"{task_name}.parquet"
    if not path.is_file():
        return None
    task, rows = store.meta.tasks[task_name], store.rows(task_name, split)
    entity = rows.entity if task.is_pair else rows.entity[:, None]
    places = {column: entity[:, i] for i, column in enumerate(task.id_columns)}
    wanted = pl.DataFrame(places).with_row_index("row").lazy()
    for column, node_type in zip(task.id_columns, task.node_types, strict=True):
        ids = pl.scan_parquet(store.path / "ids" / f"{node_type}.parquet")
        ids = ids.with_columns(place=pl.int_range(pl.len(), dtype=pl.Int64))
        wanted = wanted.join(
            ids.rename({"id": f"id_{column}"}), left_on=column, right_on="place", how="inner"
        )
    keys = [f"id_{column}" for column in task.id_columns]
    truth = pl.scan_parquet(path).rename(dict(zip(task.id_columns, keys, strict=True)))
    score = wanted.join(truth, on=keys, how="inner").sort("row").select("bayes").collect()
    if len(score) != len(rows):
        raise UserError(
            f"{path}: holds {len(score)} of the {len(rows)} {split} rows; generate the data again"
        )
    cluster = rows.entity[:, 0] if task.is_pair else rows.entity
    row = np.arange(len(rows))
    return Parts(task.kind.value, cluster, row, rows.label, score["bayes"].to_numpy())
