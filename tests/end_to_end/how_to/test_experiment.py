import json
import re
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
NUMBERS = {
    f"shared_bottom-gcn-fixed.{task}.{name}"
    for task in TASKS
    for name in ("joint", "difference", "lower")
}
# what the reader has: a clone of the repository
CLONED = "git init --quiet; git add --all; git commit --quiet --message clone\n"


def test_experiments_are_kept_and_compared(tmp_path: Path) -> None:
    copy_checkout(tmp_path)
    (tmp_path / ".dvc").mkdir()
    for name in (".gitignore", ".dvc/config", ".dvc/.gitignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(QUICK))
    commands = CLONED + script("docs/how-to/experiment.md")
    said = follow(commands, tmp_path, environment={"COLUMNS": "500"})
    shown, changed, numbers = (
        said.split(f"+ dvc {command} ")[1].split("\n+ ")[0]
        for command in ("exp show", "params diff", "metrics diff")
    )
    columns = next(line.split() for line in shown.splitlines() if "Experiment" in line)
    decision = "shared_bottom-gcn-fixed.decision"
    assert {*columns} == {"Experiment", "Created", *NUMBERS, decision, "train.learning_rate"}
    assert {"[first]", "[slower]"} <= {*shown.split()}
    assert changed.split()[-4:] == ["params.yaml", "train.learning_rate", "0.02", "0.01"]
    rows = [line.split() for line in numbers.splitlines() if "metrics.json" in line]
    # and not the decision, which is hold in both
    assert {name: len(values) for _, name, *values in rows} == dict.fromkeys(NUMBERS, 3)
    assert _plotted(tmp_path / "dvc_plots" / "index.html") == {
        f"work/evaluation/plots/{task}.{cell}.csv": {
            (experiment, str(epoch)) for experiment in ("first", "slower") for epoch in (0, 1)
        }
        for task in TASKS
        for cell in QUICK["grid"]
    }
    assert yaml.safe_load((tmp_path / "params.yaml").read_text()) == QUICK  # the first is applied


def _plotted(page: Path) -> dict[str, set[tuple[str, str]]]:
    """Title of each figure to its points, as (experiment, epoch), each with a value."""
    specs = re.findall(r"var spec = ({.*})", page.read_text())
    figures = [json.loads(spec) for spec in specs]
    found = {figure["title"]["text"]: figure["data"]["values"] for figure in figures}
    assert all(0 < float(point["valid auc"]) < 1 for points in found.values() for point in points)
    return {title: {(p["rev"], p["epoch"]) for p in points} for title, points in found.items()}
