"""The KFP pipeline on a cluster: submitted, scheduled, asked for its state."""

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from counterpoint.errors import UserError
from counterpoint.stages.kfp import (
    TRAIN_AND_REGISTER,
    compile_pipeline,
    pipeline_arguments,
    pipeline_named,
)
from counterpoint.stages.params import Params

ENDPOINT = "KF_PIPELINES_ENDPOINT"  # kfp's own name
TOKEN = "COUNTERPOINT_KFP_TOKEN"
NAMESPACE = "COUNTERPOINT_KFP_NAMESPACE"
EXPERIMENT = "counterpoint"
FAILED = ("FAILED", "CANCELED", "SKIPPED")


def submit(
    checkout: Path,
    params: Params,
    gpus: int = 0,
    pipeline: str = TRAIN_AND_REGISTER,
    settings: Mapping[str, str] | None = None,
    workers: int = 1,
) -> str:
    """Start a run and return its id; each task's own setting says whether it may be cached.

    Args:
        checkout: where components/ and pipelines/ are.
        params: all parameters.
        gpus: accelerators for each task that trains.
        pipeline: its name.
        settings: its parameters that params.yaml does not have.
        workers: processes that share out the seeds of a cell.

    Raises:
        UserError: the images have no digest, the parameters name something of this machine, no
            such pipeline, wrong settings, or no cluster answers.
    """
    found = pipeline_named(checkout, pipeline, gpus, workers)
    arguments = _arguments(found, params, settings or {})
    with _compiled(found) as package, _answers():
        result = _client().create_run_from_pipeline_package(
            str(package),
            arguments=arguments,
            experiment_name=EXPERIMENT,
            namespace=os.environ.get(NAMESPACE),
        )
    return str(result.run_id)


def schedule(
    checkout: Path,
    params: Params,
    name: str,
    cron: str,
    gpus: int = 0,
    pipeline: str = TRAIN_AND_REGISTER,
    settings: Mapping[str, str] | None = None,
    workers: int = 1,
) -> str:
    """Start a run at every time that ``cron`` names (six fields, seconds first); return its id.

    One run at a time, and none for times that were missed. The rest is as for :func:`submit`.
    """
    found = pipeline_named(checkout, pipeline, gpus, workers)
    arguments = _arguments(found, params, settings or {})
    with _compiled(found) as package, _answers():
        client = _client()
        experiment = client.create_experiment(EXPERIMENT, namespace=os.environ.get(NAMESPACE))
        recurring = client.create_recurring_run(
            experiment.experiment_id,
            name,
            cron_expression=cron,
            max_concurrency=1,
            no_catchup=True,
            params=arguments,
            pipeline_package_path=str(package),
        )
    return str(recurring.recurring_run_id)


def status(run_id: str) -> dict[str, Any]:
    """State of a run, its error if it has one, and name and state of each task.

    All tasks of a loop, which are the cells of the grid, have the same name.
    """
    with _answers():
        run = _client().get_run(run_id)
    tasks = run.run_details.task_details if run.run_details else None
    return {
        "run": run_id,
        "state": run.state,
        "error": run.error.message if run.error else None,
        "tasks": [{"name": task.display_name, "state": task.state} for task in tasks or []],
    }


def _arguments(pipeline: Any, params: Params, settings: Mapping[str, str]) -> dict[str, Any]:
    faults = []
    if params.register_.tracking_uri is not None:
        faults.append(
            "register.tracking_uri: a cluster names its own server, in the config map counterpoint;"
            " leave it out"
        )
    if params.data.source == "folder":
        faults.append(
            f"data.path: {params.data.path} is a folder of this machine; put it under DVC"
            " (counterpoint data add) and say source: dvc"
        )
    if "://" not in (rows := settings.get("rows", "://")):
        faults.append(f"rows: {rows} is a file of this machine; name an object, s3://… or gs://…")
    if faults:
        raise UserError(*faults)
    return pipeline_arguments(pipeline, params, settings)


@contextmanager
def _compiled(pipeline: Any) -> Iterator[Path]:
    """The compiled pipeline in a file, its images pinned: a cluster caches by an image's name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compile_pipeline(pipeline, path)
        spec = next(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        executors = spec["deploymentSpec"]["executors"].values()
        images = {found["container"]["image"] for found in executors if "container" in found}
        if unpinned := sorted(image for image in images if "@sha256:" not in image):
            raise UserError(
                f"{', '.join(unpinned)}: no digest; set COUNTERPOINT_DATA_IMAGE and"
                " COUNTERPOINT_TRAIN_IMAGE to NAME@sha256:DIGEST"
            )
        yield path


def _client() -> Any:
    """A client of the cluster that the environment names, with the environment's token."""
    from kfp import Client

    endpoint = os.environ.get(ENDPOINT)
    if not endpoint:
        raise UserError(f"{ENDPOINT} is not set: the address of Kubeflow Pipelines' API")
    token, namespace = os.environ.get(TOKEN), os.environ.get(NAMESPACE)
    logging.disable(logging.ERROR)  # it logs a traceback for each of five attempts at its health
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # that it wants a backend of version 2
            return Client(host=endpoint, existing_token=token, namespace=namespace or "kubeflow")
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def _answers() -> Iterator[None]:
    """One line instead of the client's traceback where the cluster refuses or is not there."""
    from kfp_server_api.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as fault:
        raise UserError(
            f"{os.environ.get(ENDPOINT)}: {fault.status} {fault.reason}"
            + (f"; is the token in {TOKEN} right?" if fault.status in (401, 403) else "")
        ) from None
    except (HTTPError, TimeoutError) as fault:
        raise UserError(
            f"{os.environ.get(ENDPOINT)}: Kubeflow Pipelines does not answer"
            f" ({type(fault).__name__}); see {ENDPOINT}"
        ) from None
