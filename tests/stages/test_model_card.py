"""The commands of a card; the rest of it is seen in tests/end_to_end/test_registry_life.py."""

import pytest

from counterpoint.stages.model_card import _reproduce

DATA = {"data_digest": "d" * 64, "counterpoint": "0.1.0"}
COMMIT, LOCK = {"git_commit": "abc"}, {"dvc_lock_digest": "l" * 64}
SHORT = "d" * 12
OF = f"# Counterpoint 0.1.0, data {SHORT}"
DVC = f"dvc repro  {OF}"
RUN = f"counterpoint run --params card_params.yaml  {OF}; the file is the card's"


@pytest.mark.parametrize(
    ("lineage", "line"),
    [
        (COMMIT | LOCK, f"git checkout abc; make install; . .venv/bin/activate; {DVC}"),
        (COMMIT, f"git checkout abc; make install; . .venv/bin/activate; {RUN}"),
        (LOCK, DVC),
        ({}, RUN),
    ],
)
def test_what_reproduces_a_run_is_a_command(lineage: dict[str, str], line: str) -> None:
    assert _reproduce(DATA | lineage) == line
