from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from counterpoint.data.schema import TaskKind
from counterpoint.errors import UserError
from counterpoint.files import read_json, sha256_of_file, write_json, write_manifest
from counterpoint.registry.bundle import Inductive, LinearHead, read_bundle

from .conftest import heads, make_bundle


def test_what_is_written_is_read_and_equal_input_gives_equal_bytes(tmp_path):
    first, second = make_bundle(tmp_path / "a"), make_bundle(tmp_path / "b")
    bundle = read_bundle(first)
    assert bundle.digest == read_bundle(second).digest
    assert list(bundle.contents.tasks) == sorted(heads())
    assert bundle.contents.tasks["click"].head == "dot"
    assert bundle.contents.tasks["topic"].entity == ("item",)
    np.testing.assert_allclose(bundle.tensors["click.src"], heads()["click"].src, rtol=1e-6)
    assert bundle.tensors["click.bias"].item() == 0.25


def test_what_encodes_further_nodes_is_carried_or_the_reason_why_not(tmp_path):
    weights = {"b": np.arange(3, dtype=np.float32), "a": np.asarray(2.0)}
    given = Inductive(weights, {"name": "market"}, {"user": {"mean": [0.1 + 0.2]}})
    first, second = (make_bundle(tmp_path / name, inductive=given) for name in "ab")
    bundle = read_bundle(first)
    assert bundle.digest == read_bundle(second).digest
    assert bundle.contents.transductive is None
    assert (bundle.inductive.graph, bundle.inductive.encoders) == (given.graph, given.encoders)
    assert {name: array.tobytes() for name, array in bundle.inductive.weights.items()} == {
        name: array.tobytes() for name, array in weights.items()
    }
    bare = read_bundle(make_bundle(tmp_path / "c", inductive="node type shop has no features"))
    assert bare.inductive is None
    assert bare.contents.transductive == "node type shop has no features"


def test_a_bundle_from_before_it_carried_an_encoder_is_read(bundle):
    values = read_json(bundle / "bundle.json")
    del values["transductive"]
    write_json(bundle / "bundle.json", values)
    write_manifest(bundle)
    found = read_bundle(bundle)
    assert (found.inductive, found.contents.transductive) == (None, None)


@pytest.mark.parametrize("name", ["embeddings.safetensors", "ids/user.parquet", "bundle.json"])
def test_a_changed_file_is_refused(bundle, name):
    path = bundle / name
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(UserError, match=f"{name}: its SHA-256 is not the manifest's"):
        read_bundle(bundle)


def test_an_added_file_is_refused(bundle):
    (bundle / "extra.pkl").write_bytes(b"x")
    with pytest.raises(UserError, match=r"extra.pkl: not listed in the manifest"):
        read_bundle(bundle)


def test_a_bundle_of_another_version_is_refused(bundle):
    text = (bundle / "bundle.json").read_text().replace('"version": 3', '"version": 2')
    (bundle / "bundle.json").write_text(text)
    write_manifest(bundle)
    with pytest.raises(UserError, match=r"bundle.json: version: Input should be 3"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    ("task", "head", "message"),
    [
        ("click", replace(heads()["click"], dst=np.zeros((4, 3))), "binary dot head"),
        ("click", replace(heads()["click"], kind=TaskKind.MULTICLASS), "multiclass dot head"),
        ("churn", LinearHead(TaskKind.BINARY, ("user",), np.zeros((3, 2))), "binary linear head"),
        ("churn", LinearHead(TaskKind.BINARY, ("user",), np.zeros((4, 1))), "binary linear head"),
        ("churn", LinearHead(TaskKind.BINARY, ("user",), np.full((3, 1), np.nan)), "not finite"),
        ("click", replace(heads()["click"], condition="churn"), "'churn' is no condition for it"),
        ("click", replace(heads()["click"], condition="view"), "'view' is no condition for it"),
    ],
)
def test_a_head_that_does_not_fit_is_our_fault(tmp_path, task, head, message):
    with pytest.raises(ValueError, match=message):
        make_bundle(tmp_path / "bundle", heads={**heads(), task: head})
    assert not list(tmp_path.iterdir())


def test_ids_are_unique_and_each_task_has_an_example(tmp_path):
    twice = {"user": np.asarray(["a", "b", "a"], dtype=object), "item": np.arange(4)}
    with pytest.raises(ValueError, match="'user' is there twice"):
        make_bundle(tmp_path / "bundle", ids=twice)
    with pytest.raises(ValueError, match="no example for the tasks"):
        make_bundle(tmp_path / "bundle", examples=[{"task": "click", "score": 0.5}])


def test_the_bundle_holds_no_pickle(bundle: Path):
    files = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert files == {
        "bundle.json",
        "embeddings.safetensors",
        "examples.json",
        "ids/item.parquet",
        "ids/user.parquet",
        "manifest.json",
        "trained_on.safetensors",
    }
    assert all(len(sha256_of_file(bundle / name)) == 64 for name in files)
