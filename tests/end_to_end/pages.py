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


def script(page: Path, not_here: Mapping[str, str]) -> str:
    """Bash that does what a reader of the page does, but for the blocks that cannot run here."""
    return "\n".join(
        _typed(block.text) if block.language == SHELL else _written(block)
        for block in blocks(page)
        if block.text not in not_here
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
    return f"mkdir -p '{Path(name).parent}'\ncat >'{name}' <<'END OF FILE'\n{block.text}\nEND OF FILE"


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
