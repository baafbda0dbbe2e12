"""dvc.yaml, rendered from the table of stages."""

from typing import Any

import yaml

from counterpoint.stages.sources import PACKAGE, source_files
from counterpoint.stages.table import STAGES, Artifact, Stage

WORK = "work"
SOURCE = "src/counterpoint"
HEAD = "# Rendered by `counterpoint pipeline dvc` from counterpoint.stages.table; do not edit.\n"


def _folder(artifact: Artifact) -> str:
    return f"{WORK}/{artifact}"


def _stage(stage: Stage) -> dict[str, Any]:
    command = f"counterpoint stage {stage.name}"
    output = _folder(stage.output)
    entry: dict[str, Any] = {}
    if stage.each:
        entry["matrix"] = {"cell": "${grid}"}
        command += " --cell ${item.cell}"
        output += "/${item.cell}"
    entry["cmd"] = command
    entry["deps"] = [
        *(_folder(artifact) for artifact in stage.inputs),
        *(f"{SOURCE}/{path.relative_to(PACKAGE).as_posix()}" for path in source_files(stage.name)),
    ]
    if stage.params:
        entry["params"] = list(stage.params)
    entry["outs"] = [output]
    return entry


def dvc_yaml() -> str:
    """The text of dvc.yaml."""
    pipeline = {
        "stages": {stage.name: _stage(stage) for stage in STAGES},
        "metrics": [f"{_folder('evaluation')}/metrics.json"],
        "plots": [{f"{_folder('evaluation')}/plots": {"x": "epoch"}}],
    }
    return HEAD + yaml.safe_dump(pipeline, sort_keys=False, width=100)
