import pandas as pd
import pytest

from counterpoint.errors import UserError
from counterpoint.validation.expectations import Expected
from counterpoint.validation.gate import built_suite, judged

UNIQUE = Expected("unique:t.id", "expect_column_values_to_be_unique", {"column": "id"})
FACT = "fact:dangling:relations/buys.dst"
NO_VIOLATION = {"column": FACT, "min_value": 0, "max_value": 0}


def _fact(severity="critical"):
    return Expected(FACT, "expect_column_max_to_be_between", NO_VIOLATION, severity)


def test_a_held_expectation_passes():
    judgement = judged("t", [UNIQUE], pd.DataFrame({"id": [1, 2, 3]}))
    (outcome,) = judgement.outcomes
    assert judgement.passed
    assert (outcome.success, outcome.violations, outcome.total) == (True, 0, 3)


def test_a_failed_expectation_is_counted():
    judgement = judged("t", [UNIQUE], pd.DataFrame({"id": [1, 2, 2]}))
    (outcome,) = judgement.outcomes
    assert not judgement.passed
    assert (outcome.success, outcome.violations) == (False, 2)


@pytest.mark.parametrize("severity", ["warning", "info"])
def test_only_a_critical_failure_stops(severity):
    judgement = judged("facts", [_fact(severity)], pd.DataFrame({FACT: [4]}))
    (outcome,) = judgement.outcomes
    assert judgement.passed
    assert (outcome.success, outcome.violations) == (False, 4)


def test_a_fact_fails_by_its_violations():
    assert not judged("facts", [_fact()], pd.DataFrame({FACT: [4]})).passed
    assert judged("facts", [_fact()], pd.DataFrame({FACT: [0]})).passed


def test_an_absent_fact_does_not_pass():
    judgement = judged("facts", [_fact()], pd.DataFrame({"other": [0]}))
    assert not judgement.passed
    assert "could not be evaluated" in judgement.outcomes[0].remark


def test_a_suite_without_expectations_is_refused():
    with pytest.raises(ValueError, match="would pass on anything"):
        judged("t", [], pd.DataFrame({"id": [1]}))


def test_an_empty_frame_fails_everything():
    judgement = judged("t", [UNIQUE], pd.DataFrame({"id": pd.Series([], dtype="Int64")}))
    assert not judgement.passed
    assert [outcome.success for outcome in judgement.outcomes] == [False]


def test_a_suite_that_loses_an_expectation_is_refused(monkeypatch):
    from counterpoint.validation import gate

    monkeypatch.setattr(gate, "built_suite", lambda name, suite: built_suite(name, suite[:1]))
    with pytest.raises(RuntimeError, match="1 of 2 expectations evaluated"):
        judged("t", [UNIQUE, _fact()], pd.DataFrame({"id": [1], FACT: [0]}))


@pytest.mark.parametrize(
    ("type_", "kwargs", "reason"),
    [
        ("expect_nonsense", {}, "expect_nonsense not found"),
        ("expect_column_to_exist", {"colum": "id"}, "field required"),
        ("expect_column_values_to_be_between", {"column": "id"}, "cannot both be None"),
    ],
)
def test_an_expectation_that_cannot_be_built_is_the_users_fault(type_, kwargs, reason):
    with pytest.raises(UserError, match=reason) as caught:
        built_suite("t", [Expected("own:0:x:t", type_, kwargs)])
    assert "\n" not in str(caught.value)
    assert "own:0:x:t" in str(caught.value)
