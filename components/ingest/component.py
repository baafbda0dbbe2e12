"""Ingest a data set."""

from kfp import dsl
from kfp.dsl import Artifact, Output

from components import DATA_IMAGE


@dsl.component(base_image=DATA_IMAGE, install_kfp_package=False)
def ingest(data: dict, code: str, data_out: Output[Artifact]) -> str:
    """Generate, copy or fetch the data set; returns its digest."""
    from counterpoint.stages.component import run_component

    return run_component(
        "ingest", code=code, inputs={}, output=data_out.path, sections={"data": data}
    )
