from pathlib import Path

import yaml

from tests.end_to_end.conftest import run
from tests.end_to_end.how_to.pages import follow, script

# so lenient that two epochs on tiny data give something to promote
PARAMS = {
    "grid": ["shared_bottom-gcn-fixed"],
    "seeds": [0, 1],
    "train": {"threads": 1, "encoder": {"width": 8, "layers": 1}, "epochs": 2, "batch_size": 1024},
    "evaluate": {
        "references": False,
        "gate": {"require_gain": False, "allow_provisional": True},
        "margins": {"click": 0.9, "conversion": 0.9, "complaint": 0.9},
    },
}


def test_what_the_front_page_says_works_on_your_data(tmp_path: Path) -> None:
    run("counterpoint", "data", "plant", "tiny", "--to", "my-data", cwd=tmp_path)
    (tmp_path / "my-params.yaml").write_text(yaml.safe_dump(PARAMS))
    (tmp_path / "pairs.parquet").symlink_to(tmp_path / "my-data" / "tasks" / "click.parquet")
    said = follow(script("README.md"), tmp_path)
    assert "my-data: no fault" in said
    assert "champion is version 1, before: none." in said
    assert "scores is made: 3,000 rows of click by version 1" in said
