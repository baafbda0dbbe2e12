"""A data set under DVC: added, pushed, changed, fetched as it was."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from counterpoint.cli_data import data_add
from counterpoint.data.versioned import add, content_digest, fetch
from counterpoint.errors import UserError
from counterpoint.stages.ingest import ingest
from counterpoint.stages.params import Params
from counterpoint.stages.table import StageCall


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run git or dvc in a fresh repository."""
    programs = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for name, value in (("NAME", "Ann"), ("EMAIL", "ann@example.org")):
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", value)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    (tmp_path / "repo").mkdir()

    def run(*arguments: str) -> str:
        done = subprocess.run(arguments, cwd=tmp_path / "repo", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    run("git", "init", "--quiet")
    run("dvc", "init", "--quiet")
    run("dvc", "remote", "add", "--quiet", "--default", "store", str(tmp_path / "store"))
    return run


def test_a_revision_is_fetched_after_the_data_changed_and_its_digest_is_checked(
    market: Any, tmp_path: Path, command: Callable[..., str]
) -> None:
    folder = tmp_path / "repo" / "market"
    market.write(folder)
    assert add(folder).is_file()
    first = content_digest(folder)
    command("git", "add", "--all")
    command("git", "commit", "--quiet", "--message", "first")
    rev = command("git", "rev-parse", "HEAD")
    command("dvc", "push", "--quiet")

    market.put("nodes/user", "age", 0, 99.0)
    market.write(folder)
    add(folder)
    assert content_digest(folder) != first

    data = {
        "source": "dvc",
        "repo": str(tmp_path / "repo"),
        "rev": rev,
        "path": "market",
        "digest": first,
    }
    (tmp_path / "out").mkdir()
    grid = ("single_task-gcn-fixed",)
    params = Params.model_validate({"grid": grid, "data": data})
    ingest(StageCall({}, tmp_path / "out", params))
    assert content_digest(tmp_path / "out") == first

    (tmp_path / "other").mkdir()
    wrong = Params.model_validate({"grid": grid, "data": {**data, "digest": "0" * 64}})
    with pytest.raises(UserError, match=first):
        ingest(StageCall({}, tmp_path / "other", wrong))
    with pytest.raises(UserError, match="no-such-rev"):
        fetch(str(tmp_path / "repo"), "no-such-rev", "market", tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_what_add_prints_is_fetched_also_from_a_repository_that_is_named_relatively(
    market: Any,
    tmp_path: Path,
    command: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Typed below the root of the repository, where `dvc get` counts paths from."""
    market.write(tmp_path / "repo" / "shops" / "market")
    monkeypatch.chdir(tmp_path / "repo" / "shops")
    data_add(Path("market"))
    printed = yaml.safe_load(capsys.readouterr().out.split("commit:\n")[1])["data"]
    assert printed["path"] == "shops/market"
    command("git", "add", "--all")
    command("git", "commit", "--quiet", "--message", "first")
    command("dvc", "push", "--quiet")

    fetch("..", "HEAD", printed["path"], tmp_path / "out")
    assert content_digest(tmp_path / "out") == printed["digest"]


def test_a_folder_outside_dvc_is_refused(
    market: Any, tmp_path: Path, command: Callable[..., str]
) -> None:
    market.write(tmp_path / "market")
    with pytest.raises(UserError, match="not inside of a DVC repository"):
        add(tmp_path / "market")


def test_the_digest_is_the_ingested_manifests_and_sees_no_file_beside_the_data(
    market: Any, tmp_path: Path
) -> None:
    market.write(tmp_path / "market")
    before = content_digest(tmp_path / "market")
    (tmp_path / "market" / "notes.txt").write_text("mine")
    (tmp_path / "out").mkdir()
    data = {"source": "folder", "path": str(tmp_path / "market"), "digest": before}
    params = Params.model_validate({"grid": ("single_task-gcn-fixed",), "data": data})
    ingest(StageCall({}, tmp_path / "out", params))
    assert content_digest(tmp_path / "market") == before
