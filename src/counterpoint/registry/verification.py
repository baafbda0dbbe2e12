"""Whether a registered model is what it was: its log, its aliases, every stored version."""

from counterpoint.errors import UserError
from counterpoint.files import read_json
from counterpoint.registry.moves import read_log
from counterpoint.registry.promotion import alias_differences
from counterpoint.registry.scores import example_faults
from counterpoint.registry.tracking import PREFIX, Tracking, redacted
from counterpoint.registry.versions import (
    aliases,
    load_version,
    stored_card,
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
    """A line for each stored file of a version that is lost, changed or does not score.

    And for each tag that is not what the stored card says: whoever may write tags can change them.
    """
    faults: list[str] = []
    try:
        bundle = load_version(tracking, model, version)
        faults += [f"{model} version {version}: {fault}" for fault in example_faults(bundle)]
    except UserError as fault:
        faults += fault.faults
    try:
        with stored_card(tracking, model, version) as folder:
            card = read_json(folder / "card.json")
        tags = version_of(tracking, model, version).tags
        said = {"verdict": card["verdict"]["decision"], **card["lineage"]}
        faults += [
            f"{model} version {version}: tagged {tags.get(PREFIX + key)}, but its card says "
            f"{redacted(value)}; find out who changed the tag {key}"
            for key, value in said.items()
            if tags.get(PREFIX + key) != redacted(value)
        ]
    except UserError as fault:
        faults += fault.faults
    return faults
