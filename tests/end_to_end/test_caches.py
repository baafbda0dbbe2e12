"""What reruns after a change: exactly the stages that depend on it, under DVC and under KFP.

A change is one byte of the data set, one parameter, or one line of a model. KFP's local cache tells
artefacts by their place on disk, a cluster's by name and by the digests that come as parameters;
here the local one is made to see what a cluster sees.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from counterpoint.data.versioned import content_digest
from counterpoint.stages.table import STAGES
from tests.end_to_end.conftest import ROOT, TINY, run

GRID = ("single_task-gcn-fixed", "shared_bottom-gcn-fixed")
EVERYTHING = {stage.name for stage in STAGES}
NEVER_CACHED = {stage.name for stage in STAGES if not stage.cache}
NO_STAGES = ("plan-cells", "record-failure")
# what depends on it, by name of the change
DEPENDS: dict[str, set[str]] = {
    "nothing": set(),
    "parameter": {"evaluate", "register"},
    "model": {"pretrain", "train", "evaluate", "register"},
    "data": EVERYTHING,
}
LIKE_A_CLUSTER = """
import runpy, sys
from kfp import dsl
from kfp.local.cache import LocalCache
exact = LocalCache._serialize_value_for_key
def by_name(value):
    artifacts = isinstance(value, list) and value and isinstance(value[0], dsl.Artifact)
    return "artifact" if artifacts or isinstance(value, dsl.Artifact) else exact(value)
LocalCache._serialize_value_for_key = staticmethod(by_name)
sys.argv = ["counterpoint", "pipeline", "run", "--local", "--root", "kfp"]
runpy.run_module("counterpoint.cli", run_name="__main__")
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of its own, whose code is what runs, with a data set under it."""
    folder = tmp_path_factory.mktemp("caches")
    for name in ("src", "components", "pipelines"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    run("counterpoint", "data", "plant", "tiny", "--to", "market", cwd=folder)
    quick = {
        "build": {},
        "pretrain": {},
        "grid": list(GRID),
        "seeds": [0, 1],
        "train": {**TINY["train"], "epochs": 1},
        "evaluate": {"candidates": "all", "references": False},
    }
    _write_params(folder, {**TINY, **quick})
    run("dvc", "init", "--no-scm", "--quiet", cwd=folder)
    return folder


def _write_params(folder: Path, params: dict[str, object]) -> None:
    data = {"source": "folder", "path": "market", "digest": content_digest(folder / "market")}
    # KFP's steps run elsewhere, so that a path must be whole
    data["path"] = str(folder / "market")
    (folder / "params.yaml").write_text(yaml.safe_dump({**params, "data": data}))


def _change(folder: Path, name: str) -> None:
    params = yaml.safe_load((folder / "params.yaml").read_text())
    if name == "parameter":
        params["evaluate"]["gate"] = {"n_resamples": 2001}
    if name == "model":
        path = folder / "src" / "counterpoint" / "models" / "mmoe.py"
        path.write_text(path.read_text() + "\nOF_NO_EFFECT = True\n")
    if name == "data":
        path = folder / "market" / "dataset.yaml"
        text = path.read_text()
        assert "name: planted" in text
        path.write_text(text.replace("name: planted", "name: plantee"))
    _write_params(folder, params)


def _of_the_copy(folder: Path, *command: str) -> str:
    """Output of a command for which the package is the copy's."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder}",
        "DVC_NO_ANALYTICS": "1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def ran_under_dvc(folder: Path) -> list[str]:
    said = _of_the_copy(folder, "dvc", "repro")
    return re.findall(r"Running stage '(\w+)", said)


def ran_under_kfp(folder: Path) -> list[str]:
    said = _of_the_copy(folder, sys.executable, "-c", LIKE_A_CLUSTER)
    started = re.findall(r"Executing task .*?'([a-z-]+?)(?:-for-loop[^']*|-\d+)?'", said)
    return [name.replace("-", "_") for name in started if name not in NO_STAGES]


@pytest.mark.parametrize("ran", [ran_under_dvc, ran_under_kfp])
def test_exactly_what_depends_on_a_change_reruns(
    copy: Path, ran: Callable[[Path], list[str]]
) -> None:
    cached_anyway = NEVER_CACHED if ran is ran_under_kfp else set()
    folder = copy.with_name(f"{copy.name}-{ran.__name__}")
    shutil.copytree(copy, folder)
    _write_params(folder, yaml.safe_load((folder / "params.yaml").read_text()))
    first = ran(folder)
    assert sorted(first) == sorted([*(EVERYTHING - {"train"}), *(["train"] * len(GRID))])
    for name, dependent in DEPENDS.items():
        _change(folder, name)
        again = ran(folder)
        assert set(again) == dependent | cached_anyway, name
        assert again.count("train") in (0, len(GRID))
