"""What a pipeline component's body calls: a stage on artefact folders anywhere."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from counterpoint.errors import UserError
from counterpoint.files import MANIFEST, new_folder, read_json, verified_digest
from counterpoint.stages.params import Params, RegisterParams
from counterpoint.stages.sources import code_digest
from counterpoint.stages.table import StageCall, stage_named
from counterpoint.stages.validation_gate import require_passed


def _linked_runs(folders: Sequence[str], target: Path) -> Path:
    """A folder with a link named by its cell to each run directory."""
    from counterpoint.training.settings import Cell

    for folder in folders:
        cell = Cell.model_validate(read_json(Path(folder) / "config.json")["cell"])
        (target / cell.name).symlink_to(Path(folder).resolve(), target_is_directory=True)
    return target


def check_digests(inputs: Mapping[str, Path], stated: Mapping[str, str]) -> None:
    """The digests that came as parameters must be those of the artefacts that came as files."""
    faults = [
        f"{inputs[name]}: its digest is not {digest[:12]}, which the pipeline passed; run it again"
        for name, digest in stated.items()
        if verified_digest(inputs[name]) != digest
    ]
    if faults:
        raise UserError(*faults)


def check_code(stage_name: str, stated: str) -> None:
    """The image must have the source files that the pipeline was started for."""
    if stated not in ("", found := code_digest(stage_name)):
        raise UserError(
            f"{stage_name}: the image has other source files ({found[:12]}) than the checkout that"
            f" started the pipeline ({stated[:12]}); build the images again, or start from theirs"
        )


def check_server(register: RegisterParams) -> None:
    """Who starts a pipeline may not choose the server that gets the namespace's credentials."""
    if register.tracking_uri is not None:
        raise UserError(
            "register.tracking_uri: a pipeline's server is MLFLOW_TRACKING_URI of its environment;"
            " leave it out"
        )


def run_component(
    stage_name: str,
    *,
    code: str,
    inputs: Mapping[str, str],
    output: str,
    sections: Mapping[str, Any],
    digests: Mapping[str, str] | None = None,
    cell: str | None = None,
    runs: Sequence[str] = (),
) -> str:
    """Run a stage and return its output's digest.

    Args:
        stage_name: name in the table.
        code: digest of the stage's source files, for caches; empty: not checked.
        inputs: artefact name to folder.
        output: folder to make.
        sections: the keys of params.yaml that the stage depends on.
        digests: of the inputs, as the upstream steps stated them.
        cell: for a stage of the grid.
        runs: folders of the run directories, for a stage that reads them all.
    """
    stage = stage_named(stage_name)
    check_code(stage_name, code)
    grid = sections.get("grid") or ([cell] if cell is not None else ["single_task-mlp-fixed"])
    params = Params.model_validate({**sections, "grid": grid})
    check_server(params.register_)
    with tempfile.TemporaryDirectory() as links:
        paths = {name: Path(folder) for name, folder in inputs.items()}
        if "runs" in stage.inputs:
            paths["runs"] = _linked_runs(runs, Path(links))
        check_digests(paths, digests or {})
        with new_folder(Path(output)) as scratch:
            stage.function(
                StageCall(paths, scratch, params, cell, work=Path(output).parent, report=_printed)
            )
    if stage.output == "validation":
        require_passed(Path(output))
    return str(read_json(Path(output) / MANIFEST)["digest"])


def _printed(line: str) -> None:
    print(line, flush=True)
