"""Versions of the registered model: one for each candidate, found again by its digests."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoint.data.schema import Strict
from counterpoint.errors import UserError
from counterpoint.files import read_json, sha256_of_file, verified_digest
from counterpoint.registry.bundle import Bundle, read_bundle
from counterpoint.registry.records import CandidateRecord
from counterpoint.registry.served import (
    BUNDLE_PATH,
    CARD_PATH,
    log_model,
    loose_digests,
    stored,
)
from counterpoint.registry.tracking import PREFIX, Tracking, as_default, every_page, redacted

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

_FILE = f"{PREFIX}file."  # tags that hold the digests of the stored files without a manifest
CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"


class VersionRecord(Strict):
    """A registered version as a receipt states it."""

    version: int
    model_id: str
    cell: str
    verdict: str
    model_digest: str
    bundle_digest: str
    report_digest: str
    card_digest: str


def register_candidate(
    tracking: Tracking,
    model: str,
    candidate: CandidateRecord,
    run_id: str,
    tags: Mapping[str, str],
) -> VersionRecord:
    """Make the candidate a version of ``model``, or find the version that it already is.

    A version is the same if model and bundle digest are, and what it stores is whole; its verdict,
    reasons, report and card are then brought up to date. *promote* gets the alias ``candidate``,
    others lose it.

    Args:
        tracking: the registry.
        model: name of the registered model.
        candidate: what to register.
        run_id: the run of the candidate's training cell.
        tags: lineage, without prefix, for the version's tags.

    Raises:
        UserError: the bundle is not what its manifest says.
        RuntimeError: the stored model does not give the scores that training computed.
    """
    bundle = read_bundle(candidate.bundle)
    if bundle.contents.model_digest != candidate.model_digest:
        raise UserError(
            f"{candidate.bundle}: made from model {bundle.contents.model_digest[:12]}, "
            f"but the candidate is {candidate.model_digest[:12]}; train or bundle again"
        )
    _ensure_model(tracking, model)
    card_digest = verified_digest(candidate.card)
    said = {
        **tags,
        **stated(candidate, bundle),
        "verdict": candidate.verdict,
        "reasons": json.dumps(list(candidate.reasons), ensure_ascii=False),
        "card_digest": card_digest,
    }
    all_tags = {PREFIX + key: redacted(value) for key, value in said.items()}
    found = _same_version(tracking, model, candidate.model_digest, bundle.digest)
    if found is None:
        logged, files = log_model(tracking, run_id, candidate.cell, candidate.bundle, bundle)
        _store_card(tracking, logged.model_id, candidate.card)
        all_tags |= {_FILE + name: digest for name, digest in files.items()}
        with as_default(tracking):
            found = tracking.client.create_model_version(
                model, logged.model_uri, run_id, all_tags, model_id=logged.model_id
            )
    elif not _has_card(tracking, model, found, card_digest):
        _store_card(tracking, logged_model_id(found), candidate.card)
    for key, value in all_tags.items():
        if found.tags.get(key) != value:
            tracking.client.set_model_version_tag(model, str(found.version), key, value)
    _align_alias(tracking, model, int(found.version), candidate.verdict)
    model_id = logged_model_id(found)
    fields = {key: said[key] for key in VersionRecord.model_fields if key in said}
    return VersionRecord(version=int(found.version), model_id=model_id, **fields)


def stated(candidate: CandidateRecord, bundle: Bundle) -> dict[str, str]:
    """What a version states of a candidate's own, as tags and in the lineage of its card."""
    return {
        **candidate.lineage,
        "cell": candidate.cell,
        "model_digest": candidate.model_digest,
        "bundle_digest": bundle.digest,
        "report_digest": sha256_of_file(candidate.report),
    }


def version_of(tracking: Tracking, model: str, version: int | str) -> "ModelVersion":
    """A version by its number or by an alias.

    Raises:
        UserError: there is none; the line says which there are.
    """
    from mlflow.exceptions import MlflowException

    client = tracking.client
    try:
        if str(version).isdigit():
            return client.get_model_version(model, str(version))
        return client.get_model_version_by_alias(model, str(version))
    except MlflowException:
        there = version_numbers(tracking, model)
        has = f"it has {', '.join(map(str, there))}" if there else "it has none; register first"
        raise UserError(
            f"{tracking.public_uri}: model {model!r} has no version {version}; {has}"
        ) from None


def all_versions(tracking: Tracking, model: str) -> "list[ModelVersion]":
    """Every version of the model."""
    return every_page(tracking.client.search_model_versions, f"name = '{model}'")


def version_numbers(tracking: Tracking, model: str) -> list[int]:
    """The numbers of all versions, in order."""
    return sorted(int(found.version) for found in all_versions(tracking, model))


def aliases(tracking: Tracking, model: str) -> dict[str, int]:
    """Alias → version of the registered model.

    Raises:
        UserError: no such model.
    """
    from mlflow.exceptions import MlflowException

    try:
        found = tracking.client.get_registered_model(model).aliases
    except MlflowException:
        raise UserError(
            f"{tracking.public_uri}: no registered model {model!r}; register a candidate first"
        ) from None
    return {alias: int(version) for alias, version in found.items()}


