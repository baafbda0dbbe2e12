import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from counterpoint.files import sha256_of_file, verified_digest, write_json, write_manifest
from counterpoint.registry.chain import first_broken, shown_chain, verified_chain
from counterpoint.registry.listing import listed, shown
from counterpoint.registry.promotion import promote
from counterpoint.registry.records import RegistrySettings
from counterpoint.registry.register import register
from counterpoint.registry.verification import model_faults

from .conftest import make_record, write_card

MODEL = "chained"


def artefact(folder):
    folder.mkdir(parents=True)
    write_json(folder / "value.json", folder.name)
    return write_manifest(folder)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkout")
    git = ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "first"], check=True)
    return folder


@pytest.fixture(scope="module")
def registered(tracking, checkout, tmp_path_factory):
    """A work folder and what it registered: versions 1 (mmoe, champion) and 2 (ple, on hold)."""
    work = tmp_path_factory.mktemp("chain") / "work"
    record = make_record(work / "made", mmoe="promote", ple="hold")
    cells = []
    for cell in record.cells:
        (cell.folder / "seed-0").mkdir()
        (cell.folder / "seed-0" / "joint.safetensors").write_text(f"weights of {cell.name}")
        write_manifest(cell.folder)
        cells.append(replace(cell, digest=verified_digest(cell.folder)))
        shutil.copytree(cell.folder, work / "runs" / cell.name)
    digests = {f"{name}_digest": artefact(work / name) for name in ("data", "graph", "evaluation")}
    commit = subprocess.run(
        ["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    lineage = {
        **digests,
        "git_commit": commit.stdout.strip(),
        "git_dirty": "false",
        "remote": "https://me:secret@host/x",
        **{f"run.{cell.name}": cell.digest for cell in cells},
    }
    for candidate in record.candidates:
        decision = {"decision": candidate.verdict}
        write_card(candidate.card, verdict=decision, lineage=lineage)
    settings = RegistrySettings(work=work, tracking_uri=tracking.uri, model=MODEL, experiment=MODEL)
    record = replace(record, cells=cells, lineage=lineage)
    register(record, settings, work / "registration" / "receipt.json")
    promote(tracking, MODEL, 1, expect_champion=None)
    return work


@pytest.fixture
def work(registered, tmp_path):
    """A copy for each test to spoil; what MLflow stores stays where it is."""
    shutil.copytree(registered, tmp_path / "work")
    return tmp_path / "work"


def states(tracking, work, checkout, version="champion"):
    _, links = verified_chain(tracking, MODEL, version, work, checkout)
    return {link.name: link.state for link in links}, first_broken(links)


UNSTATED = ("weights", "report")  # the fixture's digests of these are made up


def test_the_chain_is_in_order_and_whole(tracking, work, checkout):
    number, links = shown_chain(tracking, MODEL, "champion", work)
    names = [link.name for link in links]
    assert number == 1
    assert names == [
        "data", "graph", "code", "configuration", "run", "weights", "run in MLflow", "metrics",
        "report", "version",
    ]  # fmt: skip
    assert {link.state for link in links} == {"stated"}
    shutil.rmtree(work / "registration")
    found, broken = states(tracking, work, checkout)
    assert {name: state for name, state in found.items() if name not in UNSTATED} == {
        name: "whole" for name in names if name not in UNSTATED
    }
    assert broken is None or broken.name in UNSTATED


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("data/value.json", "data"),
        ("graph/value.json", "graph"),
        ("runs/mmoe/config.json", "configuration"),
        ("runs/mmoe/seed-0/joint.safetensors", "run"),
        ("evaluation/value.json", "metrics"),
    ],
)
def test_a_changed_file_breaks_its_link(tracking, work, checkout, path, link):
    (work / path).write_text("tampered")
    found, broken = states(tracking, work, checkout)
    assert found[link] == "broken"
    assert broken.name == link or broken.name in UNSTATED
    assert all(
        found[name] == "whole" for name in ("data", "graph", "metrics") if name not in (link,)
    )


def test_what_is_gone_breaks_the_versions_own_work_folder_and_no_other(tracking, work, checkout):
    shutil.rmtree(work / "graph")
    found, broken = states(tracking, work, checkout)
    assert found["graph"] == "broken"
    assert broken.name == "graph"
    assert broken.fault.endswith("graph: not there")
    receipt = work / "registration" / "receipt.json"
    values = json.loads(receipt.read_text())
    values["versions"] = [one for one in values["versions"] if one["version"] != 1]
    receipt.write_text(json.dumps(values))
    assert states(tracking, work, checkout)[0]["graph"] == "not here"


def test_a_manifest_rewritten_after_the_change_does_not_help(tracking, work, checkout):
    (work / "data" / "value.json").write_text("tampered")
    write_manifest(work / "data")
    assert states(tracking, work, checkout)[0]["data"] == "broken"


def test_elsewhere_only_the_registry_can_be_asked(tracking, tmp_path):
    found, broken = states(tracking, tmp_path / "nowhere", tmp_path)
    assert broken is None
    assert {name for name, state in found.items() if state == "whole"} == {
        "run in MLflow",
        "version",
    }
    assert set(found.values()) == {"whole", "not here"}


def test_a_deleted_run_is_a_break(tracking, work, checkout):
    run = tracking.client.get_model_version(MODEL, "2").run_id
    tracking.client.delete_run(run)
    try:
        assert states(tracking, work, checkout, "2")[0]["run in MLflow"] == "broken"
    finally:
        tracking.client.restore_run(run)


