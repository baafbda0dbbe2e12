"""Validate: Great Expectations on every table and on the graph's facts; a failure stops all."""

from counterpoint.data.folder import open_folder
from counterpoint.files import verified_digest
from counterpoint.stages.table import StageCall
from counterpoint.validation.run import validate as validated


def validate(call: StageCall) -> None:
    """Write the validation result. Whether it passed is for the next stage to read.

    The runner raises on a failed gate after the output is in place, so that it can be read.
    """
    verified_digest(call.inputs["data"])
    validated(open_folder(call.inputs["data"]), call.output, progress=call.report)
