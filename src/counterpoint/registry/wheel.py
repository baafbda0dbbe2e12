"""The product's own wheel, so that a served model carries the code that can score it."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import counterpoint
from counterpoint.errors import UserError

_SOURCES = ("pyproject.toml", "README.md", "LICENSE", "src")


def build_wheel(folder: Path) -> Path:
    """Build the wheel of the running Counterpoint into ``folder``, without a network.

    Raises:
        UserError: Counterpoint runs from an installation, so there is nothing to build from.
    """
    checkout = Path(counterpoint.__file__).resolve().parents[2]
    if not (checkout / "pyproject.toml").is_file():
        raise UserError(
            f"{checkout}: no source checkout, so no wheel can be built; "
            "give the wheel that Counterpoint was installed from"
        )
    with tempfile.TemporaryDirectory() as scratch:
        sources = Path(scratch) / "sources"  # a copy: setuptools leaves its build/ beside them
        for name in _SOURCES:
            if (checkout / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(checkout / name, sources / name, ignore=ignored)
            else:
                sources.mkdir(exist_ok=True)
                shutil.copy(checkout / name, sources)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
        command += ["--no-build-isolation", "--wheel-dir", scratch, str(sources)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"pip wheel failed: {done.stderr.strip()[-500:]}")
        (built,) = Path(scratch).glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(built, folder / built.name))
