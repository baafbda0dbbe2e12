"""Register: runs and versions into MLflow, and a receipt."""

from pathlib import Path

from counterpoint.evaluation.card import write_card
from counterpoint.evaluation.gate import Verdict
from counterpoint.evaluation.report import Report
from counterpoint.files import (
    read_json,
    sha256_of_file,
    verified_digest,
    write_manifest,
    write_text,
)
from counterpoint.graph.store import GraphStore, open_store
from counterpoint.registry.bundle import read_bundle
from counterpoint.registry.lineage import collect
from counterpoint.registry.records import (
    CandidateRecord,
    CellRecord,
    PipelineRecord,
    RegistrySettings,
)
from counterpoint.registry.register import register as registered
from counterpoint.registry.versions import stated
from counterpoint.stages.judgement import open_runs
from counterpoint.stages.model_card import CARD_PARAMS, model_card
from counterpoint.stages.params_file import params_text
from counterpoint.stages.reference import write_reference
from counterpoint.stages.serving import model_digest, write_served
from counterpoint.stages.table import StageCall
from counterpoint.training.cell import Run

Lineage = dict[str, str]
RECEIPT = "receipt.json"
UPSTREAM = ("ingest", "validate", "build_graph", "train", "evaluate")


def _cell_record(run: Run) -> CellRecord:
    metrics = {int(seed): found for seed, found in run.metrics["seeds"].items()}
    return CellRecord(run.cell.name, run.digest, run.config, metrics, run.path)


def _candidate(
    call: StageCall, store: GraphStore, run: Run, verdict: Verdict, report: Report, lineage: Lineage
) -> CandidateRecord:
    seed = verdict.ships.seed if verdict.ships is not None else run.seeds[0]
    bundle = call.output / "bundles" / run.cell.name
    bundle.parent.mkdir(exist_ok=True)
    write_served(store, run, seed, bundle)
    own = {"seed": str(seed), "config_digest": sha256_of_file(run.path / "config.json")}
    if trunk := run.config.get("trunks", {}).get(str(seed)):
        own["trunk_digest"] = trunk
    candidate = CandidateRecord(
        cell=run.cell.name,
        bundle=bundle,
        model_digest=model_digest(run, seed),
        verdict=verdict.decision,
        reasons=verdict.reasons,
        report=call.inputs["evaluation"] / "report.html",
        card=call.output / "cards" / run.cell.name,
        lineage=own,
    )
    served = read_bundle(bundle)
    whole = {**lineage, **stated(candidate, served)}  # verifying holds the tags against the card
    candidate.card.mkdir(parents=True)
    write_card(candidate.card, model_card(store, run, seed, verdict, report, whole))
    write_reference(candidate.card, store, served, call.inputs["evaluation"])
    write_text(candidate.card / CARD_PARAMS, params_text(call.params))
    write_manifest(candidate.card)
    return candidate


def register(call: StageCall) -> None:
    """Write bundles of the judged candidates, register them, leave a receipt."""
    verified_digest(call.inputs["evaluation"])
    store = open_store(call.inputs["graph"])
    runs = open_runs(call.inputs["runs"], call.params.grid, store.digest)
    report = Report.model_validate(read_json(call.inputs["evaluation"] / "report.json"))
    inputs = {name: path for name, path in call.inputs.items() if name != "runs"}
    lineage = {**collect(Path.cwd(), inputs, UPSTREAM), **report.lineage}
    call.report("bundles")
    # of several that may be promoted the last one keeps the alias candidate
    candidates = [
        _candidate(call, store, runs[verdict.candidate], verdict, report, lineage)
        for verdict in report.chosen_last
    ]
    record = PipelineRecord(
        data=store.meta.name,
        params=report.parameters,
        lineage=lineage,
        cells=[_cell_record(run) for run in runs.values()],
        candidates=candidates,
    )
    settings = RegistrySettings(
        work=call.work or call.output,
        tracking_uri=call.params.register_.tracking_uri,
        experiment=call.params.register_.experiment,
        model=call.params.register_.model,
    )
    call.report("mlflow")
    registered(record, settings, call.output / RECEIPT)
    write_manifest(call.output)
