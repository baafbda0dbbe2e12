"""Build the graph store of a validated data set."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from components import DATA_IMAGE


@dsl.component(base_image=DATA_IMAGE, install_kfp_package=False)
def build_graph(
    data: Input[Artifact],
    validation: Input[Artifact],
    data_digest: str,
    validation_digest: str,
    build: dict,
    code: str,
    graph_out: Output[Artifact],
) -> str:
    """Write the graph store; returns its digest."""
    from counterpoint.stages.component import run_component

    return run_component(
        "build_graph",
        code=code,
        inputs={"data": data.path, "validation": validation.path},
        digests={"data": data_digest, "validation": validation_digest},
        output=graph_out.path,
        sections={"build": build},
    )
