"""Build graph: the tables to a graph store that holds nothing of the held-out rows in training."""

from counterpoint.data.folder import open_folder
from counterpoint.files import verified_digest
from counterpoint.graph.build import BuildSettings
from counterpoint.graph.build import build_graph as built
from counterpoint.stages.table import StageCall
from counterpoint.stages.validation_gate import require_passed


def build_graph(call: StageCall) -> None:
    """Write the graph store of a data set that passed validation."""
    require_passed(call.inputs["validation"])
    verified_digest(call.inputs["data"])
    settings = BuildSettings.model_validate(call.params.build)
    built(open_folder(call.inputs["data"]), settings, call.output, call.report)
