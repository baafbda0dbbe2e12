"""A checkout of the tiny preset, in which the command line and DVC run as a user's would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
TINY = yaml.safe_load((Path(__file__).parent / "tiny.yaml").read_text())


def run(*command: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command with this environment's programs first on the path."""
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def copy_checkout(folder: Path) -> None:
    """Copy what `dvc repro` and the KFP pipelines need."""
    for name in ("src", "components", "pipelines"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("dvc.yaml", ".dvcignore", "params.yaml"):
        shutil.copy(ROOT / name, folder)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that `dvc repro` and the KFP pipeline need, with tiny parameters."""
    folder = tmp_path_factory.mktemp("checkout")
    copy_checkout(folder)
    (folder / "params.yaml").write_text(yaml.safe_dump(TINY))
    run("dvc", "init", "--no-scm", "--quiet", cwd=folder)
    return folder
