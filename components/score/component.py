"""Score the rows of a parquet file with a registered version."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from components import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def score(
    rows: Input[Artifact],
    version: str,
    task: str,
    unknown: str,
    register: dict,
    code: str,
    scores_out: Output[Artifact],
) -> str:
    """Write the scores and what was asked; returns the number of the version that was meant."""
    from counterpoint.stages.lifecycle import score

    return score(
        version=version,
        task=task,
        unknown=unknown,
        source=rows.path,
        register=register,
        code=code,
        output=scores_out.path,
    )
