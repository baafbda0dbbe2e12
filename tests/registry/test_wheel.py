"""The wheel, and a model that carries it, in a process that has nothing but the wheel."""

import os
import subprocess
import sys
import zipfile

import pytest

import counterpoint
from counterpoint.errors import UserError
from counterpoint.registry.bundle import read_bundle
from counterpoint.registry.served import log_model, stored
from counterpoint.registry.tracking import experiment_id
from counterpoint.registry.wheel import build_wheel

from .conftest import make_bundle

SCORE = """
import sys, warnings
site, model = sys.argv[1:]
sys.path.insert(0, site)
import pandas as pd
import mlflow.pyfunc
import counterpoint
assert counterpoint.__file__.startswith(site), counterpoint.__file__
frame = pd.DataFrame({"task": ["click"], "src": ["u1"], "dst": [10]})
print(mlflow.pyfunc.load_model(model).predict(frame)["probability"][0])
assert not {"torch", "dgl", "sklearn"} & set(sys.modules)
"""


def test_a_model_is_scored_by_the_wheel_that_travels_with_it(tracking, tmp_path):
    wheel = build_wheel(tmp_path / "wheel")
    folder = make_bundle(tmp_path / "bundle")
    run = tracking.client.create_run(experiment_id(tracking, "wheel")).info.run_id
    logged = log_model(tracking, run, "mmoe", folder, read_bundle(folder), wheel)
    with stored(tracking, logged.model_id) as model:
        travelled = model / "artifacts" / wheel.name
        assert f"artifacts/{wheel.name}" in (model / "requirements.txt").read_text()
        with zipfile.ZipFile(travelled) as archive:
            archive.extractall(tmp_path / "site")
        done = subprocess.run(
            [sys.executable, "-c", SCORE, str(tmp_path / "site"), str(model)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout) < 1


def test_an_installation_has_nothing_to_build_from(tmp_path, monkeypatch):
    monkeypatch.setattr(counterpoint, "__file__", str(tmp_path / "a" / "b" / "c.py"))
    with pytest.raises(UserError, match="no source checkout, so no wheel can be built"):
        build_wheel(tmp_path)
