"""Validate a data set with Great Expectations."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from components import DATA_IMAGE


@dsl.component(base_image=DATA_IMAGE, install_kfp_package=False)
def validate(
    data: Input[Artifact], data_digest: str, code: str, validation_out: Output[Artifact]
) -> str:
    """Fail where a critical expectation fails; returns the result's digest."""
    from counterpoint.stages.component import run_component

    return run_component(
        "validate",
        code=code,
        inputs={"data": data.path},
        digests={"data": data_digest},
        output=validation_out.path,
        sections={},
    )