def load_version(tracking: Tracking, model: str, version: int | str) -> Bundle:
    """The bundle of a version, by number or alias; no code that the store holds is run.

    Raises:
        UserError: no such version, or the stored bundle, or the script and what else MLflow
            stores beside it, is not what was registered.
    """
    from mlflow.exceptions import MlflowException

    found = version_of(tracking, model, version)
    name = f"{tracking.public_uri}: the stored bundle of {model} version {found.version}"
    try:
        with stored(tracking, logged_model_id(found)) as folder:
            if not (folder / BUNDLE_PATH).is_dir():
                raise FileNotFoundError(f"no {BUNDLE_PATH}")
            bundle, files = read_bundle(folder / BUNDLE_PATH), loose_digests(folder)
    except (MlflowException, OSError) as fault:
        reason = redacted(" ".join(str(fault).split()))[:200]
        raise UserError(f"{name} is lost ({reason}); run the register stage again") from None
    if bundle.digest != found.tags.get(f"{PREFIX}bundle_digest"):
        raise UserError(
            f"{name} is not the one that was registered; register it again, and find out who "
            "changed it"
        )
    if changed := _changed_files(found, files):
        raise UserError(
            f"{tracking.public_uri}: stored files of {model} version {found.version} are not those "
            f"that were registered: {', '.join(changed)}; register it again, and find out who "
            "changed them"
        )
    return bundle


@contextmanager
def stored_card(tracking: Tracking, model: str, version: int | str) -> Iterator[Path]:
    """The folder of a version's model card, for the block's duration.

    Raises:
        UserError: no such version, or its card is lost or not the one that was registered.
    """
    from mlflow.exceptions import MlflowException

    found = version_of(tracking, model, version)
    name = f"{tracking.public_uri}: the card of {model} version {found.version}"
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(stored(tracking, logged_model_id(found), CARD_PATH))
        except (MlflowException, OSError):
            raise UserError(f"{name} is lost; run the register stage again") from None
        if verified_digest(folder) != found.tags.get(f"{PREFIX}card_digest"):
            raise UserError(f"{name} is not the one that was registered; register it again")
        yield folder


def card_verdict(tracking: Tracking, model: str, version: int | str) -> str:
    """The gate's verdict as the stored card states it; whoever may write tags can change the tag.

    Raises:
        UserError: as :func:`stored_card`.
    """
    with stored_card(tracking, model, version) as folder:
        return str(read_json(folder / "card.json")["verdict"]["decision"])


def logged_model_id(version: "ModelVersion") -> str:
    """The logged model behind a version; a listing leaves ``model_id`` out, the source never."""
    return str(version.source).removeprefix("models:/")


def _changed_files(version: "ModelVersion", files: Mapping[str, str]) -> list[str]:
    """Names of the stored files that are not as the version's tags state them, or not there."""
    tags = version.tags.items()
    stated = {key.removeprefix(_FILE): tag for key, tag in tags if key.startswith(_FILE)}
    return [name for name in sorted({*stated, *files}) if stated.get(name) != files.get(name)]


def _store_card(tracking: Tracking, model_id: str, card: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(card, Path(scratch) / CARD_PATH)
        tracking.client.log_model_artifacts(model_id, scratch)


def _ensure_model(tracking: Tracking, model: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        tracking.client.create_registered_model(model)
    except MlflowException as fault:
        if fault.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _same_version(
    tracking: Tracking, model: str, model_digest: str, bundle_digest: str
) -> "ModelVersion | None":
    wanted = {"model_digest": model_digest, "bundle_digest": bundle_digest}
    clauses = [f"tags.`{PREFIX}{key}` = '{value}'" for key, value in wanted.items()]
    found = tracking.client.search_model_versions(" and ".join([f"name = '{model}'", *clauses]))
    in_order = sorted(found, key=lambda version: int(version.version))
    return next((version for version in in_order if _is_whole(tracking, model, version)), None)


def _is_whole(tracking: Tracking, model: str, version: "ModelVersion") -> bool:
    try:
        load_version(tracking, model, version.version)
    except UserError:
        return False
    return True


def _has_card(tracking: Tracking, model: str, version: "ModelVersion", digest: str) -> bool:
    try:
        with stored_card(tracking, model, version.version):
            return bool(version.tags[f"{PREFIX}card_digest"] == digest)
    except UserError:
        return False


def _align_alias(tracking: Tracking, model: str, version: int, verdict: str) -> None:
    standing = aliases(tracking, model)
    deserves = verdict == "promote" and standing.get(CHAMPION) != version
    if deserves:
        tracking.client.set_registered_model_alias(model, CANDIDATE, str(version))
    elif standing.get(CANDIDATE) == version:
        tracking.client.delete_registered_model_alias(model, CANDIDATE)
