import shutil
from pathlib import Path

from counterpoint.files import read_json
from tests.end_to_end.conftest import ROOT, copy_checkout
from tests.end_to_end.how_to.pages import follow, script


def test_a_weighting_of_ones_own_is_held_to_the_contract_and_compared(tmp_path: Path) -> None:
    copy_checkout(tmp_path)
    for name in ("pyproject.toml", "tests/conftest.py", "tests/weighting/conftest.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    said = follow(script("docs/how-to/add-a-weighting.md"), tmp_path)
    assert "3 passed" in said
    report = read_json(tmp_path / "work-geometric" / "evaluation" / "report.json")
    judged = [candidate["candidate"] for candidate in report["candidates"]]
    assert judged == ["mmoe-gcn-fixed", "mmoe-gcn-geometric"]
    assert "src/counterpoint/weighting/geometric.py" in (tmp_path / "dvc.yaml").read_text()
