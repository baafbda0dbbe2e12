"""Compare today's data, graph and predictions with what a version was registered with."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from components import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def monitor(
    data: Input[Artifact],
    graph: Input[Artifact],
    data_digest: str,
    graph_digest: str,
    version: str,
    monitor: dict,
    register: dict,
    code: str,
    drift_out: Output[Artifact],
) -> int:
    """Write drift.json and drift.html; returns how many things drifted."""
    from counterpoint.stages.lifecycle import monitor as compared

    return compared(
        version=version,
        data=data.path,
        graph=graph.path,
        digests={"data": data_digest, "graph": graph_digest},
        thresholds=monitor,
        register=register,
        code=code,
        output=drift_out.path,
    )
