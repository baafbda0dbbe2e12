import json
import shutil
from pathlib import Path

import yaml

from tests.end_to_end.conftest import ROOT, copy_checkout
from tests.end_to_end.how_to.pages import follow, script

QUICK = {
    "data": {"source": "planted", "preset": "tiny"},
    "build": {},
    "pretrain": {},
    "overrides": {},
    "register": {},
    "grid": ["single_task-gcn-fixed", "shared_bottom-gcn-fixed"],
    "seeds": [0, 1],
    "train": {
        "threads": 1,
        "encoder": {"width": 8, "layers": 1, "dropout": 0.0},
        "sharing": {"width": 4, "tower_width": 4},
        "batch_size": 1024,
        "epochs": 2,
        "learning_rate": 0.02,
    },
    "evaluate": {"references": False},
}
TASKS = ("click", "conversion", "complaint")
# what the reader has: a clone of the repository
CLONED = "git init --quiet; git add --all; git commit --quiet --message clone; git status --short\n"
APPLY = "dvc exp apply first"
# beside what the page shows, the same for a program
COMPARED = """
dvc exp show --only-changed --md >shown.md
dvc metrics diff first slower --json >metrics.json
dvc plots diff first slower --json >plots.json
"""


def test_experiments_are_kept_and_compared(tmp_path: Path) -> None:
    copy_checkout(tmp_path)
    (tmp_path / ".dvc").mkdir()
    for name in (".gitignore", ".dvc/config", ".dvc/.gitignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(QUICK))
    commands = script("docs/how-to/experiment.md").split(APPLY)
    assert len(commands) == 2
    said = follow(CLONED + (COMPARED + APPLY).join(commands), tmp_path)
    changed = said.split("+ dvc params diff")[1].split("+ dvc metrics diff")[0]
    assert changed.split()[-4:] == ["params.yaml", "train.learning_rate", "0.02", "0.01"]
    (file, metrics), *others = json.loads((tmp_path / "metrics.json").read_text()).items()
    assert (file, others) == ("work/evaluation/metrics.json", [])
    assert set(metrics) == {
        f"shared_bottom-gcn-fixed.{task}.{name}"
        for task in TASKS
        for name in ("joint", "difference", "lower")
    }  # and not the decision, which is hold in both
    plots = json.loads((tmp_path / "plots.json").read_text())["data"]
    assert {Path(name).stem for name in plots} == {
        f"{task}.{cell}" for task in TASKS for cell in QUICK["grid"]
    }
    for (plot,) in plots.values():
        points = plot["content"]["data"]["values"]
        assert {(point["rev"], int(point["epoch"])) for point in points} == {
            (name, epoch) for name in ("first", "slower") for epoch in (0, 1)
        }
        assert all(0 < float(point["valid auc"]) < 1 for point in points)
    assert yaml.safe_load((tmp_path / "params.yaml").read_text()) == QUICK  # the first is applied
    assert (tmp_path / "dvc_plots" / "index.html").is_file()
    shown = (tmp_path / "shown.md").read_text()
    assert "train.learning_rate" in shown
    assert "[slower]" in shown
    assert ".py" not in shown
