"""Ingest: the data set into the work folder, checked for structure."""

import shutil
from pathlib import Path

from counterpoint.data.checks import faults
from counterpoint.data.folder import open_folder
from counterpoint.data.schema import SCHEMA_FILE
from counterpoint.errors import UserError, raise_faults
from counterpoint.files import write_manifest
from counterpoint.stages.table import StageCall


def _copied(source: Path, target: Path) -> None:
    """Copy what belongs to a data-set folder, nothing else that may lie beside it."""
    if not source.is_dir():
        raise UserError(f"{source}: no such folder; data.path names a data-set folder")
    raise_faults(faults(open_folder(source)))
    shutil.copy(source / SCHEMA_FILE, target / SCHEMA_FILE)
    for part in ("nodes", "relations", "tasks", "truth"):
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part)


def ingest(call: StageCall) -> None:
    """Generate or copy the data set, then write its manifest."""
    data = call.params.data
    if data.source == "planted":
        from counterpoint.data.planted import generate, planted_preset

        call.report(f"planting a marketplace ({data.preset})")
        generate(planted_preset(data.preset, **data.dials), call.output)
    else:
        call.report(f"checking {data.path}")
        _copied(Path(str(data.path)), call.output)
    write_manifest(call.output)
