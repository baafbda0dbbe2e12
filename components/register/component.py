"""Register the judged candidates in MLflow."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from components import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def register(
    graph: Input[Artifact],
    runs: Input[list[Artifact]],
    evaluation: Input[Artifact],
    graph_digest: str,
    run_digests: list,
    evaluation_digest: str,
    data: dict,
    build: dict,
    grid: list,
    seeds: list,
    pretrain: dict,
    train: dict,
    overrides: dict,
    evaluate: dict,
    register: dict,
    code: str,
    registration_out: Output[Artifact],
) -> NamedTuple("Registered", [("Output", str), ("version", str)]):
    """Write the receipt; returns its digest, and the version that the candidate became that was
    chosen on validation."""
    from counterpoint.stages.chosen import version
    from counterpoint.stages.component import run_component

    digest = run_component(
        "register",
        code=code,
        inputs={"graph": graph.path, "evaluation": evaluation.path},
        digests={"graph": graph_digest, "evaluation": evaluation_digest},
        runs=[run.path for run in runs],
        output=registration_out.path,
        sections={
            "data": data,
            "build": build,
            "grid": grid,
            "seeds": seeds,
            "pretrain": pretrain,
            "train": train,
            "overrides": overrides,
            "evaluate": evaluate,
            "register": register,
        },
    )
    return digest, version(evaluation.path, registration_out.path)
