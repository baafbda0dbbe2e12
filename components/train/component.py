"""Train one cell of the grid, all its seeds."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from components import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train(
    cell: str,
    graph: Input[Artifact],
    pretrained: Input[Artifact],
    graph_digest: str,
    pretrained_digest: str,
    seeds: list,
    train: dict,
    overrides: dict,
    code: str,
    run_out: Output[Artifact],
) -> str:
    """Write the run directory of the cell; returns its digest."""
    from counterpoint.stages.component import run_component

    return run_component(
        "train",
        code=code,
        cell=cell,
        inputs={"graph": graph.path, "pretrained": pretrained.path},
        digests={"graph": graph_digest, "pretrained": pretrained_digest},
        output=run_out.path,
        sections={"seeds": seeds, "train": train, "overrides": overrides},
    )
