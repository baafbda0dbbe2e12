"""What a comparison refuses before it compares; the comparison itself is an end-to-end test."""

from pathlib import Path
from typing import Any, cast

import pytest

from counterpoint.errors import UserError
from counterpoint.evaluation.drift import DriftSettings
from counterpoint.stages.monitor import monitor


def test_a_folder_of_something_else_is_refused_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "chapter.txt").write_text("years of work")
    monkeypatch.setattr("counterpoint.stages.monitor.read_log", lambda *_: pytest.fail("too late"))
    with pytest.raises(UserError, match="thesis: there already, and no folder of a comparison"):
        monitor(
            cast(Any, None), "market", 1, tmp_path / "d", tmp_path / "g", target, DriftSettings()
        )
    assert (target / "chapter.txt").read_text() == "years of work"
