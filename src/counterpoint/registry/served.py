"""A bundle as an MLflow LoggedModel: models-from-code, no pickle; and the way back."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from counterpoint.files import file_digests
from counterpoint.registry.bundle import Bundle
from counterpoint.registry.scores import TOLERANCE, example_frame, example_scores, score_column
from counterpoint.registry.tracking import Tracking, without_mlflow_warnings

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.models import ModelSignature

CODE = Path(__file__).with_name("model_from_code.py")
# folders of ours inside the model, beside MLflow's own files
BUNDLE_PATH, CARD_PATH = "artifacts/bundle", "card"
_NEEDS = (
    *("mlflow", "numpy", "pandas", "polars", "pydantic", "pyyaml", "safetensors"),
    "counterpoint",
)
_ID_PLACES = {"id": (1, 0), "src": (2, 0), "dst": (2, 1)}  # node types of the entity, place


def log_model(
    tracking: Tracking, run_id: str, name: str, folder: Path, bundle: Bundle
) -> tuple["LoggedModel", dict[str, str]]:
    """Log the bundle in ``folder`` under a run, load it back, and compare its scores.

    Returns:
        The logged model, and :func:`loose_digests` of what was stored.

    Raises:
        RuntimeError: the stored model does not give the scores that training computed.
    """
    client = tracking.client
    experiment = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(experiment, name=name, source_run_id=run_id)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            model = Path(scratch) / "model"
            _save(model, logged, folder, bundle)
            digests = loose_digests(model)
            client.log_model_artifacts(logged.model_id, str(model))
        _check_scores(tracking, logged, bundle)
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    return client.finalize_logged_model(logged.model_id, "READY"), digests


def loose_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the files of a stored model that no manifest of ours lists.

    MLflow's own, by relative path: the script that a server runs, requirements, examples. Not what
    MLflow and Python write beside them whenever they load a model from a folder.
    """
    left_out = (f"{BUNDLE_PATH}/", f"{CARD_PATH}/", "registered_model_meta", "__pycache__/")
    found = file_digests(folder).items()
    return {name: digest for name, digest in found if not name.startswith(left_out)}


def requirements() -> list[str]:
    """What a scoring server needs; given, because MLflow's inference of them costs 40 s."""
    # an image that registers has MLflow's client alone, which is of the same version
    installed = {name: "mlflow-skinny" if name == "mlflow" else name for name in _NEEDS}
    return [f"{name}=={version(found)}" for name, found in installed.items()]


@contextmanager
def stored(tracking: Tracking, model_id: str, path: str = "") -> Iterator[Path]:
    """Download a logged model, or the file or folder ``path`` of it, for the block's duration."""
    import mlflow.artifacts

    # by its address, not as models:/...: MLflow resolves those through its global registry
    location = tracking.client.get_logged_model(model_id).artifact_location
    address = f"{location}/{path}".rstrip("/")
    with tempfile.TemporaryDirectory() as scratch:
        found = mlflow.artifacts.download_artifacts(
            artifact_uri=address, dst_path=scratch, tracking_uri=tracking.uri
        )
        yield Path(found)


def _save(model: Path, logged: "LoggedModel", folder: Path, bundle: Bundle) -> None:
    import mlflow.pyfunc
    from mlflow.models import Model

    copy = shutil.copytree(folder, model.with_name("bundle"))
    with without_mlflow_warnings():
        mlflow.pyfunc.save_model(
            path=str(model),
            mlflow_model=Model(
                artifact_path=logged.artifact_location,
                run_id=logged.source_run_id,
                model_uuid=logged.model_id,
                model_id=logged.model_id,
            ),
            python_model=str(CODE),
            artifacts={"bundle": str(copy)},
            signature=_signature(bundle),
            input_example=example_frame(bundle, next(iter(bundle.contents.tasks))),
            pip_requirements=requirements(),
        )
    for cache in model.rglob("__pycache__"):
        shutil.rmtree(cache)


def _signature(bundle: Bundle) -> "ModelSignature":
    """The columns that this model takes, and gives."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, Schema

    tasks = bundle.contents.tasks.values()
    takes = [ColSpec("string", "task")]
    for column, (size, place) in _ID_PLACES.items():
        asking = [task.entity for task in tasks if len(task.entity) == size]
        kinds = {bundle.ids[entity[place]].ids.dtype.kind for entity in asking}
        always = len(asking) == len(tasks)
        if kinds == {"U"}:
            takes.append(ColSpec("string", column, required=always))
        elif kinds == {"i"} and always:
            takes.append(ColSpec("long", column))
        elif kinds:  # mixed, or integers in a column that other tasks leave empty: no null in long
            takes.append(ColSpec(AnyType(), column, required=False))
    given = sorted({score_column(task.kind) for task in tasks})
    gives = [ColSpec(AnyType(), column, required=False) for column in given]
    return ModelSignature(Schema(takes), Schema(gives))


def _check_scores(tracking: Tracking, logged: "LoggedModel", bundle: Bundle) -> None:
    import mlflow.pyfunc

    with stored(tracking, logged.model_id) as folder, without_mlflow_warnings():
        model = mlflow.pyfunc.load_model(str(folder))
        for task, contents in bundle.contents.tasks.items():
            found = model.predict(example_frame(bundle, task))[score_column(contents.kind)]
            stated = example_scores(bundle, task)
            if not np.allclose(found.tolist(), stated, rtol=TOLERANCE, atol=TOLERANCE):
                raise RuntimeError(
                    f"model {logged.name}, task {task!r}: training scored its examples "
                    f"{stated.tolist()}, the stored model {found.tolist()}"
                )
