"""A data set goes to an S3 server and comes back by revision; `make test-s3` runs it."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
import yaml

from counterpoint.data.versioned import content_digest
from counterpoint.stages.ingest import ingest
from counterpoint.stages.params import Params
from counterpoint.stages.table import StageCall
from tests.end_to_end.conftest import run

PROGRAMS = os.environ.get("COUNTERPOINT_TEST_S3")  # folder of dvc with S3, and of the server
pytestmark = pytest.mark.skipif(
    PROGRAMS is None, reason="make test-s3 installs an S3 server and runs this"
)
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "very-secret"}
BUCKET = "shelf"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """An S3 server with one bucket, on a free port that it says itself."""
    log = tmp_path / "server.log"
    with log.open("w") as said:
        server = subprocess.Popen([f"{PROGRAMS}/moto_server", "-p", "0"], stdout=said, stderr=said)
    try:
        yield _with_bucket(_address_in(log, server))
    finally:
        server.terminate()
        server.wait()


def _address_in(log: Path, server: "subprocess.Popen[bytes]") -> str:
    for _ in range(300):
        for line in log.read_text().splitlines():
            if "Running on http" in line:
                return line.split("Running on ")[1].strip()
        assert server.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def _with_bucket(address: str) -> str:
    for _ in range(100):
        try:
            urlopen(Request(f"{address}/{BUCKET}", method="PUT")).close()
        except URLError:
            time.sleep(0.1)
        else:
            return address
    raise AssertionError(f"{address} does not answer")


def test_a_data_set_comes_back_from_s3_by_revision(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    repo, out = tmp_path / "repo", tmp_path / "out"
    repo.mkdir()
    git = ("git", "-c", "user.name=Ann", "-c", "user.email=ann@example.org")
    run(*git, "init", "--quiet", cwd=repo)
    run("dvc", "init", "--quiet", cwd=repo)
    run("dvc", "remote", "add", "--quiet", "--default", "s3", f"s3://{BUCKET}/data", cwd=repo)
    run("dvc", "remote", "modify", "s3", "endpointurl", address, cwd=repo)
    run("counterpoint", "data", "plant", "tiny", "--to", "market", cwd=repo)
    said = run("counterpoint", "data", "add", "market", cwd=repo).stdout
    run(*git, "add", "--all", cwd=repo)
    run(*git, "commit", "--quiet", "--message", "data", cwd=repo)
    rev = run(*git, "rev-parse", "HEAD", cwd=repo).stdout.strip()
    run(f"{PROGRAMS}/dvc", "push", "--quiet", cwd=repo)

    data = yaml.safe_load(said.split("commit:\n")[1])["data"] | {"repo": str(repo), "rev": rev}
    params = Params.model_validate({"grid": ("single_task-gcn-fixed",), "data": data})
    out.mkdir()
    ingest(StageCall({}, out, params))
    assert content_digest(out) == data["digest"] == content_digest(repo / "market")
    kept = [path for path in (repo / ".dvc").rglob("*") if path.is_file()]
    assert not [path for path in kept if KEYS["AWS_SECRET_ACCESS_KEY"] in path.read_text("latin1")]
