"""Data-set folders under DVC: added by its owner, fetched by revision, known by their digest."""

import subprocess
from pathlib import Path

from counterpoint.data.schema import SCHEMA_FILE
from counterpoint.errors import UserError
from counterpoint.files import file_digests, json_text, sha256_of_text

# what belongs to a data-set folder; other files that lie beside it are no part of the data
PARTS = (SCHEMA_FILE, "nodes", "relations", "tasks", "truth")


def content_digest(folder: Path) -> str:
    """The digest that the manifest of this data set will have once it is ingested."""
    files = file_digests(folder)
    parts = {name: digest for name, digest in files.items() if name.split("/")[0] in PARTS}
    return sha256_of_text(json_text(parts))


def add(folder: Path) -> Path:
    """Put a data-set folder under DVC and return its ``.dvc`` file, which git is to keep.

    Raises:
        UserError: it is not in a DVC repository, or DVC refuses it.
    """
    _said(folder.parent, "dvc", "add", folder.name)
    return folder.with_name(f"{folder.name}.dvc")


def path_in_repository(folder: Path) -> str:
    """Path of a folder from the root of its git repository, from where ``dvc get`` takes it.

    DVC's own root is another one where DVC was initialised below git's.

    Raises:
        UserError: it is not in a git repository.
    """
    return _said(folder.parent, "git", "rev-parse", "--show-prefix").strip() + folder.name


def fetch(repo: str, rev: str, path: str, target: Path) -> None:
    """Download a folder of a DVC repository, as it was at a revision, to ``target``.

    Args:
        repo: address or folder of the git repository; a relative one is looked up from here.
        rev: commit, tag or branch.
        path: of the folder in the repository.
        target: folder that does not exist yet.

    Raises:
        UserError: there is no such repository, revision or path, or its storage does not answer.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    out = str(target.absolute())
    _said(Path.cwd(), "dvc", "get", repo, path, "--rev", rev, "--out", out)


def _said(where: Path, *command: str) -> str:
    """What a program writes, run in the folder ``where``."""
    try:
        done = subprocess.run(command, cwd=where, capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not installed here, or not on the path") from None
    if done.returncode:
        said = done.stderr.splitlines()
        faults = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR:")]
        silent = [f"ended with {done.returncode} and said nothing"]
        raise UserError(*(f"{' '.join(command)}: {fault}" for fault in faults or said or silent))
    return done.stdout
