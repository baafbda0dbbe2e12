"""Pages of the documentation as scripts: the files to write and the commands to type, in order."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.conftest import BIN, ROOT

SHELL = "sh"
# the last words before a block that is a file: its name in backticks and a colon
NAMED = re.compile(r"`([^`]+)`:$")
# a command that is to end otherwise than with 0 says so
EXPECTED = re.compile(r"(?P<command>\S.*\S)\s+# exit code (?P<code>\d+)")

# blocks that cannot run here, by their text, and why
NOT_HERE = {
    """\
make demo     # installs into .venv, then runs the whole job on a planted marketplace by `dvc repro`
make test     # lint, types, tests, end-to-end runs; CI also runs `make lint-files` and `make test-containers`""": (  # noqa: E501
        "they install; CI calls `make test`, and test_main_job `dvc repro`, which `make demo` calls"
    ),
    "counterpoint pipeline run --local --docker --params small.yaml --root kfp": (
        "a Docker engine with the images; test_containers runs the like"
    ),
    """\
kubectl apply -f pipelines/namespace.yaml
kubectl create secret generic counterpoint-mlflow --from-literal=username=… --from-literal=password=…
kubectl create secret generic counterpoint-storage --from-literal=access_key_id=… --from-literal=secret_access_key=…""": (  # noqa: E501
        "a cluster; `make lint-files` checks the manifest"
    ),
    """\
sed "s|counterpoint-train@sha256:0*|$COUNTERPOINT_TRAIN_IMAGE|" pipelines/train_job.yaml | kubectl create -f -""": (  # noqa: E501
        "a cluster with Kubeflow Trainer; tests hold the manifest"
    ),
    """\
docker build -f components/images/Containerfile --target data  -t counterpoint-data:0.1.0 .
docker build -f components/images/Containerfile --target train -t counterpoint-train:0.1.0 .
make test-containers    # builds both and runs the tiny pipeline in them""": (
        "a Docker engine; CI calls `make test-containers`"
    ),
}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line above it that says something."""

    language: str
    text: str
    above: str


def markdown_files() -> list[Path]:
    """What people read."""
    folders = [(ROOT / name).rglob("*.md") for name in ("docs", "components")]
    return sorted([*ROOT.glob("*.md"), *(path for found in folders for path in found)])


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    above, language, lines = "", "", None
    for line in page.read_text(encoding="utf-8").splitlines():
        if lines is not None and line == "```":
            yield Block(language, "\n".join(lines), above)
            lines = None
        elif lines is not None:
            lines.append(line)
        elif line.startswith("```"):
            language, lines = line.removeprefix("```"), []
        elif line:
            above = line
    assert lines is None, f"{page}: a block without an end"


def script(page: str) -> str:
    """Bash that does what a reader of the page does, but for the blocks that cannot run here."""
    return "\n".join(
        _typed(block.text) if block.language == SHELL else _written(block)
        for block in blocks(ROOT / page)
        if block.language and block.text not in NOT_HERE
    )


def _typed(text: str) -> str:
    return "\n".join(
        f"code=0; {found['command']} || code=$?; test $code = {found['code']}"
        if (found := EXPECTED.fullmatch(line))
        else line
        for line in text.splitlines()
    )


def _written(block: Block) -> str:
    named = NAMED.search(block.above)
    assert named, f"which file is it? {block.above!r} does not end with `NAME`:\n{block.text}"
    name = named[1]
    return (
        f"mkdir -p '{Path(name).parent}'\ncat >'{name}' <<'END OF FILE'\n{block.text}\nEND OF FILE"
    )


def follow(
    commands: str, folder: Path, typed: str = "", environment: Mapping[str, str] | None = None
) -> str:
    """Run a script in a folder; what was written on the terminal.

    Args:
        commands: of :func:`script`.
        folder: where the reader stands; code that is there is what runs.
        typed: what the reader answers.
        environment: variables beside this process's.
    """
    values = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{folder / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "DVC_NO_ANALYTICS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
        **{f"GIT_{who}_NAME": "Ann" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "ann@example.org" for who in ("AUTHOR", "COMMITTER")},
        **(environment or {}),
    }
    values.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", commands],
        cwd=folder,
        env=values,
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-5000:]}"
    assert "Traceback" not in done.stdout, done.stdout[-5000:]
    return done.stdout
