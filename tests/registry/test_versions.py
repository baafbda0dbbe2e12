from dataclasses import replace
from pathlib import Path

import pytest

from counterpoint.errors import UserError
from counterpoint.files import json_text, sha256_of_file, sha256_of_text
from counterpoint.registry import served
from counterpoint.registry import tracking as tracking_module
from counterpoint.registry.records import CandidateRecord
from counterpoint.registry.tracking import experiment_id
from counterpoint.registry.versions import (
    aliases,
    card_verdict,
    load_version,
    register_candidate,
    version_numbers,
    version_of,
)

from .conftest import config_of, heads, make_bundle, make_candidate, model_digest


@pytest.fixture(scope="module")
def run_id(tracking):
    return tracking.client.create_run(experiment_id(tracking, "versions")).info.run_id


@pytest.fixture
def register(tracking, run_id, tmp_path, request):
    """Register a candidate of the test's own model; ``shift`` says which weights."""

    def registered(verdict: str, shift: float = 0.0):
        candidate = make_candidate(tmp_path / f"{shift}", "mmoe", verdict, shift)
        return register_candidate(
            tracking, request.node.name, candidate, run_id, {"seeds": "0 1", "git_commit": "c"}
        )

    return registered


def test_versions_of_several_pages_are_all_found(tracking, register, request, monkeypatch):
    monkeypatch.setattr(tracking_module, "_PAGE", 2)
    for shift in range(3):
        register("hold", shift)
    assert version_numbers(tracking, request.node.name) == [1, 2, 3]


def test_a_version_says_what_it_is_and_where_it_comes_from(tracking, register, run_id, request):
    record = register("promote")
    version = version_of(tracking, request.node.name, record.version)
    assert version.run_id == run_id
    with served.stored(tracking, record.model_id) as folder:
        names = [path.name for path in folder.iterdir() if path.is_file()]
        files = {name: sha256_of_file(folder / name) for name in names}
    assert {"MLmodel", "model_from_code.py", "requirements.txt"} < set(files)
    assert version.tags == {
        "counterpoint.cell": "mmoe",
        "counterpoint.verdict": "promote",
        "counterpoint.reasons": '["click: promote"]',
        "counterpoint.model_digest": model_digest(0.0),
        "counterpoint.bundle_digest": record.bundle_digest,
        "counterpoint.report_digest": record.report_digest,
        "counterpoint.card_digest": record.card_digest,
        "counterpoint.seeds": "0 1",
        "counterpoint.git_commit": "c",
        "counterpoint.seed": "0",
        "counterpoint.config_digest": sha256_of_text(json_text(config_of("mmoe"))),
        **{f"counterpoint.file.{name}": digest for name, digest in files.items()},
    }
    logged = tracking.client.get_logged_model(record.model_id)
    assert str(logged.status) == "READY"
    assert version.source == logged.model_uri


def test_the_same_model_is_the_same_version(tracking, register, request):
    first = register("promote")
    assert register("promote") == first
    found = tracking.client.search_model_versions(f"name = '{request.node.name}'")
    assert [int(version.version) for version in found] == [1]
    assert register("promote", shift=1.0).version == 2


def test_the_alias_follows_the_verdict(tracking, register, request):
    model = request.node.name
    register("reject", shift=1.0)
    assert aliases(tracking, model) == {}
    register("promote")
    assert aliases(tracking, model) == {"candidate": 2}
    register("hold", shift=2.0)
    assert aliases(tracking, model) == {"candidate": 2}
    again = register("hold")
    assert again.version == 2
    assert aliases(tracking, model) == {}
    assert version_of(tracking, model, 2).tags["counterpoint.verdict"] == "hold"
    assert card_verdict(tracking, model, 2) == "hold"


def test_the_champion_does_not_become_a_candidate_again(tracking, register, request):
    register("promote")
    tracking.client.delete_registered_model_alias(request.node.name, "candidate")
    tracking.client.set_registered_model_alias(request.node.name, "champion", "1")
    register("promote")
    assert aliases(tracking, request.node.name) == {"champion": 1}


