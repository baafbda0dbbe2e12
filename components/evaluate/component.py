"""Judge the candidates of the grid."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from components import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def evaluate(
    data: Input[Artifact],
    validation: Input[Artifact],
    graph: Input[Artifact],
    runs: Input[list[Artifact]],
    data_digest: str,
    validation_digest: str,
    graph_digest: str,
    run_digests: list,
    grid: list,
    seeds: list,
    evaluate: dict,
    code: str,
    evaluation_out: Output[Artifact],
) -> NamedTuple("Evaluated", [("Output", str), ("decision", str)]):
    """Write report.json, report.html and metrics.json; returns their digest, and what the gate
    decided of the candidate that was chosen on validation."""
    from counterpoint.stages.chosen import decision
    from counterpoint.stages.component import run_component

    digest = run_component(
        "evaluate",
        code=code,
        inputs={"data": data.path, "validation": validation.path, "graph": graph.path},
        digests={"data": data_digest, "validation": validation_digest, "graph": graph_digest},
        runs=[run.path for run in runs],
        output=evaluation_out.path,
        sections={"grid": grid, "seeds": seeds, "evaluate": evaluate},
    )
    return digest, decision(evaluation_out.path)
