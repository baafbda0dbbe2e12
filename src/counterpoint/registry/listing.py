"""Versions as people and scripts read them: plain values, JSON as they are."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from counterpoint.registry.moves import Log, read_log
from counterpoint.registry.promotion import resolved
from counterpoint.registry.tracking import PREFIX, Tracking
from counterpoint.registry.versions import CHAMPION, PREVIOUS, aliases, all_versions

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def listed(tracking: Tracking, model: str) -> list[dict[str, Any]]:
    """A row for each version, the newest first.

    Raises:
        UserError: no such model.
    """
    standing, log = aliases(tracking, model), read_log(tracking, model)
    versions = sorted(all_versions(tracking, model), key=lambda found: -int(found.version))
    return [_row(found, standing, log) for found in versions]


def shown(tracking: Tracking, model: str, version: int | str) -> dict[str, Any]:
    """All that the registry says of one version: its row, lineage, metrics, and its moves.

    Raises:
        UserError: no such model or version.
    """
    standing, log = aliases(tracking, model), read_log(tracking, model)
    found = resolved(tracking, log, version)
    number = int(found.version)
    metrics = tracking.client.get_run(found.run_id).data.metrics
    tags = {key.removeprefix(PREFIX): value for key, value in sorted(found.tags.items())}
    moves = [move for move in log.moves if number in (move.version, move.before)]
    return {
        **_row(found, standing, log),
        "run_id": found.run_id,
        "tags": tags,
        "metrics": {name: value for name, value in sorted(metrics.items()) if "/test/" in name},
        "moves": [move.model_dump(mode="json") for move in moves],
    }


def _row(found: "ModelVersion", standing: dict[str, int], log: Log) -> dict[str, Any]:
    number = int(found.version)
    # of champion and previous the log is the truth, of other aliases MLflow
    held = {**standing, CHAMPION: log.champion, PREVIOUS: log.previous}
    registered = datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)
    return {
        "version": number,
        "verdict": found.tags.get(f"{PREFIX}verdict"),
        "cell": found.tags.get(f"{PREFIX}cell"),
        "aliases": sorted(name for name, version in held.items() if version == number),
        "rolled_back": log.rolled_back.get(number),
        "registered": registered.isoformat(timespec="seconds"),
    }
