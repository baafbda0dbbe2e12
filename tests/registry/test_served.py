import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from counterpoint import __version__
from counterpoint.errors import UserError
from counterpoint.registry import served
from counterpoint.registry.bundle import read_bundle
from counterpoint.registry.served import log_model, requirements, stored
from counterpoint.registry.tracking import experiment_id

from .conftest import ITEMS, USERS, examples, heads, make_bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("served") / "any-name")


@pytest.fixture(scope="module")
def logged(tracking, folder):
    run = tracking.client.create_run(experiment_id(tracking, "served"))
    return log_model(tracking, run.info.run_id, "mmoe", folder, read_bundle(folder))[0]


def place(logged) -> Path:
    return Path(logged.artifact_location.removeprefix("file://"))


def test_nothing_is_pickled_and_the_code_is_the_packages_three_lines(logged):
    files = {
        path.relative_to(place(logged)).as_posix()
        for path in place(logged).rglob("*")
        if path.is_file()
    }
    assert files == {
        "MLmodel",
        "artifacts/bundle/bundle.json",
        "artifacts/bundle/embeddings.safetensors",
        "artifacts/bundle/examples.json",
        "artifacts/bundle/ids/item.parquet",
        "artifacts/bundle/ids/user.parquet",
        "artifacts/bundle/manifest.json",
        "artifacts/bundle/trained_on.safetensors",
        "conda.yaml",
        "input_example.json",
        "model_from_code.py",
        "python_env.yaml",
        "requirements.txt",
        "serving_input_example.json",
    }
    code = (place(logged) / "model_from_code.py").read_text()
    assert code == served.CODE.read_text()
    statements = [line for line in code.splitlines() if line and not line.startswith('"""')]
    assert len(statements) == 3
    assert "python_model:" not in (place(logged) / "MLmodel").read_text()


def test_it_answers_through_mlflow(logged, tracking):
    import mlflow.pyfunc

    with stored(tracking, logged.model_id) as folder:
        model = mlflow.pyfunc.load_model(str(folder))
    frame = pd.DataFrame(
        {"task": ["click", "topic"], "src": ["u1", None], "dst": [10, None], "id": [None, 20]}
    )
    answer = model.predict(frame)["probability"]
    assert 0 < answer[0] < 1
    assert sum(answer[1]) == pytest.approx(1)


ALONE = """
import sys
import mlflow.pyfunc
import pandas as pd
frame = pd.DataFrame({"task": ["click"], "src": ["u1"], "dst": [10]})
print(mlflow.pyfunc.load_model(sys.argv[1]).predict(frame)["probability"][0])
assert not {"torch", "dgl", "sklearn"} & set(sys.modules)
"""


def test_a_process_that_scores_imports_no_training_library(logged, tracking, tmp_path):
    with stored(tracking, logged.model_id) as folder:
        done = subprocess.run(
            [sys.executable, "-c", ALONE, str(folder)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout) < 1


def test_a_scoring_server_says_what_is_wrong_with_a_request(logged, tracking):
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc.scoring_server import invocations

    with stored(tracking, logged.model_id) as folder:
        model = mlflow.pyfunc.load_model(str(folder))

    def answer(rows):
        request = json.dumps({"dataframe_records": rows})
        schema = model.metadata.get_input_schema()
        return json.loads(invocations(request, "application/json", model, schema).response)

    row = {"task": "click", "src": "u1", "dst": 10}
    first, second = answer([row, {"task": "topic", "id": 20}])["predictions"]
    assert 0 < first["probability"] < 1
    assert len(second["probability"]) == 3
    with pytest.raises(MlflowException, match="1 of 1 ids of task 'click' are no user") as raised:
        answer([{**row, "src": "nobody"}])
    assert raised.value.get_http_status_code() == 400


def inputs(logged):
    from mlflow.models import Model

    specs = Model.load(place(logged) / "MLmodel").signature.inputs.to_dict()
    return [(spec["name"], spec["type"], spec["required"]) for spec in specs]


def test_the_signature_says_which_ids_are_asked_for(logged, tracking, tmp_path):
    assert inputs(logged) == [
        ("task", "string", True),
        ("id", "any", False),
        ("src", "string", False),
        ("dst", "any", False),
    ]
    pairs = {name: head for name, head in heads().items() if len(head.entity) == 2}
    shown = [example for example in examples(heads()) if example["task"] in pairs]
    folder = make_bundle(tmp_path / "pairs", heads=pairs, examples=shown)
    run = tracking.client.create_run(experiment_id(tracking, "served"))
    alone, _ = log_model(tracking, run.info.run_id, "pairs", folder, read_bundle(folder))
    assert inputs(alone) == [
        ("task", "string", True),
        ("src", "string", True),
        ("dst", "long", True),
    ]


def test_the_manifest_is_verified_before_anything_is_loaded(logged, tracking):
    import mlflow.pyfunc

    with stored(tracking, logged.model_id) as copy:
        local = Path(copy)
        if local == place(logged):
            pytest.fail("the store gave the original, not a copy")
        (local / "artifacts/bundle/bundle.json").write_text("{}")
        with pytest.raises(UserError, match=r"bundle.json: its SHA-256 is not the manifest's"):
            mlflow.pyfunc.load_model(str(local))


def test_ids_beyond_the_integers_of_a_float_are_no_hindrance(tracking, tmp_path):
    big = 2**60 + 1
    moved = [{**row} for row in examples(heads())]
    for row in moved:
        for column in ("id", "dst"):
            if isinstance(row.get(column), int):
                row[column] += big
    ids = {"user": np.asarray(USERS, dtype=object), "item": np.asarray(ITEMS) + big}
    folder = make_bundle(tmp_path / "big", ids=ids, examples=moved)
    run = tracking.client.create_run(experiment_id(tracking, "served"))
    logged, _ = log_model(tracking, run.info.run_id, "big", folder, read_bundle(folder))
    assert str(logged.status) == "READY"


def test_requirements_are_pinned_and_name_no_training_library():
    given = requirements()
    assert given[-1] == f"counterpoint=={__version__}"
    assert all("==" in line for line in given)
    assert not any(line.startswith(("torch", "dgl", "kfp")) for line in given)
