"""The commands of the registry: how they are asked, their exit codes; what they do is elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from counterpoint import cli
from counterpoint.errors import UserError

COMMANDS = [
    "models list", "models show", "models compare", "models promote", "models rollback",
    "models history", "models repair", "models verify", "lineage show", "lineage verify", "score",
    "monitor",
]  # fmt: skip


@pytest.fixture
def called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["counterpoint", *arguments])
        with pytest.raises(SystemExit) as raised:
            cli.main()
        said = capsys.readouterr()
        return int(raised.value.code or 0), said.out, said.err

    return call


def command(words: str) -> Any:
    """The command that the words name; typer has a click of its own without types."""
    found: Any = typer.main.get_command(cli.app)
    for word in words.split():
        found = found.commands[word]
    return found


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_has_an_example_and_json(words: str) -> None:
    found = command(words)
    assert f"Example: counterpoint {words}" in str(found.epilog)
    assert "--json" in {option for param in found.params for option in param.opts}


def test_no_model_is_one_line_and_exit_code_two(
    called: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    work = ("--work", str(tmp_path))
    for words in (
        ["models", "list"],
        ["models", "verify"],
        ["models", "history"],
        ["models", "rollback", "--why", "x"],
        ["models", "promote", "1", "--expect-champion", "none"],
    ):
        code, out, err = called(*words, *work)
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        assert "no registered model 'counterpoint'; register a candidate first" in err
    for words in (["lineage", "verify", "counterpoint"], ["models", "show", "champion"]):
        code, _, err = called(*words, *work)
        assert code == 2
        assert "Traceback" not in err


def test_a_champion_that_is_no_number_is_refused_before_anything(
    called: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, _, err = called("models", "promote", "1", "--expect-champion", "v2", "--work", "w")
    assert (code, err) == (2, "--expect-champion 'v2': a version number, or none\n")


def test_verify_with_json_prints_faults_and_exits_with_two(
    called: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("counterpoint.cli_models.tracking_of", lambda work: None)
    monkeypatch.setattr(
        "counterpoint.registry.verification.model_faults", lambda tracking, model: ["broken"]
    )
    code, out, _ = called("models", "verify", "--json")
    assert (code, json.loads(out)["faults"]) == (2, ["broken"])
    code, out, err = called("models", "verify")
    assert (code, out, err) == (2, "", "broken\n")


def test_a_refusal_has_a_line_for_each_reason(
    called: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise UserError("first", "second")

    monkeypatch.setattr("counterpoint.cli_models.tracking_of", lambda work: None)
    monkeypatch.setattr("counterpoint.registry.promotion.promote", refused)
    code, _, err = called("models", "promote", "1", "--expect-champion", "none", "--work", "w")
    assert (code, err) == (2, "first\nsecond\n")
