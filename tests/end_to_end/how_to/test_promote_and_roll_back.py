from pathlib import Path

from tests.end_to_end.how_to.pages import follow, script


def test_the_champion_moves_there_and_back(tmp_path: Path) -> None:
    said = follow(script("docs/how-to/promote-and-roll-back.md"), tmp_path)
    moves = [line for line in said.splitlines() if line.startswith("champion is version")]
    assert moves == [
        "champion is version 1, before: none.",
        "champion is version 2, before: 1.",
        "champion is version 1 again, before: 2.",
        "champion is version 2, before: 1.",
    ]
    assert "Ranks are among sampled candidates" not in said  # no task of the market is a link
    assert "the champion is 2, not 1" in said
    assert "version 2 was rolled back (clicks fell)" in said
    assert "every version, the log and the aliases are whole" in said
    assert {"scores.parquet", "scoring.json"} <= {path.name for path in tmp_path.glob("scores/*")}
    assert (tmp_path / "drift" / "drift.html").is_file()
