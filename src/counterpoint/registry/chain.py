"""The chain behind a version: data → graph → code → configuration → run → metrics → version.

Every link is a digest that the version states as a tag. Verifying rehashes what can be reached:
what the registry stores always, the artefact folders where the work folder has them. That the
tags of the lineage are what the stored card says is part of the last link.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from counterpoint.errors import UserError
from counterpoint.files import MANIFEST, read_json, sha256_of_file, verified_digest
from counterpoint.registry.lineage import commit_is_known
from counterpoint.registry.moves import read_log
from counterpoint.registry.promotion import resolved
from counterpoint.registry.receipt import read_receipt
from counterpoint.registry.runs import DIGEST, changed_files
from counterpoint.registry.tracking import PREFIX, Tracking
from counterpoint.registry.verification import version_faults

DIRTY = "git, with changes that no commit holds"
_NOT_ALWAYS = ("validation", "code", "trunk")  # where they were, the card says so
State = Literal["stated", "whole", "not here", "broken"]
# "gone" is broken or not here, which depends on whose work folder it is
Finding = tuple[State | Literal["gone"], str | None]


@dataclass(frozen=True)
class Link:
    """One link: what the version states, where it is looked for, and what was found there."""

    name: str
    stated: str
    place: str
    state: State = "stated"
    fault: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The link as plain values."""
        return asdict(self)


def shown_chain(
    tracking: Tracking, model: str, version: int | str, work: Path
) -> tuple[int, list[Link]]:
    """The version's number and its links in order, none of them verified."""
    found = resolved(tracking, read_log(tracking, model), version)
    tags = {key.removeprefix(PREFIX): value for key, value in found.tags.items()}
    return int(found.version), _links(tags, str(found.run_id), model, int(found.version), work)


def verified_chain(
    tracking: Tracking, model: str, version: int | str, work: Path, checkout: Path
) -> tuple[int, list[Link]]:
    """The same, each link with what was found.

    A folder that is not the version's any more, since a later run replaced it, is "not here";
    where the work folder's receipt names the version, it is broken.
    """
    number, links = shown_chain(tracking, model, version, work)
    ours = _is_of_receipt(work, model, number)
    checks: dict[str, Callable[[Link], Finding]] = {
        "code": partial(_commit, checkout),
        "run in MLflow": partial(_mlflow_run, tracking),
        "version": partial(_stored, tracking, model, number),
    }
    return number, [_verified(link, checks.get(link.name, _on_disk), ours) for link in links]


def first_broken(links: list[Link]) -> Link | None:
    """The first link that is broken, in the order from data to version."""
    return next((link for link in links if link.state == "broken"), None)


def _links(
    tags: Mapping[str, str], run_id: str, model: str, version: int, work: Path
) -> list[Link]:
    cell = tags.get("cell", "")
    run, seed = work / "runs" / cell, f"seed-{tags.get('seed')}"
    encoder = "".join(cell.split("-")[1:2])
    code = DIRTY if tags.get("git_dirty") == "true" else "git"
    stated = [
        ("data", tags.get("data_digest"), work / "data"),
        ("validation", tags.get("validation_digest"), work / "validation"),
        ("graph", tags.get("graph_digest"), work / "graph"),
        ("code", tags.get("git_commit"), code),
        ("trunk", tags.get("trunk_digest"), work / "pretrained" / encoder / f"{seed}.safetensors"),
        ("configuration", tags.get("config_digest"), run / "config.json"),
        ("run", tags.get(f"run.{cell}"), run),
        ("weights", tags.get("model_digest"), run / seed / "joint.safetensors"),
        ("run in MLflow", tags.get(f"run.{cell}"), run_id),
        ("metrics", tags.get("evaluation_digest"), work / "evaluation"),
        ("report", tags.get("report_digest"), work / "evaluation" / "report.html"),
        ("version", tags.get("bundle_digest"), f"models:/{model}/{version}"),
    ]
    return [
        Link(name, digest or "", str(place))
        for name, digest, place in stated
        if digest or name not in _NOT_ALWAYS
    ]


def _is_of_receipt(work: Path, model: str, version: int) -> bool:
    path = work / "registration" / "receipt.json"
    if not path.is_file():
        return False
    receipt = read_receipt(path)
    return receipt.model == model and version in {stated.version for stated in receipt.versions}


def _verified(link: Link, check: Callable[[Link], Finding], ours: bool) -> Link:
    if not link.stated:
        return replace(
            link, state="broken", fault=f"no tag of {link.name}; find out who removed it"
        )
    state, fault = check(link)
    if state == "gone":
        state = "broken" if ours else "not here"
    return replace(link, state=state, fault=fault)


def _on_disk(link: Link) -> Finding:
    """Rehash an artefact folder, or one file of it."""
    place = Path(link.place)
    if not place.exists():
        return "gone", f"{place}: not there"
    try:
        found = verified_digest(place) if place.is_dir() else sha256_of_file(place)
    except UserError as fault:
        return "broken", fault.faults[0]
    if found == link.stated:
        return "whole", None
    if place.is_file() and not _is_of_manifest(place, found):
        return "broken", f"{place}: its SHA-256 is not the manifest's; make it again"
    return "gone", f"{place}: is {found[:12]}, not {link.stated[:12]}"


def _is_of_manifest(file: Path, digest: str) -> bool:
    """Whether the nearest manifest above the file states this digest."""
    for folder in file.parents:
        if (folder / MANIFEST).is_file():
            files = read_json(folder / MANIFEST)["files"]
            return bool(files.get(file.relative_to(folder).as_posix()) == digest)
    return False


def _commit(checkout: Path, link: Link) -> Finding:
    if link.place == DIRTY:
        return "not here", DIRTY
    if commit_is_known(checkout, link.stated):
        return "whole", None
    return "not here", f"{checkout}: no repository that has this commit"


def _mlflow_run(tracking: Tracking, link: Link) -> Finding:
    from mlflow.exceptions import MlflowException

    try:
        run = tracking.client.get_run(link.place)
    except MlflowException:
        return "broken", f"run {link.place} is not in MLflow; register again"
    stage, digest = run.info.lifecycle_stage, run.data.tags.get(DIGEST)
    if stage != "active" or digest != link.stated:
        return "broken", f"run {link.place} is {stage}, its digest {digest}"
    if changed := changed_files(tracking, link.place, link.stated):
        return "broken", f"run {link.place}: {', '.join(changed)} lost or changed; find out by whom"
    return "whole", None


def _stored(tracking: Tracking, model: str, version: int, _: Link) -> Finding:
    faults = version_faults(tracking, model, version)
    return ("broken", faults[0]) if faults else ("whole", None)
