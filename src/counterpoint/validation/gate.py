"""Great Expectations at work: run a suite on a frame, refuse a vacuous pass, keep no value.

Measured with 1.24: an empty suite and an empty frame both succeed, an invalid expectation is
logged and left out of its suite, and a failed warning sets ``success=False``. So the number of
evaluated expectations must be the number asked for, an empty frame fails them all, and the gate
asks for the worst severity.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from counterpoint.data.schema import SCHEMA_FILE
from counterpoint.errors import UserError
from counterpoint.validation.expectations import Expected, suite_json

if TYPE_CHECKING:
    import great_expectations as gx
    import pandas as pd


@dataclass(frozen=True)
class Outcome:
    """How one expectation ended; ``violations`` is None where its kind does not count any."""

    expected: Expected
    success: bool
    violations: int | None
    total: int
    remark: str = ""


@dataclass(frozen=True)
class Judgement:
    """The outcomes of one suite, in its order; ``passed``: nothing critical failed."""

    outcomes: tuple[Outcome, ...]
    passed: bool


def built_suite(name: str, suite: Sequence[Expected]) -> "gx.ExpectationSuite":
    """The suite as an object of Great Expectations.

    Raises:
        UserError: one of the user's own expectations is unknown or has wrong arguments.
    """
    import great_expectations as gx
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    built, faults = [], []
    for fields in suite_json(name, suite)["expectations"]:
        try:
            built.append(ExpectationConfiguration(**fields).to_domain_obj())
        except (GreatExpectationsError, ValueError, TypeError) as fault:
            reason = " ".join(str(fault).split())
            faults.append(f"{SCHEMA_FILE}: expectation {fields['meta']['name']!r}: {reason}")
    if faults:
        raise UserError(*faults)
    return gx.ExpectationSuite(name=name, expectations=built)


def judged(name: str, suite: Sequence[Expected], frame: "pd.DataFrame") -> Judgement:
    """Run a suite on a frame.

    Raises:
        UserError: one of the user's own expectations is unknown or has wrong arguments.
        ValueError: the suite is empty, which Great Expectations would call a success.
        RuntimeError: not every expectation was evaluated.
    """
    from great_expectations.expectations.metadata_types import FailureSeverity

    if not suite:
        raise ValueError(f"suite {name} has no expectation and would pass on anything")
    built = built_suite(name, suite)
    if len(frame) == 0:
        nothing = tuple(Outcome(e, False, None, 0, "no rows: nothing was judged") for e in suite)
        return Judgement(nothing, passed=False)
    result = _batch(name, frame).validate(
        built, result_format={"result_format": "BASIC", "partial_unexpected_count": 0}
    )
    evaluated = result.statistics["evaluated_expectations"]
    if evaluated != len(suite):
        raise RuntimeError(f"suite {name}: {evaluated} of {len(suite)} expectations evaluated")
    found = {one.expectation_config.meta["name"]: one for one in result.results}
    outcomes = tuple(_outcome(expected, found[expected.name], len(frame)) for expected in suite)
    return Judgement(outcomes, result.get_max_severity_failure() != FailureSeverity.CRITICAL)


def _batch(name: str, frame: "pd.DataFrame") -> Any:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("tables").add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("whole")
    return batch.get_batch({"dataframe": frame})


def _outcome(expected: Expected, result: Any, rows: int) -> Outcome:
    """Only counts are taken over: other fields, and the texts of exceptions, may hold values."""
    fields = result.result
    raised = "raised_exception" not in result.exception_info or bool(
        result.exception_info["raised_exception"]
    )
    if raised:
        remark = "could not be evaluated: is the column there, and of the type that it needs?"
        return Outcome(expected, False, None, rows, remark)
    violations = fields.get("unexpected_count")
    if expected.name.startswith("fact:"):
        violations = fields["observed_value"]
    return Outcome(
        expected, bool(result.success), None if violations is None else int(violations), rows
    )
