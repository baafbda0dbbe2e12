import json
import subprocess

import pytest

from counterpoint.errors import UserError
from counterpoint.files import write_json, write_manifest
from counterpoint.registry.lineage import (
    ENVIRONMENT,
    collect,
    commit_is_known,
    dvc_lock_digest,
    git_state,
)

LOCK = """\
schema: '2.0'
stages:
  ingest: {cmd: a, outs: [{path: data, md5: '1'}]}
  train@mmoe: {cmd: b}
  register: {cmd: c}
"""


@pytest.fixture(autouse=True)
def no_pipeline(monkeypatch):
    for name in (*ENVIRONMENT, "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def checkout(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True)

    (tmp_path / "code.py").write_text("1")
    (tmp_path / "dvc.lock").write_text(LOCK)
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    return tmp_path


def artefact(folder, value):
    folder.mkdir(parents=True)
    write_json(folder / "value.json", value)
    return write_manifest(folder)


def test_commit_and_whether_tracked_files_differ(checkout):
    clean = git_state(checkout)
    assert len(clean["git_commit"]) == 40
    assert clean["git_dirty"] == "false"
    (checkout / "untracked").write_text("x")
    (checkout / "dvc.lock").write_text(LOCK + "  score: {cmd: d}\n")
    assert git_state(checkout) == clean
    (checkout / "code.py").write_text("2")
    assert git_state(checkout) == {**clean, "git_dirty": "true"}


def test_without_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == {}
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) == {}


def test_the_lock_counts_by_the_stages_that_came_before(checkout):
    lock = checkout / "dvc.lock"
    before = dvc_lock_digest(lock, ["ingest", "train"], [])
    lock.write_text(LOCK.replace("cmd: c", "cmd: other") + "  score: {cmd: d}\n")
    assert dvc_lock_digest(lock, ["ingest", "train"], []) == before
    lock.write_text(LOCK.replace("cmd: b", "cmd: other"))
    assert dvc_lock_digest(lock, ["ingest", "train"], []) != before
    assert dvc_lock_digest(lock, ["score"], []) is None
    assert dvc_lock_digest(checkout / "none.lock", ["ingest"], []) is None


def test_lineage_joins_checkout_inputs_and_pipeline(checkout, tmp_path, monkeypatch):
    digest = artefact(tmp_path / "work" / "data", 1)
    monkeypatch.setenv("KFP_RUN_ID", "run-7")
    monkeypatch.setenv("COUNTERPOINT_IMAGE_DIGEST", "sha256:abc")
    monkeypatch.setenv("COUNTERPOINT_GIT_COMMIT", "of the image")
    folder = tmp_path / "work" / "data"
    lock = checkout / "dvc.lock"
    monkeypatch.setenv("DVC_STAGE", "register")
    assert "dvc_lock_digest" not in collect(checkout, {"data": folder}, ["ingest"])  # of other runs
    lock.write_text(json.dumps({"stages": {"ingest": {"outs": [{"path": str(folder)}]}}}))
    monkeypatch.delenv("DVC_STAGE")  # another run in the folder of the last `dvc repro`
    assert "dvc_lock_digest" not in collect(checkout, {"data": folder}, ["ingest"])
    monkeypatch.setenv("DVC_STAGE", "register")
    lineage = collect(checkout, {"data": folder}, ["ingest"])
    assert lineage == {
        **git_state(checkout),
        "dvc_lock_digest": dvc_lock_digest(lock, ["ingest"], [folder]),
        "data_digest": digest,
        "kfp_run_id": "run-7",
        "image_digest": "sha256:abc",
    }


def test_an_image_is_no_lineage_outside_of_one(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("COUNTERPOINT_IMAGE_DIGEST", "sha256:abc")
    assert collect(tmp_path, {}) == {}
    monkeypatch.setenv("COUNTERPOINT_GIT_COMMIT", "unknown")
    assert collect(tmp_path, {}) == {"image_digest": "sha256:abc"}
    monkeypatch.setenv("COUNTERPOINT_GIT_COMMIT", "c0ffee")
    assert collect(tmp_path, {}) == {"git_commit": "c0ffee", "image_digest": "sha256:abc"}


def test_an_input_that_changed_is_no_lineage(checkout, tmp_path):
    artefact(tmp_path / "data", 1)
    (tmp_path / "data" / "value.json").write_text("2")
    with pytest.raises(UserError, match=r"value.json: its SHA-256 is not the manifest's"):
        collect(checkout, {"data": tmp_path / "data"})


def test_a_commit_is_known_to_the_repository_that_has_it(checkout, tmp_path_factory):
    commit = git_state(checkout)["git_commit"]
    assert commit_is_known(checkout, commit)
    assert not commit_is_known(checkout, "0" * 40)
    assert not commit_is_known(tmp_path_factory.mktemp("empty"), commit)
