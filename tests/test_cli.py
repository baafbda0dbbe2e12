"""Bad input: one clear line each, exit code 2, no traceback, nothing half-made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from counterpoint import cli
from counterpoint.errors import UserError


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["counterpoint", *arguments])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    return int(raised.value.code or 0)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _null_id(market: Any) -> None:
    market.put("tasks/click", "src", 0, None)


FAULTS: dict[str, tuple[Callable[[Any], None], str]] = {
    "missing column": (
        lambda m: m.tables.update({"nodes/user": m.tables["nodes/user"].drop("age")}),
        "age",
    ),
    "wrong type": (lambda m: m.change("nodes/user", age=pl.lit("old")), "age"),
    "dangling id": (lambda m: m.put("tasks/click", "src", 3, "nobody"), "src"),
    "duplicate id": (lambda m: m.put("nodes/user", "id", 1, "u00"), "id"),
    "label outside its domain": (lambda m: m.put("tasks/click", "label", 0, 7), "label"),
    "empty split": (lambda m: m.change("tasks/click", split=pl.lit("train")), "split"),
    "one-class task": (lambda m: m.change("tasks/click", label=pl.lit(0)), "click"),
    "non-finite feature": (lambda m: m.put("nodes/user", "age", 0, float("inf")), "age"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_tables(
    market: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    spoil, place = FAULTS[name]
    spoil(market)
    market.write(tmp_path / "data")
    assert called(monkeypatch, "data", "check", str(tmp_path / "data")) == 2
    said = capsys.readouterr().err
    assert place in said
    assert ".parquet" in said
    assert "Traceback" not in said


def test_a_derived_relation_as_a_table_and_a_truncated_parquet(
    market: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = market.write(tmp_path / "data")
    pairs = market.tables["tasks/click"].select("src", "dst")
    pairs.write_parquet(tmp_path / "data" / "relations" / "clicked.parquet")
    _truncate(folder.table_path("nodes/item"))
    assert called(monkeypatch, "data", "check", str(tmp_path / "data")) == 2
    said = capsys.readouterr().err
    assert "clicked.parquet" in said
    assert "item.parquet" in said


def test_an_unknown_relation_of_the_schema(
    market: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    market.write(tmp_path / "data")
    path = tmp_path / "data" / "dataset.yaml"
    path.write_text(path.read_text().replace("from_task: click", "from_task: klick"))
    assert called(monkeypatch, "data", "check", str(tmp_path / "data")) == 2
    assert "'klick'" in capsys.readouterr().err


def test_a_full_disk_is_not_the_users_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "nodes"))

    monkeypatch.setattr("counterpoint.data.planted.generate", full)
    target = tmp_path / "market"
    assert called(monkeypatch, "data", "plant", "tiny", "--to", str(target)) == 1
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert "Traceback" not in said
    assert not target.exists()


def test_our_own_fault_exits_with_one_and_keeps_the_traceback_in_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("counterpoint.data.planted.generate", broken)
    monkeypatch.setattr("counterpoint.cli.gettempdir", lambda: str(tmp_path))
    assert called(monkeypatch, "data", "plant", "tiny", "--to", str(tmp_path / "market")) == 1
    said = capsys.readouterr().err
    assert "internal error: ZeroDivisionError" in said
    assert "Traceback" not in said
    assert "ZeroDivisionError" in next(tmp_path.glob("*.log")).read_text()


def test_a_stage_without_its_input_says_which_stage_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "params.yaml").write_text("grid: [single_task-gcn-fixed]\n")
    params = ("--params", str(tmp_path / "params.yaml"), "--work", str(tmp_path / "work"))
    assert called(monkeypatch, "stage", "build_graph", *params) == 2
    assert "validation" in capsys.readouterr().err
    assert called(monkeypatch, "stage", "trian", *params) == 2
    assert "there are ingest" in capsys.readouterr().err
    assert not (tmp_path / "work" / "graph").exists()


def test_user_errors_print_every_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def two(*_: object, **__: object) -> None:
        raise UserError("a.yaml: first", "a.yaml: second")

    monkeypatch.setattr("counterpoint.cli.app", two)
    assert called(monkeypatch) == 2
    assert capsys.readouterr().err == "a.yaml: first\na.yaml: second\n"


def test_planting_replaces_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("counterpoint.data.planted.generate", lambda *_: None)
    full, empty = tmp_path / "full", tmp_path / "empty"
    full.mkdir()
    empty.mkdir()
    (full / "dataset.yaml").write_text("mine")
    for target in (full, full / "dataset.yaml"):
        assert called(monkeypatch, "data", "plant", "tiny", "--to", str(target)) == 2
        assert f"{target}: there already; name another folder" in capsys.readouterr().err
    assert (full / "dataset.yaml").read_text() == "mine"
    assert called(monkeypatch, "data", "plant", "tiny", "--to", str(empty)) == 0


def test_thresholds_of_monitoring_are_those_of_the_file_that_was_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def compared(*arguments: Any) -> None:
        raise UserError(f"psi {arguments[-1].psi}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("counterpoint.cli.tracking_of", lambda work: None)
    monkeypatch.setattr("counterpoint.stages.monitor.monitor", compared)

    def said(*arguments: str) -> str:
        assert called(monkeypatch, "monitor", *arguments) == 2
        return capsys.readouterr().err.splitlines()[-1]

    assert said() == "psi 0.2"
    assert said("--params", "parms.yaml") == "parms.yaml: no such file"
    for name, psi in (("params.yaml", 0.3), ("strict.yaml", 0.1)):
        text = f"grid: [single_task-gcn-fixed]\nmonitor: {{psi: {psi}}}\n"
        (tmp_path / name).write_text(text)
    assert said() == "psi 0.3"
    assert said("--params", "strict.yaml") == "psi 0.1"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--unknown", "encode"], "--unknown encode: needs --data, the data-set folder with today"),
        (["--data", "today"], "--data: read by --unknown encode alone; ask for that, or leave it"),
        (["--unknown", "encode", "--data", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_new_nodes_are_encoded_from_a_folder_of_today(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    options: list[str],
    line: str,
) -> None:
    given = ["--task", "click", "--from", "p.parquet", "--to", "s", "--work", str(tmp_path)]
    assert called(monkeypatch, "score", "champion", *given, *options) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert line in said
    assert not list(tmp_path.iterdir())


def test_a_setting_without_a_value_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--local", "--set", "promote", "--set", "a=b=c")
    assert called(monkeypatch, "pipeline", "run", *options) == 2
    assert "--set promote: no value; write name=value" in capsys.readouterr().err


def test_a_part_is_made_and_said(
    market: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, part = str(tmp_path / "whole"), str(tmp_path / "part")
    market.write(tmp_path / "whole")
    options = ["--of", "user", "--share", "0.8", "--target", "click", "--auxiliary", "visit"]
    assert called(monkeypatch, "data", "part", whole, "--to", part, *options) == 0
    said = capsys.readouterr().out
    assert "tasks/click: " in said
    assert "tasks/buy" not in said
    assert f"Next: counterpoint run --data {part}" in said
    assert called(monkeypatch, "data", "check", part) == 0
    assert called(monkeypatch, "data", "part", whole, "--to", whole, "--target", "click") == 2
    for wrong, why in {
        ("--share", "0.5"): "neither goes without the other",
        ("--of", "user"): "neither goes without the other",
        (): "a part of what?",
        ("--target", "click", "--auxiliary", "click"): "click: both --target and --auxiliary",
    }.items():
        to = tmp_path / "not-made"
        assert called(monkeypatch, "data", "part", whole, "--to", str(to), *wrong) == 2
        assert why in capsys.readouterr().err
        assert not to.exists()