def test_the_trunk_that_a_model_started_from_is_a_link(tracking, work, checkout, tag):
    path = work / "pretrained" / "gcn" / "seed-0.safetensors"
    path.parent.mkdir(parents=True)
    path.write_text("trunk")
    write_manifest(work / "pretrained")
    tag("cell", "mmoe-gcn-fixed")
    assert "trunk" not in states(tracking, work, checkout)[0]
    tag("trunk_digest", sha256_of_file(path))
    assert states(tracking, work, checkout)[0]["trunk"] == "whole"
    path.write_text("tampered")
    assert states(tracking, work, checkout)[0]["trunk"] == "broken"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.json", "changed"),
        ("metrics.json", "gone"),
        ("manifest.json", "gone"),
        ("manifest.json", "changed"),
    ],
)
def test_a_changed_or_lost_file_of_the_run_in_mlflow_is_a_break(
    tracking, work, checkout, name, change
):
    run = tracking.client.get_run(tracking.client.get_model_version(MODEL, "2").run_id)
    path = Path(run.info.artifact_uri.removeprefix("file://")) / name
    before = path.read_text()
    if change == "gone":
        path.unlink()
    else:
        path.write_text(before.replace('": "', '": "0'))
    try:
        _, links = verified_chain(tracking, MODEL, "2", work, checkout)
    finally:
        path.write_text(before)
    (link,) = (link for link in links if link.name == "run in MLflow")
    assert link.state == "broken"
    assert name in link.fault
    assert states(tracking, work, checkout, "2")[0]["run in MLflow"] == "whole"


@pytest.fixture
def tag(tracking):
    """Set a tag of version 1, or remove it; all are put back afterwards."""
    client = tracking.client
    before = client.get_model_version(MODEL, "1").tags

    def change(key, value):
        if value is None:
            client.delete_model_version_tag(MODEL, "1", f"counterpoint.{key}")
        else:
            client.set_model_version_tag(MODEL, "1", f"counterpoint.{key}", value)

    yield change
    for key in set(client.get_model_version(MODEL, "1").tags) - set(before):
        client.delete_model_version_tag(MODEL, "1", key)
    for key, value in before.items():
        client.set_model_version_tag(MODEL, "1", key, value)


def test_a_tag_that_was_edited_is_named(tracking, tmp_path, tag):
    """Where no work folder can say so."""
    tag("data_digest", "f" * 64)
    tag("git_dirty", None)
    found, broken = states(tracking, tmp_path / "nowhere", tmp_path)
    assert [name for name, state in found.items() if state == "broken"] == ["version"]
    assert broken.fault.startswith(f"chained version 1: tagged {'f' * 64}, but its card says ")
    assert broken.fault.endswith("; find out who changed the tag data_digest")
    assert model_faults(tracking, MODEL) == [
        broken.fault,
        "chained version 1: tagged None, but its card says false; "
        "find out who changed the tag git_dirty",
    ]


@pytest.mark.parametrize(
    ("key", "link"),
    [
        ("data_digest", "data"),
        ("model_digest", "weights"),
        ("report_digest", "report"),
        ("bundle_digest", "version"),
    ],
)
def test_a_link_without_its_tag_is_broken(tracking, tmp_path, tag, key, link):
    tag(key, None)
    found, broken = states(tracking, tmp_path / "nowhere", tmp_path)
    assert broken.name == link
    assert broken.fault == f"no tag of {link}; find out who removed it"
    assert found[link] == "broken"


def test_a_commit_is_not_all_of_the_code_where_files_had_changed(tracking, work, checkout, tag):
    assert states(tracking, work, checkout)[0]["code"] == "whole"
    tag("git_dirty", "true")
    _, links = verified_chain(tracking, MODEL, 1, work, checkout)
    code = next(link for link in links if link.name == "code")
    assert (code.state, code.fault) == ("not here", "git, with changes that no commit holds")


def test_what_is_listed_and_shown(tracking, registered):
    newest, oldest = listed(tracking, MODEL)
    assert (newest["version"], newest["verdict"], newest["aliases"]) == (2, "hold", [])
    assert (oldest["version"], oldest["cell"], oldest["aliases"]) == (1, "mmoe", ["champion"])
    found = shown(tracking, MODEL, "champion")
    assert found["version"] == 1
    assert [move["action"] for move in found["moves"]] == ["promote"]
    assert found["metrics"]["click/test/auc_mean"] == pytest.approx(0.75)
    assert found["tags"]["verdict"] == "promote"
    assert shown(tracking, MODEL, 2)["moves"] == []


def test_verify_names_a_wrong_alias_a_lost_bundle_and_a_lost_card(tracking, registered, tmp_path):
    client = tracking.client
    assert model_faults(tracking, MODEL) == []
    client.set_registered_model_alias(MODEL, "champion", "2")
    (fault,) = model_faults(tracking, MODEL)
    assert fault.startswith("chained: alias champion is 2, the log says 1; `counterpoint models")
    client.set_registered_model_alias(MODEL, "champion", "1")
    location = client.get_logged_model(client.get_model_version(MODEL, "2").source.split("/")[-1])
    place = location.artifact_location.removeprefix("file://")
    shutil.move(f"{place}/card/card.json", tmp_path / "kept.json")
    (fault,) = model_faults(tracking, MODEL)
    assert "card.json: listed in the manifest, missing" in fault
    shutil.move(f"{place}/card", tmp_path / "kept")
    (fault,) = model_faults(tracking, MODEL)
    assert "the card of chained version 2 is lost" in fault
    shutil.move(f"{place}/artifacts/bundle", tmp_path / "kept-bundle")
    assert len(model_faults(tracking, MODEL)) == 2
    shutil.move(tmp_path / "kept-bundle", f"{place}/artifacts/bundle")
    shutil.move(tmp_path / "kept", f"{place}/card")
    shutil.move(tmp_path / "kept.json", f"{place}/card/card.json")
    assert model_faults(tracking, MODEL) == []
