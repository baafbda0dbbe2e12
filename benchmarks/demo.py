"""The demo from a fresh clone: how long it takes, and what it says.

python -m benchmarks.demo --json benchmarks/results/demo.json
"""

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.results import verdict_summary
from counterpoint.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[1]


def seconds(*command: str, cwd: Path) -> float:
    """Wall time of a command that must succeed."""
    environment = {**os.environ, "PATH": f"{cwd / '.venv' / 'bin'}:{os.environ['PATH']}"}
    started = time.perf_counter()
    subprocess.run(command, cwd=cwd, env=environment, check=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "counterpoint"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        times = {
            "install": seconds("make", "install", cwd=clone),
            "demo": seconds("make", "demo", cwd=clone),
            "again": seconds("dvc", "repro", "--quiet", cwd=clone),
        }
        report = read_json(clone / "work" / "evaluation" / "report.json")
    verdicts = [verdict_summary(found) for found in report["candidates"]]
    print(times)
    if arguments.json:
        write_json(arguments.json, {"seconds": times, "verdicts": verdicts})


if __name__ == "__main__":
    main()
