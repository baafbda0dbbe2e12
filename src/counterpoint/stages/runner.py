"""Runs stages in this process, skipping what is there already for the same inputs and code."""

from collections.abc import Callable, Iterator
from pathlib import Path

from counterpoint.errors import UserError
from counterpoint.files import (
    MANIFEST,
    json_text,
    read_json,
    sha256_of_text,
    verified_digest,
    write_json,
)
from counterpoint.stages.params import Params
from counterpoint.stages.sources import code_digest
from counterpoint.stages.table import STAGES, Stage, StageCall
from counterpoint.stages.torchrun import shared_folder, this_worker
from counterpoint.stages.validation_gate import require_passed


def stage_params(stage: Stage, params: Params) -> dict[str, object]:
    """The part of the parameters that a stage depends on."""
    values = params.model_dump(mode="json", by_alias=True)
    return {name: values[name] for name in stage.params}


def input_digests(stage: Stage, work: Path, params: Params) -> dict[str, str]:
    """Digest of every input folder, read from its manifest."""
    digests = {}
    for name in stage.inputs:
        folders = [work / name / cell for cell in params.grid] if name == "runs" else [work / name]
        for folder in folders:
            if not (folder / MANIFEST).is_file():
                raise UserError(f"{folder}: not there; run the stage that makes it, or `run`")
            digest = read_json(folder / MANIFEST)["digest"]
            digests[folder.relative_to(work).as_posix()] = digest
    return digests


def calls(params: Params) -> Iterator[tuple[Stage, str | None]]:
    """Every stage with its cell, in order."""
    for stage in STAGES:
        if stage.each:
            yield from ((stage, cell) for cell in params.grid)
        else:
            yield stage, None


def run_stage(
    stage: Stage,
    cell: str | None,
    params: Params,
    work: Path,
    report: Callable[[str], None],
) -> None:
    """Run one stage; its output appears whole or not at all.

    Raises:
        UserError: an input is missing or bad; for validate, after its output is in place.
    """
    output = stage.output_path(work, cell)
    name = stage.name if cell is None else f"{stage.name}-{cell}"
    if this_worker().world > 1 and not stage.each:
        raise UserError(f"{stage.name}: a stage for one process; torchrun is for train")
    with shared_folder(output) as scratch:
        stage.function(
            StageCall(
                inputs={artifact: work / artifact for artifact in stage.inputs},
                output=scratch,
                params=params,
                cell=cell,
                scratch=work / ".checkpoints" / name,
                work=work,
                report=report,
            )
        )
    if stage.output == "validation":
        require_passed(output)


def run_if_needed(
    stage: Stage,
    cell: str | None,
    params: Params,
    work: Path,
    report: Callable[[str], None],
) -> bool:
    """Run a stage unless its receipt says that inputs, parameters, code and output are the same.

    Returns:
        Whether it ran.
    """
    name = stage.name if cell is None else f"{stage.name}-{cell}"
    receipt = work / ".receipts" / f"{name}.json"
    output = stage.output_path(work, cell)
    key = {
        "inputs": input_digests(stage, work, params),
        "params": sha256_of_text(json_text(stage_params(stage, params))),
        "code": code_digest(stage.name),
    }
    if receipt.is_file() and (output / MANIFEST).is_file():
        stated = read_json(receipt)
        if stated["key"] == key and stated["output"] == verified_digest(output):
            if stage.output == "validation":
                require_passed(output)
            return False
    run_stage(stage, cell, params, work, report)
    write_json(receipt, {"key": key, "output": read_json(output / MANIFEST)["digest"]})
    return True
