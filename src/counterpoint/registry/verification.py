"""Whether a registered model is what it was: its log, its aliases, every stored version."""

from counterpoint.errors import UserError
from counterpoint.registry.moves import read_log
from counterpoint.registry.promotion import alias_differences
from counterpoint.registry.scores import example_faults
from counterpoint.registry.tracking import PREFIX, Tracking
from counterpoint.registry.versions import (
    aliases,
    card_verdict,
    load_version,
    version_numbers,
    version_of,
)


def model_faults(tracking: Tracking, model: str) -> list[str]:
    """A line for everything that is not as it was registered or moved.

    Every stored bundle and card is fetched and rehashed, and every bundle scores its examples.

    Raises:
        UserError: no such model.
    """
    standing, log = aliases(tracking, model), read_log(tracking, model)
    versions, faults = version_numbers(tracking, model), log.faults()
    for alias, due in alias_differences(log, standing, versions).items():
        faults.append(
            f"{model}: alias {alias} is {standing.get(alias, 'none')}, the log says "
            f"{'none' if due is None else due}; `counterpoint models repair` puts it right"
        )
    for version in versions:
        faults += version_faults(tracking, model, version)
    faults += [
        f"{model}: move {move.number} names version {move.version}, which is gone"
        for move in log.moves
        if move.version not in versions
    ]
    return faults


def version_faults(tracking: Tracking, model: str, version: int) -> list[str]:
    """A line for each stored file of a version that is lost, changed or does not score."""
    faults: list[str] = []
    try:
        bundle = load_version(tracking, model, version)
        faults += [f"{model} version {version}: {fault}" for fault in example_faults(bundle)]
    except UserError as fault:
        faults += fault.faults
    try:
        card = card_verdict(tracking, model, version)
        stated = version_of(tracking, model, version).tags.get(f"{PREFIX}verdict")
        if stated != card:
            faults.append(
                f"{model} version {version}: tagged {stated}, but its card says {card}; "
                "find out who changed the tag"
            )
    except UserError as fault:
        faults += fault.faults
    return faults
