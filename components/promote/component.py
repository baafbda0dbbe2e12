"""Make a registered version champion, judged on today's graph."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from components import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def promote(
    graph: Input[Artifact],
    graph_digest: str,
    version: str,
    expect_champion: str,
    register: dict,
    code: str,
    promotion_out: Output[Artifact],
) -> str:
    """Write the move with its evidence; returns the champion's number."""
    from counterpoint.stages.lifecycle import promote

    return promote(
        version=version,
        expect_champion=expect_champion,
        graph=graph.path,
        graph_digest=graph_digest,
        register=register,
        code=code,
        output=promotion_out.path,
    )
