"""A parent run for the pipeline run, a child for each training cell; found again by digest."""

import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from counterpoint.errors import UserError
from counterpoint.files import (
    MANIFEST,
    file_digests,
    json_text,
    read_json,
    sha256_of_file,
    sha256_of_text,
    verified_digest,
)
from counterpoint.registry.records import CandidateRecord, CellRecord, PipelineRecord
from counterpoint.registry.tracking import PREFIX, Tracking, person, redacted

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

DIGEST = f"{PREFIX}digest"
PARENT = "mlflow.parentRunId"
_HISTORY = "history.parquet"
_CELL_FILES = (MANIFEST, "config.json", "metrics.json", _HISTORY)
_PARAMS_A_CALL, _METRICS_A_CALL, _LONGEST_VALUE = 100, 1000, 6000  # MLflow's limits


def pipeline_run(tracking: Tracking, experiment: str, record: PipelineRecord) -> str:
    """Identifier of the parent run, with parameters, data set and lineage; made if need be."""
    run = _run(tracking, experiment, f"{record.data} {record.digest[:8]}", record.digest)
    if run.info.status != "FINISHED":
        _log_params(tracking, run, record.params)
        _log_lineage(tracking, run, record)
    return str(run.info.run_id)


def log_cell(
    tracking: Tracking, experiment: str, parent: str, record: PipelineRecord, cell: CellRecord
) -> str:
    """Identifier of a cell's run under ``parent``; logged once, whole.

    Raises:
        UserError: the run directory is not what its manifest says.
    """
    run = _run(tracking, experiment, cell.name, cell.digest, parent)
    run_id = str(run.info.run_id)
    if run.info.status == "FINISHED":
        return run_id
    folder_digest = verified_digest(cell.folder)
    with ended(tracking, run_id):
        _log_params(tracking, run, cell.config)
        _log_metrics(tracking, run, cell)
        _log_curves(tracking, run, cell)
        _log_lineage(tracking, run, record, {"folder_digest": folder_digest})
        for name in _CELL_FILES:
            tracking.client.log_artifact(run_id, cell.folder / name)
    return run_id


def changed_files(tracking: Tracking, run_id: str, digest: str) -> list[str]:
    """Names of the files of a cell's run that are lost, or not of the run directory ``digest``."""
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as scratch:
        try:
            folder = Path(tracking.client.download_artifacts(run_id, "", scratch))
            manifest = read_json(folder / MANIFEST)
        except (MlflowException, OSError, UserError):
            return [MANIFEST]
        stated: Any = manifest.get("files") if isinstance(manifest, dict) else None
        if sha256_of_text(json_text(stated)) != digest:
            return [MANIFEST]
        found = file_digests(folder)
        return [name for name in _CELL_FILES[1:] if found.get(name) != stated[name]]


def log_verdict(tracking: Tracking, run_id: str, candidate: CandidateRecord) -> None:
    """Note a candidate's verdict and report on the pipeline's run; noting it twice is harmless."""
    key, digest = f"{PREFIX}report.{candidate.cell}", sha256_of_file(candidate.report)
    if tracking.client.get_run(run_id).data.tags.get(key) != digest:
        tracking.client.log_artifact(run_id, candidate.report, _report_folder(candidate.cell))
        tracking.client.set_tag(run_id, f"{PREFIX}verdict.{candidate.cell}", candidate.verdict)
        tracking.client.set_tag(run_id, key, digest)


def stored_report(tracking: Tracking, run_id: str, cell: str, digest: str) -> str | None:
    """The page that judged a cell, of the run above the cell's; None where it is lost or another.

    Args:
        tracking: where both runs are.
        run_id: the cell's run.
        cell: its name.
        digest: SHA-256 of the page.
    """
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as scratch:
        try:
            parent = tracking.client.get_run(run_id).data.tags[PARENT]
            found = tracking.client.download_artifacts(parent, _report_folder(cell), scratch)
        except (MlflowException, OSError, KeyError):
            return None
        pages = (path for path in Path(found).iterdir() if sha256_of_file(path) == digest)
        page = next(pages, None)
        return None if page is None else page.read_text(encoding="utf-8")


@contextmanager
def ended(tracking: Tracking, run_id: str) -> Iterator[None]:
    """Mark the run finished when the block ends well, else failed: the next attempt goes on."""
    try:
        yield
    except BaseException:
        tracking.client.set_terminated(run_id, "FAILED")
        raise
    if tracking.client.get_run(run_id).info.status != "FINISHED":
        tracking.client.set_terminated(run_id)


