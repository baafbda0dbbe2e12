import os
from pathlib import Path

import numpy as np
import pytest

from counterpoint.errors import UserError
from counterpoint.files import (
    new_file,
    new_folder,
    read_json,
    read_tensors,
    verified_digest,
    write_json,
    write_manifest,
    write_tensors,
)


def test_a_folder_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with new_folder(target) as scratch:
        (scratch / "a").write_text("old")

    def killed() -> None:
        with new_folder(target) as scratch:
            (scratch / "a").write_text("new")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        killed()
    assert (target / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    def full() -> None:
        with new_file(tmp_path / "a") as scratch:
            scratch.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        full()
    assert not list(tmp_path.iterdir())


def test_a_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for name in ("first", "second"):
        with new_folder(target) as scratch:
            (scratch / name).write_text(name)
    assert [path.name for path in target.iterdir()] == ["second"]


def test_json_refuses_nan_and_names_a_broken_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a.json", float("nan"))
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(UserError, match=r"b\.json: not valid JSON .* line 1"):
        read_json(tmp_path / "b.json")
    with pytest.raises(UserError, match="no such file"):
        read_json(tmp_path / "c.json")


def test_tensors_come_back_and_equal_arrays_give_equal_bytes(tmp_path: Path) -> None:
    arrays = {"b": np.arange(3), "a": np.eye(2, dtype=np.float32).T, "c": np.zeros(())}
    write_tensors(tmp_path / "1", arrays)
    write_tensors(tmp_path / "2", dict(reversed(arrays.items())))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert {k: v.tolist() for k, v in read_tensors(tmp_path / "1").items()} == {
        "a": [[1.0, 0.0], [0.0, 1.0]],
        "b": [0, 1, 2],
        "c": 0.0,
    }
    (tmp_path / "1").write_bytes(b"\x08")
    with pytest.raises(UserError, match="not a readable safetensors"):
        read_tensors(tmp_path / "1")


@pytest.mark.parametrize("fault", ["changed", "added", "missing", "manifest", "no manifest"])
def test_a_manifest_notices_every_change(tmp_path: Path, fault: str) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    digest = write_manifest(tmp_path)
    assert verified_digest(tmp_path) == digest
    if fault == "changed":
        (tmp_path / "a").write_text("x")
    elif fault == "added":
        (tmp_path / "c").write_text("c")
    elif fault == "missing":
        (tmp_path / "a").unlink()
    elif fault == "no manifest":
        write_json(tmp_path / "manifest.json", {})
    else:
        manifest = read_json(tmp_path / "manifest.json")
        write_json(tmp_path / "manifest.json", {**manifest, "digest": "0" * 64})
    with pytest.raises(UserError, match=str(tmp_path)):
        verified_digest(tmp_path)
