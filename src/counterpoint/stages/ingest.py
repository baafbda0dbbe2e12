"""Ingest: the data set into the work folder, checked for structure."""

import shutil
import tempfile
from pathlib import Path

from counterpoint.data.checks import faults
from counterpoint.data.folder import open_folder
from counterpoint.data.versioned import PARTS, fetch
from counterpoint.errors import UserError, raise_faults
from counterpoint.files import write_manifest
from counterpoint.stages.params import DataParams
from counterpoint.stages.table import StageCall


def _copied(source: Path, target: Path) -> None:
    """Copy what belongs to a data-set folder, nothing else that may lie beside it."""
    if not source.is_dir():
        raise UserError(f"{source}: no such folder; data.path names a data-set folder")
    raise_faults(faults(open_folder(source)))
    for part in PARTS:
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part)
        elif (source / part).is_file():
            shutil.copy(source / part, target / part)


def _fetched(data: DataParams, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "data"
        fetch(str(data.repo), str(data.rev), str(data.path), source)
        _copied(source, target)


def ingest(call: StageCall) -> None:
    """Generate, copy or fetch the data set, then write its manifest.

    Raises:
        UserError: it has faults, or it is not the data set that ``data.digest`` states.
    """
    data = call.params.data
    if data.source == "planted":
        from counterpoint.data.planted import generate, planted_preset

        call.report(f"planting {data.preset}")
        generate(planted_preset(data.preset, **data.dials), call.output)
    elif data.source == "folder":
        call.report(f"checking {data.path}")
        _copied(Path(str(data.path)), call.output)
    else:
        call.report(f"fetching {data.path} at {data.rev}")
        _fetched(data, call.output)
    digest = write_manifest(call.output)
    if data.digest not in (None, digest):
        raise UserError(
            f"data.digest: the data set has {digest}, not {data.digest}; somebody changed it, or "
            "the digest is of another revision"
        )
