"""What a run directory says over its seeds: values on test, curves over epochs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from counterpoint.evaluation.report import Curve, Report, Summary


def summaries(metrics: Mapping[str, Any]) -> dict[str, dict[str, Summary]]:
    """Task to metric on test, over the seeds where it is defined, from a run's metrics.json."""
    values: dict[str, dict[str, list[float]]] = {}
    for by_task in metrics["seeds"].values():
        for task, by_split in by_task.items():
            for metric, found in by_split["test"].items():
                if found is not None:
                    values.setdefault(task, {}).setdefault(metric, []).append(found)
    return {
        task: {metric: summary(found) for metric, found in by_metric.items()}
        for task, by_metric in values.items()
    }


def summary(found: Sequence[float]) -> Summary:
    """Mean and standard deviation of a value a seed."""
    return Summary(mean=fmean(found), sd=stdev(found) if len(found) > 1 else 0.0, n=len(found))


def curves_from_history(runs: Mapping[str, Path]) -> list[Curve]:
    """Every value of every run's history over epochs, from run directories by cell name.

    An epoch that fewer than half of a fit's seeds have reached is left out: what early stopping
    has spared does not speak for the others.
    """
    import polars as pl

    keys, curves = ["fit", "task", "name"], []
    for cell, folder in runs.items():
        history = pl.read_parquet(folder / "history.parquet").with_columns(
            of_fit=pl.col("seed").n_unique().over("fit")
        )
        by_epoch = (
            history.group_by([*keys, "epoch"], maintain_order=True)
            .agg(
                mean=pl.col("value").mean(),
                low=pl.col("value").min(),
                high=pl.col("value").max(),
                reached=2 * pl.col("seed").n_unique() >= pl.col("of_fit").first(),
            )
            .filter("reached")
            .sort([*keys, "epoch"])
        )
        for (fit, task, name), rows in by_epoch.group_by(keys, maintain_order=True):
            columns = rows.select("epoch", "mean", "low", "high").to_dict(as_series=False)
            epochs = columns.pop("epoch")
            curves.append(Curve(cell=cell, fit=fit, task=task, name=name, epochs=epochs, **columns))
    return curves


def learning_tables(report: Report) -> dict[str, list[dict[str, float]]]:
    """For ``dvc plots``, which draws one line a file: ``task.cell`` to rows of epoch and value."""
    return {
        f"{curve.task}.{curve.cell}": [
            {"epoch": epoch, curve.name: mean}
            for epoch, mean in zip(curve.epochs, curve.mean, strict=True)
        ]
        for curve in report.curves
        if curve.name.startswith("valid ")
    }


def flat_metrics(report: Report) -> dict[str, float | str]:
    """Flat numbers for ``dvc metrics``: ``candidate.task.difference`` and the like.

    Few, as `dvc metrics show` has a column for each; the report has the rest.
    """
    found: dict[str, float | str] = {}
    for verdict in report.candidates:
        found[f"{verdict.candidate}.decision"] = verdict.decision
        for task in verdict.tasks:
            place = f"{verdict.candidate}.{task.name}"
            found |= {
                f"{place}.joint": task.joint,
                f"{place}.difference": task.difference.delta,
                f"{place}.lower": task.lower,
            }
    return found
