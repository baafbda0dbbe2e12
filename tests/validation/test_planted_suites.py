"""The suites of the planted market are checked in, so that a change of what is asked is seen.

Write them again with ``python tests/validation/test_planted_suites.py``.
"""

import shutil
import tempfile
from pathlib import Path

import pytest

from counterpoint.data.folder import open_folder
from counterpoint.validation import run

CHECKED_IN = Path(run.__file__).parent / "suites" / "planted"


def planted_suites(place: Path) -> Path:
    """Validate a small planted market in ``place``; the folder of its suites.

    The suites depend on its schema alone, not on its size.
    """
    from counterpoint.data.planted import generate
    from counterpoint.data.planted.market.config import MarketConfig

    (place / "data").mkdir()
    config = MarketConfig(users=400, items=400, shops=10, brands=10, interactions=5000)
    generate(config, place / "data")
    result = run.validate(open_folder(place / "data"), place / "out")
    assert result.passed, result.failures()
    return place / "out" / "suites"


def _texts(folder: Path) -> dict[str, str]:
    paths = folder.rglob("*.json")
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


def test_the_suites_checked_in_are_those_of_the_planted_market(tmp_path):
    pytest.importorskip("counterpoint.data.planted.generate", reason="not written yet")
    assert _texts(CHECKED_IN) == _texts(planted_suites(tmp_path))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        found = planted_suites(Path(place))
        shutil.rmtree(CHECKED_IN, ignore_errors=True)
        shutil.copytree(found, CHECKED_IN)
