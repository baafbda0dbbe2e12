"""A pipeline run that failed leaves a trace where all other runs are: in MLflow."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from counterpoint.registry.tracking import PREFIX, connect, experiment_id, redacted
from counterpoint.stages.params import RegisterParams

SUCCEEDED = "SUCCEEDED"
REASON_LENGTH = 4000  # of a tag's 8000


def record_failure(
    *, state: str, job: str, task: str, reason: str, register: dict[str, Any]
) -> str | None:
    """Write a failed MLflow run that says what failed and why.

    Args:
        state: final state of the pipeline's tasks, as KFP names it.
        job: the pipeline run.
        task: what failed.
        reason: KFP's error code and message.
        register: the section of params.yaml; it names the experiment.

    Returns:
        The run's id; None where the pipeline succeeded, of which registration leaves a run.
    """
    if state == SUCCEEDED:
        return None
    with TemporaryDirectory() as work:
        tracking = connect(Path(work))
        experiment = experiment_id(tracking, RegisterParams.model_validate(register).experiment)
        tags = {
            f"{PREFIX}outcome": state,
            f"{PREFIX}kfp_run": job,
            f"{PREFIX}failed_task": task,
            f"{PREFIX}reason": redacted(reason)[:REASON_LENGTH],
        }
        run = tracking.client.create_run(experiment, tags=tags, run_name=f"failed {job}")
        tracking.client.set_terminated(run.info.run_id, status="FAILED")
    return str(run.info.run_id)