def test_a_model_that_scores_otherwise_once_stored_is_no_version(
    tracking, run_id, tmp_path, request, monkeypatch
):
    candidate = make_candidate(tmp_path, "mmoe", "promote", 0.0)
    wrong = replace(candidate, bundle=make_bundle(tmp_path / "wrong", heads=heads(0.001)))
    with pytest.raises(RuntimeError, match=r"task 'buy': training scored its examples \[0"):
        register_candidate(tracking, request.node.name, wrong, run_id, {})
    assert not tracking.client.search_model_versions(f"name = '{request.node.name}'")
    statuses = {
        str(model.status)
        for model in tracking.client.search_logged_models(
            [tracking.client.get_run(run_id).info.experiment_id]
        )
        if model.name == "mmoe" and model.source_run_id == run_id
    }
    assert "PENDING" not in statuses


def test_a_bundle_that_is_not_as_stated_is_refused(tracking, run_id, tmp_path, request):
    candidate: CandidateRecord = make_candidate(tmp_path, "mmoe", "promote", 0.0)
    with pytest.raises(UserError, match=r"made from model .* but the candidate is"):
        register_candidate(
            tracking, request.node.name, replace(candidate, model_digest="x"), run_id, {}
        )
    (candidate.bundle / "embeddings.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match=r"embeddings.safetensors: its SHA-256"):
        register_candidate(tracking, request.node.name, candidate, run_id, {})


def test_a_version_is_loaded_without_running_stored_code(tracking, register, request):
    record = register("promote")
    assert load_version(tracking, request.node.name, "candidate").digest == record.bundle_digest
    with served.stored(tracking, record.model_id) as model:
        assert not (model / "code").exists()


def test_a_stored_bundle_that_was_exchanged_is_refused(tracking, register, request, tmp_path):
    record = register("promote")
    location = tracking.client.get_logged_model(record.model_id).artifact_location
    place = location.removeprefix("file://") + "/artifacts/bundle"
    make_bundle(tmp_path / "other", 3.0)
    for name in ("embeddings.safetensors", "bundle.json", "manifest.json", "examples.json"):
        (Path(place) / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(UserError, match="is not the one that was registered"):
        load_version(tracking, request.node.name, 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model_from_code.py", "import os"),
        ("requirements.txt", "mlflow"),
        ("serving_input_example.json", None),
        ("code/counterpoint.py", "a package that would be imported first"),
    ],
    ids=["script", "requirements", "request", "package"],
)
def test_a_stored_file_without_a_manifest_is_held_to_its_digest(
    tracking, register, request, name, content
):
    """What `mlflow models serve` runs and reads beside the bundle: changed, gone or added."""
    record = register("promote")
    load_version(tracking, request.node.name, 1)
    location = tracking.client.get_logged_model(record.model_id).artifact_location
    path = Path(location.removeprefix("file://")) / name
    if content is None:
        path.unlink()
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    with pytest.raises(UserError, match=f"version 1 are not those that were registered: {name};"):
        load_version(tracking, request.node.name, 1)


def test_registered_again_what_was_changed_is_a_new_version_and_a_lost_card_is_there_again(
    tracking, register, request
):
    """Which is what the lines say that name the harm."""
    model, record = request.node.name, register("promote")
    location = tracking.client.get_logged_model(record.model_id).artifact_location
    place = Path(location.removeprefix("file://"))
    (place / "card" / "card.json").unlink()
    with pytest.raises(UserError, match=r"card.json: listed in the manifest, missing"):
        card_verdict(tracking, model, 1)
    assert register("promote") == record
    assert card_verdict(tracking, model, 1) == "promote"
    (place / "model_from_code.py").write_text("import os")
    again = register("promote")
    assert again.version == 2
    assert load_version(tracking, model, 2).digest == record.bundle_digest
    assert register("promote") == again
    assert aliases(tracking, model) == {"candidate": 2}


def test_a_stored_files_tag_that_is_gone_is_a_fault(tracking, register, request):
    register("promote")
    key = "counterpoint.file.model_from_code.py"
    tracking.client.delete_model_version_tag(request.node.name, "1", key)
    with pytest.raises(UserError, match=r"those that were registered: model_from_code\.py; reg"):
        load_version(tracking, request.node.name, 1)


def test_an_unknown_model_or_version_is_one_clear_line(tracking, register, request):
    with pytest.raises(UserError, match="no registered model 'nothing'; register"):
        aliases(tracking, "nothing")
    with pytest.raises(UserError, match="model 'nothing' has no version 1; it has none"):
        version_of(tracking, "nothing", 1)
    register("promote")
    with pytest.raises(UserError, match="has no version 9; it has 1"):
        version_of(tracking, request.node.name, 9)
    with pytest.raises(UserError, match="has no version champion; it has 1"):
        version_of(tracking, request.node.name, "champion")
