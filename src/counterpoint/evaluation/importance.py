"""Whether attention goes where the planted truth says that a task's signals come from."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoint.evaluation.history import summary
from counterpoint.evaluation.report import Agreement
from counterpoint.files import read_json
from counterpoint.graph.store import GraphMeta

if TYPE_CHECKING:
    import polars as pl

FEWEST = 3  # signals; of two any order correlates perfectly


def agreements(found: "pl.DataFrame", meta: GraphMeta, data_path: Path) -> list[Agreement]:
    """Rank correlation (Spearman) of planted importance and attention, by task and cell.

    A task is left out where there are too few signals, or all are worth the same to it.

    Args:
        found: what :func:`~counterpoint.evaluation.readings.readings_of_runs` gives.
        meta: of the graph that was read.
        data_path: the data-set folder; without a planted truth there is nothing to agree with.
    """
    import polars as pl

    path = data_path / "truth" / "truth.json"
    if not path.is_file():
        return []
    truth = read_json(path)
    agreed = []
    for task, weights in truth.get("importance", {}).items():
        importance = [abs(weight) for weight in weights.values()]
        if len(importance) < FEWEST or len(set(importance)) == 1:
            continue
        paths = signal_paths(truth, task)
        of_task = _both_ways(found.filter(pl.col("task") == task), meta)
        for (cell,), of_cell in of_task.group_by(["cell"], maintain_order=True):
            by_seed = of_cell.partition_by("seed")
            even, correlations = (
                [_rank_correlation(importance, _paid(rows, name, paths)) for rows in by_seed]
                for name in ("even", "attention")
            )
            agreed.append(
                Agreement(
                    cell=str(cell),
                    task=task,
                    signals=len(importance),
                    correlation=summary(correlations),
                    even=even[0],
                    most=_most(importance),
                )
            )
    return agreed


def _both_ways(found: "pl.DataFrame", meta: GraphMeta) -> "pl.DataFrame":
    """The rows with what each relation within a node type shares with its reverse, on both.

    Planted relations within a type are symmetric: the same edges stand under two names.
    """
    import polars as pl

    within = [relation.name for relation in meta.relations if relation.src == relation.dst]
    names = pl.col("relation").str.strip_prefix("rev-")
    pair = pl.when(pl.col("relation").is_in(within)).then(names).otherwise("relation")
    return found.with_columns(
        value=pl.col("value").sum().over("cell", "seed", "task", "layer", "name", pair)
    )


def _paid(rows: "pl.DataFrame", name: str, paths: Sequence[Sequence[str]]) -> list[float]:
    """What each path gets, by one seed's rows of ``name``."""
    places = rows.filter(name=name).select("layer", "relation", "value").iter_rows()
    attention = {(layer, relation): value for layer, relation, value in places}
    return [attention_by_path(attention, path) for path in paths]


def signal_paths(truth: Mapping[str, Any], task: str) -> list[tuple[str, ...]]:
    """For each signal of a task the relations by which it comes to the task's nodes, in order.

    Where the truth has no ``paths`` (by signal, or by task and signal), a signal is named after a
    relation and goes from its tails to its heads, against the way in which the table is written.
    """
    paths = truth.get("paths", {})
    paths = paths.get(task, paths)
    return [tuple(paths.get(name, [f"rev-{name}"])) for name in truth["importance"][task]]


def attention_by_path(attention: Mapping[tuple[int, str], float], path: Sequence[str]) -> float:
    """What reaches a node by a path through layers that also keep their input.

    The product of the steps' attention, summed over all choices of layers in which they can be
    made, as in attention rollout (Abnar and Zuidema 2020). A relation without edges has none.

    Args:
        attention: by layer and relation.
        path: relations, in the order in which they are taken.
    """
    layers = sorted({layer for layer, _ in attention})
    return sum(
        prod(attention.get(place, 0.0) for place in zip(chosen, path, strict=True))
        for chosen in combinations(layers, len(path))
    )


def _rank_correlation(importance: Sequence[float], paid: Sequence[float]) -> float:
    from scipy.stats import spearmanr

    if len(set(paid)) == 1:  # no order at all
        return 0.0
    return float(spearmanr(importance, paid).statistic)


def _most(importance: Sequence[float]) -> float:
    """The correlation of attention in the right order: below 1 where importances are equal."""
    from scipy.stats import rankdata

    return _rank_correlation(importance, rankdata(importance, method="ordinal").tolist())
