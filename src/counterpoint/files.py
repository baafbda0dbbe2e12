"""Files on disk: whole or absent, and never trusted without their digest."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoint.errors import UserError

if TYPE_CHECKING:
    import numpy as np

MANIFEST = "manifest.json"


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces ``target`` when the block ends well, else vanishes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        if target.exists():
            discarded = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
            target.rename(discarded / "old")
            scratch.rename(target)
            shutil.rmtree(discarded)
        else:
            scratch.rename(target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` that becomes ``target`` when the block ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        yield scratch
        scratch.rename(target)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all."""
    with new_file(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def json_text(value: Any) -> str:
    """The one JSON spelling of ``value``: sorted keys, two spaces, no NaN."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON; NaN and infinity are refused."""
    write_text(path, json_text(value))


def read_json(path: Path) -> Any:
    """Read JSON; a missing or broken file is a :class:`UserError` that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except json.JSONDecodeError as fault:
        raise UserError(f"{path}: not valid JSON ({fault.msg}, line {fault.lineno})") from None


def write_tensors(path: Path, arrays: "Mapping[str, np.ndarray]") -> None:
    """Write named arrays as safetensors, in name order so that equal arrays give equal bytes."""
    import numpy as np
    from safetensors.numpy import save_file

    with new_file(path) as scratch:
        # not ascontiguousarray, which makes a scalar a vector
        ordered = {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
        save_file(ordered, scratch)


def read_tensors(path: Path) -> "dict[str, np.ndarray]":
    """Read what :func:`write_tensors` wrote."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except SafetensorError as fault:
        raise UserError(f"{path}: not a readable safetensors file ({fault})") from None


def sha256_of_text(text: str) -> str:
    """Hexadecimal SHA-256 of ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below ``folder`` but its manifest, by relative path."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): sha256_of_file(path)
        for path in paths
        if path != folder / MANIFEST
    }


def write_manifest(folder: Path) -> str:
    """Write ``manifest.json`` with the digest of each file; return the digest of the whole."""
    files = file_digests(folder)
    digest = sha256_of_text(json_text(files))
    write_json(folder / MANIFEST, {"digest": digest, "files": files})
    return digest


def verified_digest(folder: Path) -> str:
    """Rehash ``folder`` against its manifest and return its digest.

    Raises:
        UserError: a file is missing, added or changed since the manifest was written.
    """
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or not {"digest", "files"} <= set(manifest):
        raise UserError(f"{folder / MANIFEST}: no manifest of ours; make the folder again")
    stated, found = manifest["files"], file_digests(folder)
    faults = [
        f"{folder / name}: listed in the manifest, missing" for name in stated if name not in found
    ]
    faults += [
        f"{folder / name}: not listed in the manifest" for name in found if name not in stated
    ]
    faults += [
        f"{folder / name}: its SHA-256 is not the manifest's; make it again"
        for name in stated
        if name in found and found[name] != stated[name]
    ]
    if not faults and manifest["digest"] != sha256_of_text(json_text(stated)):
        faults.append(f"{folder / MANIFEST}: its digest is not that of its files; make it again")
    if faults:
        raise UserError(*faults)
    return str(manifest["digest"])
