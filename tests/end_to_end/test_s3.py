"""A data set goes to an S3 server and comes back by revision; `make test-s3` runs it."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
import yaml

from counterpoint.data.versioned import content_digest
from counterpoint.stages.ingest import ingest
from counterpoint.stages.params import Params
from counterpoint.stages.table import StageCall
from tests.end_to_end.conftest import run
from tests.registry.stores import free_port

PROGRAMS = os.environ.get("COUNTERPOINT_TEST_S3")  # folder of dvc with S3, and of the server
pytestmark = pytest.mark.skipif(
    PROGRAMS is None, reason="make test-s3 installs an S3 server and runs this"
)
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "very-secret"}
BUCKET = "shelf"


PORTS = ("master.port", "volume.port", "filer.port", "s3.port")
NOT_NEEDED = ("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A SeaweedFS server that knows one user, with a bucket of theirs."""
    can = {"name": "ann", "actions": ["Admin", "Read", "Write", "List"]}
    keys = {"accessKey": KEYS["AWS_ACCESS_KEY_ID"], "secretKey": KEYS["AWS_SECRET_ACCESS_KEY"]}
    known, store, log = (tmp_path / name for name in ("known.json", "store", "server.log"))
    known.write_text(json.dumps({"identities": [{**can, "credentials": [keys]}]}))
    store.mkdir()
    ports = {name: free_port() for name in (*PORTS, *(f"{port}.grpc" for port in PORTS))}
    command = [
        *(f"{PROGRAMS}/weed", "server", "-s3", f"-s3.config={known}", f"-dir={store}"),
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", *NOT_NEEDED),
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    with log.open("w") as said:
        server = subprocess.Popen(command, stdout=said, stderr=said)
    try:
        address = f"http://127.0.0.1:{ports['s3.port']}"
        _wait_for(address, server, log)
        given = f"endpoint_url={address!r}, key={keys['accessKey']!r}, secret={keys['secretKey']!r}"
        code = f"from s3fs import S3FileSystem; S3FileSystem({given}).mkdir({BUCKET!r})"
        run(f"{PROGRAMS}/python", "-c", code, cwd=tmp_path)
        yield address
    finally:
        server.terminate()
        server.wait()


def _wait_for(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until it refuses who says no key."""
    for _ in range(600):
        assert server.poll() is None, log.read_text()
        try:
            urlopen(address).close()
        except HTTPError as answer:
            if answer.code == 403:
                return
            time.sleep(0.1)
        except URLError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


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
    with monkeypatch.context() as wrong:
        wrong.setenv("AWS_SECRET_ACCESS_KEY", "guessed")
        refused = run(f"{PROGRAMS}/dvc", "push", "--quiet", cwd=repo, check=False)
        assert refused.returncode != 0, "the server takes any key"
    run(f"{PROGRAMS}/dvc", "push", "--quiet", cwd=repo)

    data = yaml.safe_load(said.split("commit:\n")[1])["data"] | {"repo": str(repo), "rev": rev}
    params = Params.model_validate({"grid": ("single_task-gcn-fixed",), "data": data})
    out.mkdir()
    ingest(StageCall({}, out, params))
    assert content_digest(out) == data["digest"] == content_digest(repo / "market")
    kept = [path for path in (repo / ".dvc").rglob("*") if path.is_file()]
    assert not [path for path in kept if KEYS["AWS_SECRET_ACCESS_KEY"] in path.read_text("latin1")]
