from pathlib import Path

from counterpoint.files import read_json
from tests.end_to_end.how_to.pages import follow, script


def test_tables_become_a_verdict_and_a_revision(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    said = follow(script("docs/how-to/bring-your-data.md"), folder)
    assert "no column 'prize' (there are: id, price, brand)" in said
    report = read_json(folder / "work-shop" / "evaluation" / "report.json")
    (judged,) = report["candidates"]
    assert {task["name"] for task in judged["tasks"]} == {"click", "buy"}
    by_revision = said.split("counterpoint run --params shop.yaml")[1]
    assert "ingest: done" in by_revision
    assert "validate: unchanged" in by_revision
