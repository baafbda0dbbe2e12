"""The life of a registered model: three versions, promotion, rollback, and what verify catches."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.registry_life import PARAMS as LENIENT
from counterpoint import cli
from counterpoint.data.folder import open_folder
from counterpoint.files import new_folder, read_json
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.registry.served import stored
from counterpoint.registry.tracking import connect
from counterpoint.registry.versions import logged_model_id, stored_card, version_of
from counterpoint.stages.model_card import CARD_PARAMS
from counterpoint.stages.params import Params
from counterpoint.stages.params_file import params_for_run
from counterpoint.stages.runner import calls, run_if_needed
from tests.registry.stores import await_answer, free_port

MODEL = "counterpoint"
DEGREES = {"kind": "degree", "seeds": 16}
PARAMS = {**LENIENT, "pretrain": {"epochs": 1, "auxiliaries": {"degrees": DEGREES}}}
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder after two runs: versions 1 and 2 of the first, 3 of the second."""
    work = tmp_path_factory.mktemp("life") / "work"
    second = {
        **PARAMS,
        "grid": ["single_task-gcn-fixed", "shared_bottom-gcn-fixed"],
        "train": {**PARAMS["train"], "learning_rate": 0.01},
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        for values in (PARAMS, second):
            params = Params.model_validate(values)
            for stage, cell in calls(params):
                run_if_needed(stage, cell, params, work, lambda line: None)
    return work


@pytest.fixture
def work(registered: Path, tmp_path: Path) -> Iterator[Path]:
    """The same folder in the same place for each test, but for the database, which stays open."""
    kept = tmp_path / "kept"
    shutil.copytree(registered, kept)
    yield registered
    for path in registered.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    ignored = shutil.ignore_patterns("mlflow.db*")
    shutil.copytree(kept, registered, ignore=ignored, dirs_exist_ok=True)


@pytest.fixture
def counterpoint(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Call the command line in this process: exit code, standard output, standard error."""

    def called(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["counterpoint", *arguments, "--work", str(work)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as raised:
            cli.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return int(raised.value.code or 0), said.out, said.err

    return called


def promote(counterpoint: Command, version: int, expected: int | None) -> dict[str, Any]:
    expect = "none" if expected is None else str(expected)
    code, out, err = counterpoint(
        "models", "promote", str(version), "--expect-champion", expect, "--json"
    )
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_three_versions_promotion_rollback_verify(counterpoint: Command) -> None:
    code, out, _ = counterpoint("models", "list", "--json")
    rows = json.loads(out)
    assert code == 0
    assert [(row["version"], row["verdict"]) for row in rows] == [
        (3, "promote"),
        (2, "promote"),
        (1, "promote"),
    ]
    first = promote(counterpoint, 1, None)
    assert first["evidence"]["comparison"] is None
    second = promote(counterpoint, 2, 1)
    assert second["evidence"]["comparison"]["decision"] == "pass"
    assert {reason.split(":")[0] for reason in second["evidence"]["comparison"]["reasons"]} == {
        "click",
        "conversion",
        "complaint",
    }
    code, _, err = counterpoint("models", "promote", "3", "--expect-champion", "1")
    assert code == 2
    assert f"the champion is 2, not 1 ({first['who']} made version 2 champion" in err
    promote(counterpoint, 3, 2)
    code, out, _ = counterpoint("models", "rollback", "--why", "clicks fell")
    assert (code, out) == (0, "champion is version 2 again, before: 3.\n")
    code, out, _ = counterpoint("models", "history")
    assert [line.split("  ")[3] for line in out.splitlines()] == [
        "promote none -> 1: the gate's verdict is promote",
        "promote 1 -> 2: the gate's verdict is promote",
        "promote 2 -> 3: the gate's verdict is promote",
        "rollback 3 -> 2: clicks fell",
    ]
    code, out, _ = counterpoint("models", "show", "champion")
    assert code == 0
    assert "# mmoe-gcn-fixed on" in out or "# shared_bottom-gcn-fixed on" in out
    assert "## Against the single-task twins" in out
    assert "| click | auc | " in out
    assert "| single_task-gcn-fixed | " in out
    code, _, err = counterpoint("models", "verify")
    assert (code, err) == (0, "")
    code, _, err = counterpoint("lineage", "verify", MODEL, "--version", "3")
    assert (code, err) == (0, "")


def test_the_card_has_the_parameters_that_make_the_version_again(work: Path) -> None:
    with stored_card(connect(work), MODEL, 1) as folder:
        card, params = read_json(folder / "card.json"), folder / CARD_PARAMS
        assert f"counterpoint run --params {CARD_PARAMS}  # " in card["reproduce"]
        assert params_for_run(None, params) == Params.model_validate(PARAMS)
        assert "tracking_uri" not in params.read_text()


def test_compare_passes_or_says_why_not(counterpoint: Command, work: Path, tmp_path: Path) -> None:
    code, out, _ = counterpoint("models", "compare", "2", "1", "--json")
    assert (code, json.loads(out)["decision"]) == (0, "pass")
    code, _, err = counterpoint("models", "compare", "2", "1", "--graph", "nowhere")
    assert code == 2
    assert "nowhere: no graph store" in err
    split_anew(work / "data", tmp_path)
    code, out, _ = counterpoint("models", "compare", "2", "1", "--graph", str(tmp_path / "graph"))
    assert code == 1
    assert out.startswith("version 2 against version 1: refused\n")
    assert "test rows were in the champion's training data; choose a later" in out


def split_anew(data: Path, target: Path) -> None:
    """A graph of the same data with other rows held out."""
    shutil.copytree(data, target / "data")
    text = (target / "data" / "dataset.yaml").read_text()
    values = {**yaml.safe_load(text), "split": {"by": "random", "seed": 99}}
    (target / "data" / "dataset.yaml").write_text(yaml.safe_dump(values))
    with new_folder(target / "graph") as scratch:
        build_graph(open_folder(target / "data"), BuildSettings(), scratch)


def spoil_weights(work: Path) -> None:
    path = work / "runs" / "shared_bottom-gcn-fixed" / "seed-0" / "joint.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def change_parquet(work: Path) -> None:
    import polars as pl

    path = work / "data" / "tasks" / "click.parquet"
    pl.read_parquet(path).head(-1).write_parquet(path)


def delete_graph(work: Path) -> None:
    shutil.rmtree(work / "graph")


def delete_stored_bundle(work: Path) -> None:
    for bundle in work.glob("mlartifacts/**/artifacts/bundle"):
        shutil.rmtree(bundle)


def change_stored_weights(work: Path) -> None:
    for path in work.glob("mlartifacts/**/bundle/embeddings.safetensors"):
        path.write_bytes(path.read_bytes()[:-1] + b"\0")


def change_served_script(work: Path) -> None:
    for path in work.glob("mlartifacts/**/model_from_code.py"):
        path.write_text("import os\n" + path.read_text())


@pytest.mark.parametrize(
    ("harm", "link", "named"),
    [
        (spoil_weights, "run", "joint.safetensors: its SHA-256 is not the manifest's"),
        (change_parquet, "data", "tasks/click.parquet: its SHA-256 is not the manifest's"),
        (delete_graph, "graph", "graph: not there"),
        (delete_stored_bundle, "version", "the stored bundle of counterpoint version 3 is lost"),
        (change_stored_weights, "version", "embeddings.safetensors: its SHA-256 is not"),
        (
            change_served_script,
            "version",
            "version 3 are not those that were registered: model_from_code.py",
        ),
    ],
)
def test_harm_is_caught_and_named(
    counterpoint: Command, work: Path, harm: Callable[[Path], None], link: str, named: str
) -> None:
    harm(work)
    code, _, err = counterpoint("lineage", "verify", MODEL, "--version", "3")
    assert code == 2
    assert err.startswith(f"first broken link of {MODEL} version 3: {link}: ")
    assert named in err
    code, _, err = counterpoint("models", "verify")
    assert code == (2 if link == "version" else 0), err


LINKED = (
    *("cell", "seed", "data_digest", "validation_digest", "graph_digest", "trunk_digest"),
    *("config_digest", "run.mmoe-gcn-fixed", "model_digest", "evaluation_digest", "report_digest"),
)


def test_an_edited_tag_of_any_link_is_named(counterpoint: Command, work: Path) -> None:
    """By the registry alone: version 1 or 2, whose work folder a later run has replaced."""
    tracking = connect(work)
    (version,) = (
        found
        for found in tracking.client.search_model_versions(f"name = '{MODEL}'")
        if found.tags["counterpoint.cell"] == "mmoe-gcn-fixed"
    )
    unnamed = []
    for key in LINKED:
        tag = f"counterpoint.{key}"
        tracking.client.set_model_version_tag(MODEL, version.version, tag, "0" * 64)
        code, _, err = counterpoint("models", "verify")
        if code != 2 or f"find out who changed the tag {key}" not in err:
            unnamed.append(key)
        tracking.client.set_model_version_tag(MODEL, version.version, tag, version.tags[tag])
    assert not unnamed
    assert counterpoint("models", "verify")[0] == 0


def test_what_a_later_run_replaced_is_said_and_is_no_break(counterpoint: Command) -> None:
    code, out, _ = counterpoint("lineage", "verify", MODEL, "--version", "1", "--json")
    states = {link["name"]: link["state"] for link in json.loads(out)["links"]}
    assert code == 0
    assert states["data"] == states["graph"] == states["trunk"] == states["version"] == "whole"
    assert states["metrics"] == "not here"
    assert "broken" not in states.values()


def test_scores_of_a_file_are_made_once(counterpoint: Command, work: Path, tmp_path: Path) -> None:
    import polars as pl

    source, target = work / "data" / "tasks" / "click.parquet", tmp_path / "scores"
    command = ("score", "3", "--task", "click", "--from", str(source), "--to", str(target))
    code, out, _ = counterpoint(*command)
    assert code == 0
    assert out.startswith(f"{target} is made: {len(pl.read_parquet(source)):,} rows of click by")
    code, out, _ = counterpoint(*command, "--json")
    assert (code, json.loads(out)["fresh"]) == (0, False)
    assert pl.read_parquet(target / "scores.parquet")["probability"].is_between(0, 1).all()
    code, _, err = counterpoint(*command[:3], "like", *command[4:])
    assert code == 2
    assert "task 'like': none of counterpoint version 3, which has click" in err


def test_new_nodes_are_scored_from_todays_tables(
    counterpoint: Command, work: Path, tmp_path: Path
) -> None:
    import polars as pl

    today, source = tmp_path / "today", tmp_path / "pairs.parquet"
    shutil.copytree(work / "data", today)
    users = pl.read_parquet(today / "nodes" / "user.parquet")
    items = pl.read_parquet(today / "nodes" / "item.parquet")
    fresh = users.head(2).with_columns(pl.col("id") + 1_000_000)
    pl.concat([fresh, users]).write_parquet(today / "nodes" / "user.parquet")
    clicks = pl.read_parquet(today / "tasks" / "click.parquet")
    first = clicks.head(1).with_columns(src=fresh["id"][:1], dst=items["id"][:1], label=1)
    pl.concat([clicks, first.select(clicks.columns).cast(clicks.schema)]).write_parquet(
        today / "tasks" / "click.parquet"
    )
    asked = [*users["id"][:2], *fresh["id"]]
    pl.DataFrame({"src": asked, "dst": [int(items["id"][5])] * 4}).write_parquet(source)
    command = ("score", "3", "--task", "conversion", "--from", str(source), "--to")
    encode = ("--unknown", "encode", "--data")
    code, out, err = counterpoint(*command, str(tmp_path / "out"), *encode, str(today), "--json")
    assert code == 0, err
    said = json.loads(out)
    assert (said["rows"], said["unknown_rows"], said["unknown"]) == (4, 2, "encode")
    table = pl.read_parquet(tmp_path / "out" / "scores.parquet")
    assert table["known"].to_list() == [True, True, False, False]
    assert table["probability"].n_unique() == 4
    code, out, _ = counterpoint(*command, str(tmp_path / "out"), *encode, str(today), "--json")
    assert (code, json.loads(out)["fresh"]) == (0, False)
    code, _, err = counterpoint(*command, str(tmp_path / "no"), *encode, str(work / "data"))
    assert code == 2
    assert "2 of 4 rows have a node that neither counterpoint version 3 nor" in err
    assert "knows, the first is row 2; leave them out, or add the nodes to" in err
    code, out, _ = counterpoint(*command, str(tmp_path / "average"), "--unknown", "average")
    assert code == 0
    average = pl.read_parquet(tmp_path / "average" / "scores.parquet")["probability"]
    assert average[:2].equals(table["probability"][:2])
    assert average[2] == average[3] != table["probability"][2]


def test_monitor_is_silent_on_the_same_data_and_names_what_drifted(
    counterpoint: Command, work: Path, tmp_path: Path
) -> None:
    import polars as pl

    target = tmp_path / "drift"
    code, out, _ = counterpoint("monitor", "3", "--to", str(target))
    assert (code, out) == (0, f"counterpoint version 3: no drift; {target / 'drift.html'}\n")
    drift = json.loads((target / "drift.json").read_text())
    assert {one["name"] for one in drift["predictions"]} == {"click", "conversion", "complaint"}
    assert all(one["psi"] == pytest.approx(0, abs=1e-9) for one in drift["features"])
    assert drift["facts"]
    assert (target / drift["report"]).read_bytes() == (
        work / "evaluation" / "report.html"
    ).read_bytes()
    shutil.copytree(work / "data", tmp_path / "data")
    schema = yaml.safe_load((tmp_path / "data" / "dataset.yaml").read_text())
    node_type, feature = next(
        (name, feature["name"])
        for name, declared in schema["node_types"].items()
        for feature in declared.get("features", [])
        if feature["kind"] == "numeric"
    )
    table = tmp_path / "data" / "nodes" / f"{node_type}.parquet"
    moved = pl.col(feature) + 2 * pl.col(feature).std()
    pl.read_parquet(table).with_columns(moved).write_parquet(table)
    today = ("--data", str(tmp_path / "data"), "--to", str(target))
    code, out, _ = counterpoint("monitor", "3", *today)
    assert code == 3
    assert out.startswith(f"drifted: feature {node_type}.{feature}\n")


def test_a_scoring_server_answers_the_stored_request(
    counterpoint: Command, work: Path, tmp_path: Path
) -> None:
    """`mlflow models serve` in a process of its own, asked what docs/registry.md asks."""
    port = free_port()
    uri = f"sqlite:///{work / 'mlflow.db'}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["--model-uri", f"models:/{MODEL}/3", "--port", str(port)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        await_answer(server, port, tmp_path / "log")
        tracking = connect(work)
        with stored(tracking, logged_model_id(version_of(tracking, MODEL, 3))) as folder:
            request = (folder / "serving_input_example.json").read_bytes()
            examples = read_json(folder / "artifacts" / "bundle" / "examples.json")
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            data=request,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            found = [row["probability"] for row in json.load(answer)["predictions"]]
        split = json.loads(request)["dataframe_split"]
        task = split["data"][0][split["columns"].index("task")]
        stated = [example["score"] for example in examples if example["task"] == task]
        assert found == pytest.approx(stated, rel=1e-5)
    finally:
        os.killpg(server.pid, 9)
        server.wait()
    code, _, err = counterpoint("models", "verify")
    assert (code, err) == (0, "")
