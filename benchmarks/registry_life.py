"""A registry with three versions, as a user types it: written to docs/registry-life.md.

Two runs on the tiny preset register three versions. They are promoted; twenty processes promote at
once; the last promotion is rolled back; everything is verified, and once more after each of four
kinds of harm. Every line of the page was printed by the commands that stand above it.

    python -m benchmarks.registry_life
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from benchmarks.results import commit

PAGE = Path(__file__).parent.parent / "docs" / "registry-life.md"
MOVERS = 20
PARAMS: dict[str, Any] = {
    "data": {"source": "planted", "preset": "tiny"},
    "grid": ["single_task-gcn-fixed", "shared_bottom-gcn-fixed", "mmoe-gcn-fixed"],
    "seeds": [0, 1],
    "train": {
        "threads": 1,
        "encoder": {"width": 8, "layers": 1, "dropout": 0.0},
        "sharing": {"width": 4, "tower_width": 4},
        "batch_size": 1024,
        "epochs": 2,
        "learning_rate": 0.02,
    },
    # wide margins: there must be something to promote
    "evaluate": {
        "candidates": "all",
        "references": False,
        "gate": {"require_gain": False, "allow_provisional": True},
        "margins": {"click": 0.9, "conversion": 0.9, "complaint": 0.9},
    },
}
SECOND = {**PARAMS, "grid": PARAMS["grid"][:2], "seeds": [2, 3]}


class Terminal:
    """Runs commands in a folder and keeps what a reader would have seen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "COLUMNS": "100", "OMP_NUM_THREADS": "1"}
        self.environment.pop("MLFLOW_TRACKING_URI", None)

    def start(self, command: str) -> "subprocess.Popen[str]":
        """Start a command of the shell."""
        return subprocess.Popen(
            command,
            shell=True,
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, command: str, *, last: int | None = None) -> None:
        """Run a command to its end; ``last`` lines of it are shown, None all."""
        print(command, flush=True)
        process = self.start(command)
        said = [line.rstrip() for line in process.communicate()[0].splitlines()]
        shown = said if last is None else ["…", *said[-last:]]
        code = [f"exit code {process.returncode}"] if process.returncode else []
        self.lines += [f"$ {command}", *shown, *code, ""]

    def at_once(self, command: str, count: int) -> None:
        """Run a command in so many processes at once; what they say is counted."""
        print(f"{count} x {command}", flush=True)
        processes = [self.start(command) for _ in range(count)]
        ended = Counter((p.communicate()[0].strip(), p.returncode) for p in processes)
        self.lines.append(f"$ {command}    # {count} processes at once")
        for (said, code), times in sorted(ended.items(), key=lambda item: item[0][1]):
            self.lines.append(f"{times} x, exit code {code}: {said}")
        self.lines.append("")

    def section(self) -> str:
        """What was seen since the last section."""
        text, self.lines = "\n".join(self.lines).strip(), []
        return f"```console\n{text}\n```\n"


def spoil_weights(work: Path) -> None:
    path = work / "runs" / "shared_bottom-gcn-fixed" / "seed-2" / "joint.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")


def change_parquet(work: Path) -> None:
    import polars as pl

    path = work / "data" / "tasks" / "click.parquet"
    pl.read_parquet(path).head(-1).write_parquet(path)


def change_script(work: Path) -> None:
    for path in work.glob("mlartifacts/**/model_from_code.py"):
        path.write_text(path.read_text() + "\nprint('hello')\n")


def delete_artefact(work: Path) -> None:
    for path in work.glob("mlartifacts/**/artifacts/bundle"):
        shutil.rmtree(path)


HARMS: dict[str, Callable[[Path], None]] = {
    "A byte of a weight file is another": spoil_weights,
    "A row of a parquet file is gone": change_parquet,
    "The script that a server runs has a line more": change_script,
    "A stored bundle is deleted": delete_artefact,
}


def page(folder: Path) -> str:
    """The whole page, from an empty folder."""
    terminal, work = Terminal(folder), folder / "work"
    for name, values in (("first.yaml", PARAMS), ("second.yaml", SECOND)):
        (folder / name).write_text(yaml.safe_dump(values))
    parts = [
        "# A registry with three versions\n",
        f"Written by `python -m benchmarks.registry_life` at {commit()}; edit nothing here.\n",
        "## Three versions\n",
    ]
    terminal.run("counterpoint run --params first.yaml", last=4)
    terminal.run("counterpoint run --params second.yaml", last=4)
    terminal.run("counterpoint models list")
    parts += [terminal.section(), "## Promotion, and twenty at once\n"]
    terminal.run("counterpoint models promote 1 --expect-champion none")
    terminal.run("counterpoint models promote 2 --expect-champion 1")
    terminal.at_once("counterpoint models promote 3 --expect-champion 2", MOVERS)
    parts += [terminal.section(), "## Rollback\n"]
    terminal.run('counterpoint models rollback --why "clicks fell"')
    terminal.run("counterpoint models history")
    terminal.run("counterpoint models list")
    parts += [terminal.section(), "## Verify\n"]
    terminal.run("counterpoint models verify")
    terminal.run("counterpoint lineage verify counterpoint --version 3")
    parts.append(terminal.section())
    shutil.copytree(work, folder / "kept")
    for title, harm in HARMS.items():
        harm(work)
        terminal.run("counterpoint lineage verify counterpoint --version 3")
        terminal.run("counterpoint models verify", last=3)
        parts += [f"## {title}\n", terminal.section()]
        shutil.rmtree(work)
        shutil.copytree(folder / "kept", work)
    return "\n".join(parts)


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        text = page(Path(folder))
        text = text.replace(folder, "/home/ann")
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE} is written")


if __name__ == "__main__":
    main()
