from dataclasses import replace

import pytest

from .conftest import make_record


def test_the_digest_follows_what_went_in_and_came_out(tmp_path):
    record = make_record(tmp_path, mmoe="promote")
    (candidate,) = record.candidates
    same = replace(record, lineage={**record.lineage, "git_commit": "another"})
    others = [
        replace(record, params={}),
        replace(record, lineage={"data_digest": "another"}),
        replace(record, cells=[*record.cells, replace(record.cells[0], name="more")]),
        replace(record, candidates=[replace(candidate, verdict="hold")]),
        replace(record, candidates=[replace(candidate, model_digest="another")]),
    ]
    assert same.digest == record.digest
    assert len({record.digest, *(other.digest for other in others)}) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda r: {"lineage": {}}, "no data_digest"),
        (lambda r: {"cells": r.cells[1:]}, r"without a training cell: \['mmoe'\]"),
        (lambda r: {"cells": [*r.cells, r.cells[0]]}, "names must be unique"),
        (lambda r: {"candidates": [*r.candidates] * 2}, "names must be unique"),
    ],
)
def test_a_record_that_makes_no_sense_is_our_fault(tmp_path, changes, message):
    record = make_record(tmp_path, mmoe="promote")
    with pytest.raises(ValueError, match=message):
        replace(record, **changes(record))
    with pytest.raises(ValueError, match="verdict 'maybe' is none of promote, hold, reject"):
        replace(record.candidates[0], verdict="maybe")
