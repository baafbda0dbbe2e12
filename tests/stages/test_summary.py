from pathlib import Path

import pytest

from counterpoint.registry.receipt import Receipt, RunRecord, write_receipt
from counterpoint.registry.versions import VersionRecord
from counterpoint.stages.summary import next_line


def write(work: Path, *verdicts: str) -> None:
    """A registration of versions 1, 2, … with these verdicts."""
    digests = {f"{name}_digest": name for name in ("model", "bundle", "report", "card")}
    versions = tuple(
        VersionRecord(version=number, model_id="m", cell="mmoe", verdict=verdict, **digests)
        for number, verdict in enumerate(verdicts, start=1)
    )
    receipt = Receipt(
        tracking_uri="sqlite:///mlflow.db",
        experiment="shop",
        model="shop",
        run=RunRecord(run_id="r", digest="d"),
        cells={},
        versions=versions,
    )
    (work / "registration").mkdir()
    write_receipt(work / "registration" / "receipt.json", receipt)


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (("promote", "reject", "promote", "hold"), "models promote 3 --expect-champion none"),
        (("hold", "reject"), "nothing may be promoted"),
    ],
)
def test_the_next_step_is_to_promote_the_candidate(
    tmp_path: Path, verdicts: tuple[str, ...], said: str
) -> None:
    write(tmp_path, *verdicts)
    assert said in next_line(tmp_path).splitlines()[-1]
