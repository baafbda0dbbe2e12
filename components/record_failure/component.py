"""Record a pipeline run that failed in MLflow; the pipeline's exit handler."""

from kfp import dsl
from kfp.dsl import PipelineTaskFinalStatus

from components import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def record_failure(status: PipelineTaskFinalStatus, register: dict) -> None:
    """Write a failed MLflow run with the reason; nothing where the pipeline succeeded."""
    from counterpoint.stages.failure import record_failure

    record_failure(
        state=status.state,
        job=status.pipeline_job_resource_name,
        task=status.pipeline_task_name,
        reason=f"{status.error_code}: {status.error_message}",
        register=register,
    )
