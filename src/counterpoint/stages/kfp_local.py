"""The KFP pipeline without a cluster: in subprocesses of this environment, or in containers."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from counterpoint.errors import UserError
from counterpoint.stages.kfp import (
    IMAGE_USER,
    TRAIN_AND_REGISTER,
    pipeline_arguments,
    pipeline_named,
)
from counterpoint.stages.params import Params

TRACKING = "MLFLOW_TRACKING_URI"
SERVER_STARTS = 300.0  # seconds: it imports much, which takes minutes on a loaded machine


def run_local(
    checkout: Path,
    params: Params,
    root: Path,
    docker: bool = False,
    name: str = TRAIN_AND_REGISTER,
    settings: Mapping[str, str] | None = None,
) -> None:
    """Run a pipeline by KFP's local runner; artefacts go below ``root``.

    The address of the tracking server is params.yaml's, else the environment's, else: subprocesses
    share an sqlite file below ``root``; containers, which have no database, a server on that file
    for as long as the pipeline runs.

    Args:
        checkout: where components/ and pipelines/ are.
        params: all parameters.
        root: folder to make or add to.
        docker: run each step in its image, not as root and with a read-only root, instead of in
            this environment.
        name: of the pipeline.
        settings: its parameters that params.yaml does not have.

    Raises:
        UserError: no such pipeline, wrong settings, or no Docker engine answers.
    """
    from kfp import local

    pipeline = pipeline_named(checkout, name)
    arguments = pipeline_arguments(pipeline, params, settings or {})
    root = root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    stated = params.register_.tracking_uri or os.environ.get(TRACKING)
    sqlite = f"sqlite:///{root / 'mlflow.db'}"
    server = nullcontext(stated or sqlite) if stated or not docker else tracking_server(root)
    with server as uri:
        if docker:
            runner = _docker_runner(root, uri)
        else:
            os.environ[TRACKING] = uri
            _add_to_python_path(checkout)
            runner = local.SubprocessRunner(use_venv=False)
        local.init(runner=runner, pipeline_root=str(root), enable_caching=True)
        pipeline(**arguments)


def _add_to_python_path(checkout: Path) -> None:
    paths = [str(checkout), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths).rstrip(os.pathsep)


def _docker_runner(root: Path, tracking_uri: str) -> object:
    """A runner whose containers may write below ``root`` and to /tmp, and nowhere else."""
    import docker
    from kfp import local

    try:
        docker.from_env().ping()
    except docker.errors.DockerException as fault:
        raise UserError(
            f"no Docker engine answers ({fault}); start one, or leave out --docker"
        ) from None
    user, group = os.getuid(), os.getgid()
    if user == 0:
        user = group = IMAGE_USER
        os.chown(root, user, group)
    return local.DockerRunner(
        user=f"{user}:{group}",
        read_only=True,
        tmpfs={"/tmp": ""},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        network_mode="host",  # a tracking server on this machine
        environment={TRACKING: tracking_uri},
    )


@contextmanager
def tracking_server(root: Path) -> Iterator[str]:
    """An MLflow server on a free port of this machine; runs and artefacts go below ``root``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = root / "mlflow-server.log"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{root / 'mlflow.db'}"),
        *("--artifacts-destination", str(root / "mlartifacts"), "--workers", "1"),
    ]
    with log.open("w") as stream:
        server = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
    try:
        uri = f"http://127.0.0.1:{port}"
        _wait_for(f"{uri}/health", server, log)
        yield uri
    finally:
        # asked kindly it takes half a minute; every step has ended, and sqlite keeps what it has
        with suppress(ProcessLookupError):  # it died at its start
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait_for(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + SERVER_STARTS
    while time.monotonic() < until and server.poll() is None:
        try:
            with urlopen(address, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.5)
    raise UserError(f"{address}: the tracking server did not start; see {log}")