def _run(
    tracking: Tracking, experiment: str, name: str, digest: str, parent: str | None = None
) -> "Run":
    """The live run with this digest (and parent), made if there is none."""
    wanted = {DIGEST: digest} | ({PARENT: parent} if parent else {})
    clauses = [f"tags.`{key}` = '{value}'" for key, value in wanted.items()]
    found = tracking.client.search_runs([experiment], " and ".join(clauses))
    # a cell's digest may equal no pipeline's, but a search without a parent must not find a child
    alone = [run for run in found if run.data.tags.get(PARENT) == parent]
    if alone:
        return alone[0]
    tags = wanted | {"mlflow.user": person(), "mlflow.source.name": "counterpoint"}
    return tracking.client.create_run(experiment, tags=tags, run_name=name)


def _log_params(tracking: Tracking, run: "Run", config: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    # prefixed: one conflicting parameter makes MLflow refuse the whole batch
    params = [Param(PREFIX + key, value) for key, value in _flat(config)]
    for start in range(0, len(params), _PARAMS_A_CALL):
        batch = params[start : start + _PARAMS_A_CALL]
        tracking.client.log_batch(run.info.run_id, params=batch)


def _log_metrics(tracking: Tracking, run: "Run", cell: CellRecord) -> None:
    """``<task>/<split>/<metric>`` with the seed as step, and its mean as ``..._mean``."""
    from mlflow.entities import Metric

    # MLflow drops a repetition of key, step, value and time: a resumed run logs nothing twice
    time = run.info.start_time
    series: dict[str, list[Metric]] = {}
    for seed, tasks in cell.metrics.items():
        for task, splits in tasks.items():
            for split, metrics in splits.items():
                for metric, value in metrics.items():
                    if value is not None and isfinite(value):
                        key = _plain(f"{task}/{split}/{metric}")
                        series.setdefault(key, []).append(Metric(key, value, time, int(seed)))
    means = [
        Metric(f"{key}_mean", fmean(metric.value for metric in values), time, 0)
        for key, values in series.items()
    ]
    _log_in_batches(tracking, run, [m for values in series.values() for m in values] + means)


def _log_curves(tracking: Tracking, run: "Run", cell: CellRecord) -> None:
    """``training/<fit>/<name>[/<task>]``, the mean over seeds, with the epoch as step.

    Losses, weights, validation and diagnostics, all that is finite of them.
    """
    import polars as pl
    from mlflow.entities import Metric

    history = pl.read_parquet(cell.folder / _HISTORY).filter(pl.col("value").is_finite())
    keys = ["fit", "name", "task", "epoch"]
    means = history.group_by(keys).agg(pl.col("value").mean()).sort(keys)
    _log_in_batches(
        tracking,
        run,
        [
            Metric(
                _plain("/".join(part for part in ("training", fit, name, task) if part)),
                value,
                run.info.start_time,
                epoch,
            )
            for fit, name, task, epoch, value in means.iter_rows()
        ],
    )


def _log_in_batches(tracking: Tracking, run: "Run", metrics: "Sequence[Metric]") -> None:
    for start in range(0, len(metrics), _METRICS_A_CALL):
        batch = metrics[start : start + _METRICS_A_CALL]
        tracking.client.log_batch(run.info.run_id, metrics=batch)


def _log_lineage(
    tracking: Tracking, run: "Run", record: PipelineRecord, more: Mapping[str, str] | None = None
) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, RunTag

    lineage = {**record.lineage, **(more or {}), "run_digest": record.digest}
    tags = [RunTag(PREFIX + key, redacted(value)) for key, value in lineage.items()]
    if commit := record.lineage.get("git_commit"):
        tags.append(RunTag("mlflow.source.git.commit", commit))
    tracking.client.log_batch(run.info.run_id, tags=tags)
    data = Dataset(
        name=record.data,
        digest=record.lineage["data_digest"][:36],  # MLflow's limit
        source_type="counterpoint",
        source=json.dumps({"data_digest": record.lineage["data_digest"]}),
    )
    context = [InputTag("mlflow.data.context", "training")]
    tracking.client.log_inputs(run.info.run_id, [DatasetInput(data, context)])


def _flat(value: Any, key: str = "") -> Iterable[tuple[str, str]]:
    """Leaves of nested mappings under dotted keys; a list is one JSON text."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    else:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        yield _plain(key), redacted(text)[:_LONGEST_VALUE]


def _plain(name: str) -> str:
    """``name`` in the letters that MLflow takes in a key: ``hr@10`` becomes ``hr_10``."""
    return re.sub(r"[^/\w.\- :]", "_", name)


def _report_folder(cell: str) -> str:
    return f"reports/{_plain(cell)}"
