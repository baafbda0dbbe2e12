"""Monitor: today's data and graph against what a version was registered with."""

from pathlib import Path

from pydantic import ValidationError

from counterpoint.data.distributions import feature_values
from counterpoint.data.folder import open_folder
from counterpoint.data.schema import one_line_faults
from counterpoint.errors import UserError
from counterpoint.evaluation.drift import (
    Drift,
    DriftSettings,
    Reference,
    fact_changes,
    page,
    shift,
)
from counterpoint.files import new_folder, read_json, write_json, write_manifest, write_text
from counterpoint.graph.store import open_store
from counterpoint.registry.moves import read_log
from counterpoint.registry.promotion import resolved
from counterpoint.registry.runs import stored_report
from counterpoint.registry.tracking import PREFIX, Tracking
from counterpoint.registry.versions import load_version, stored_card
from counterpoint.stages.reference import REFERENCE, graph_facts, predictions

DRIFT_JSON, DRIFT_PAGE, REPORT_PAGE = "drift.json", "drift.html", "report.html"


def monitor(
    tracking: Tracking,
    model: str,
    version: int | str,
    data: Path,
    graph: Path,
    target: Path,
    settings: DriftSettings,
) -> Drift:
    """Compare a data-set folder and the graph store made from it with a version's reference.

    Predictions are the version's on the graph's test rows; a node that it does not know counts as
    the average one of its type. Writes drift.json and drift.html into the folder ``target``, and
    beside them the version's report, which the page links.

    Raises:
        UserError: no such version or folder, something stored is not what it was, or ``target``
            is a folder of something else.
    """
    if target.exists() and not (target / DRIFT_JSON).is_file():
        raise UserError(f"{target}: there already, and no folder of a comparison; name another")
    found = resolved(tracking, read_log(tracking, model), version)
    number = int(found.version)
    bundle, reference = load_version(tracking, model, number), _reference(tracking, model, number)
    folder, store = open_folder(data), open_store(graph)
    features = dict(feature_values(folder))
    judged = [found.tags.get(f"{PREFIX}{key}", "") for key in ("cell", "report_digest")]
    report = stored_report(tracking, str(found.run_id), *judged)
    tasks = [name for name in store.meta.tasks if name in reference.predictions]
    drift = Drift(
        model=model,
        version=number,
        thresholds=settings,
        features=[
            shift(name, was, features[name], settings)
            for name, was in reference.features.items()
            if name in features
        ],
        facts=fact_changes(reference.facts, graph_facts(store), settings),
        predictions=[
            shift(name, reference.predictions[name], predictions(bundle, store, name), settings)
            for name in tasks
        ],
        notes=[
            *_differences("feature", set(reference.features), set(features)),
            *_differences("task", set(reference.predictions), set(store.meta.tasks)),
        ],
        report=None if report is None else REPORT_PAGE,
    )
    with new_folder(target) as scratch:
        written = {**drift.model_dump(mode="json"), "drifted": drift.drifted}
        write_json(scratch / DRIFT_JSON, written)
        write_text(scratch / DRIFT_PAGE, page(drift))
        if report is not None:
            write_text(scratch / REPORT_PAGE, report)
        write_manifest(scratch)
    return drift


def _reference(tracking: Tracking, model: str, version: int) -> Reference:
    with stored_card(tracking, model, version) as folder:
        path = folder / REFERENCE
        try:
            return Reference.model_validate(read_json(path))
        except ValidationError as fault:
            raise UserError(*one_line_faults(path, fault)) from None


def _differences(what: str, then: set[str], today: set[str]) -> list[str]:
    gone = [f"{what} {name} was there then and is not today" for name in sorted(then - today)]
    return gone + [f"{what} {name} is new" for name in sorted(today - then)]
