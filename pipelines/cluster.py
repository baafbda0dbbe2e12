"""What a cluster is told of each task: caching, retries, limits, who runs, where MLflow is."""

from typing import Any

from kfp import kubernetes

from counterpoint.stages.kfp import IMAGE_USER
from counterpoint.stages.table import Stage
from counterpoint.stages.torchrun import WORKERS

RETRIES = 2
HOURS = {"train": 24, "pretrain": 24}  # a pod's deadline; 2 for the others
# a shared config map and secrets of the namespace; no pipeline parameter can name another server
CONFIG = "counterpoint"
MLFLOW_SECRET = "counterpoint-mlflow"
STORAGE_SECRET = "counterpoint-storage"


def configure_stage(task: Any, stage: Stage, gpus: int, workers: int) -> None:
    """Set what the cluster must know of a stage's task.

    Args:
        task: of the pipeline.
        stage: of the table.
        gpus: accelerators for each task of a stage that profits from one.
        workers: processes that share out the seeds of a cell.
    """
    configure(task, cache=stage.cache, hours=HOURS.get(stage.name, 2))
    if stage.gpu and gpus:
        _accelerate(task, gpus)
    if stage.each and workers > 1:
        task.set_env_variable(WORKERS, str(workers))
    if stage.name == "register":
        give_tracking(task)
        give_origin(task)
    if stage.name == "ingest":
        give_storage(task)


def configure(task: Any, *, cache: bool, hours: int = 2) -> None:
    """Whether results are used again, tries, deadline, rights."""
    task.set_caching_options(cache)
    task.set_retry(RETRIES, backoff_duration="30s")
    kubernetes.set_timeout(task, hours * 3600)
    confine(task)


def confine(task: Any) -> None:
    """Not root, and a /tmp of its own."""
    kubernetes.set_security_context(
        task, run_as_user=IMAGE_USER, run_as_group=IMAGE_USER, run_as_non_root=True
    )
    kubernetes.empty_dir_mount(task, "tmp", "/tmp")


def give_tracking(task: Any) -> None:
    """The tracking server of the namespace, with credentials where it asks for them."""
    kubernetes.use_config_map_as_env(task, CONFIG, {"tracking_uri": "MLFLOW_TRACKING_URI"})
    kubernetes.use_secret_as_env(
        task,
        MLFLOW_SECRET,
        {"username": "MLFLOW_TRACKING_USERNAME", "password": "MLFLOW_TRACKING_PASSWORD"},
        optional=True,
    )


def give_origin(task: Any) -> None:
    """What lineage says of a pod: the run, and the image's digest where the pipeline pins one."""
    kubernetes.use_field_path_as_env(task, "KFP_RUN_ID", "metadata.labels['pipeline/runid']")
    digest = task.container_spec.image.partition("@")[2]
    if digest:
        task.set_env_variable("COUNTERPOINT_IMAGE_DIGEST", digest)


def give_storage(task: Any) -> None:
    """Keys of the DVC remote, for a data set that is fetched by revision."""
    kubernetes.use_secret_as_env(
        task,
        STORAGE_SECRET,
        {"access_key_id": "AWS_ACCESS_KEY_ID", "secret_access_key": "AWS_SECRET_ACCESS_KEY"},
        optional=True,
    )


def _accelerate(task: Any, gpus: int) -> None:
    task.set_accelerator_type("nvidia.com/gpu")
    task.set_accelerator_limit(gpus)
    kubernetes.add_toleration(task, key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")
    # the default 64 MB are too few for workers that share tensors
    kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory")
