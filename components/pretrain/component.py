"""Pre-train the trunks of all encoders of the grid."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from components import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def pretrain(
    graph: Input[Artifact],
    graph_digest: str,
    grid: list,
    seeds: list,
    pretrain: dict,
    train: dict,
    overrides: dict,
    code: str,
    pretrained_out: Output[Artifact],
) -> str:
    """Write a trunk an encoder and seed, or none; returns the folder's digest."""
    from counterpoint.stages.component import run_component

    return run_component(
        "pretrain",
        code=code,
        inputs={"graph": graph.path},
        digests={"graph": graph_digest},
        output=pretrained_out.path,
        sections={
            "grid": grid,
            "seeds": seeds,
            "pretrain": pretrain,
            "train": train,
            "overrides": overrides,
        },
    )
