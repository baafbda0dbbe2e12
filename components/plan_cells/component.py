"""What the loop over the grid goes through."""

from kfp import dsl

from components import DATA_IMAGE


@dsl.component(base_image=DATA_IMAGE, install_kfp_package=False)
def plan_cells(grid: list, graph_digest: str, pretrained_digest: str) -> list:
    """Returns each cell with the digests of what it is trained on."""
    # so that a cache sees them: KFP 2.17's local runner gives the loop's item to every parameter
    # of a loop that comes from a task, and a task of the loop can be told digests only by the item
    inputs = {"graph_digest": graph_digest, "pretrained_digest": pretrained_digest}
    return [{"cell": cell, **inputs} for cell in grid]
