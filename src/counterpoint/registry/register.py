"""The register stage: runs, versions, receipt."""

from pathlib import Path

from counterpoint.registry.receipt import Receipt, RunRecord, write_receipt
from counterpoint.registry.records import PipelineRecord, RegistrySettings
from counterpoint.registry.runs import ended, log_cell, log_verdict, pipeline_run
from counterpoint.registry.tracking import connect, experiment_id
from counterpoint.registry.versions import register_candidate


def register(record: PipelineRecord, settings: RegistrySettings, target: Path) -> Receipt:
    """Bring a pipeline run into MLflow and write its receipt to the file ``target``.

    What is there already is found again by its digest, so that a second call changes nothing
    and a call after a failure goes on where that one stopped.

    Raises:
        UserError: the tracking server does not answer, or an artefact is not what its manifest
            says.
    """
    tracking = connect(settings.work, settings.tracking_uri)
    experiment = experiment_id(tracking, settings.experiment)
    run_id = pipeline_run(tracking, experiment, record)
    with ended(tracking, run_id):
        cells = {
            cell.name: log_cell(tracking, experiment, run_id, record, cell) for cell in record.cells
        }
        seeds = {cell.name: " ".join(map(str, cell.metrics)) for cell in record.cells}
        versions = []
        for candidate in record.candidates:
            log_verdict(tracking, run_id, candidate)
            tags = {
                **record.lineage,
                "run_digest": record.digest,
                "seeds": seeds[candidate.cell],
            }
            run = cells[candidate.cell]
            versions.append(register_candidate(tracking, settings.model, candidate, run, tags))
    receipt = Receipt(
        tracking_uri=tracking.public_uri,
        experiment=settings.experiment,
        model=settings.model,
        run=RunRecord(run_id=run_id, digest=record.digest),
        cells={
            cell.name: RunRecord(run_id=cells[cell.name], digest=cell.digest)
            for cell in record.cells
        },
        versions=tuple(versions),
    )
    write_receipt(target, receipt)
    return receipt
