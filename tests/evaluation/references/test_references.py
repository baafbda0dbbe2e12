from pathlib import Path

import numpy as np
import pytest

from counterpoint.data.folder import open_folder
from counterpoint.data.importers import import_dataset
from counterpoint.evaluation.references import reference_notes, reference_parts
from counterpoint.files import new_folder
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.store import open_store
from counterpoint.metrics import check_paired, value

REAL_DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def test_kinds_go_to_their_references(link_store, node_store):
    assert "item-CF" in reference_parts(link_store, "buy", "test", None, 0)
    assert "majority class" in reference_parts(node_store, "topic", "valid", None, 0)


def test_all_references_of_a_task_score_the_same_rows(link_store):
    check_paired(reference_parts(link_store, "buy", "test", None, 0))


def test_test_labels_of_nodes_move_nothing(make_store, node_schema, node_data):
    before, after = (
        reference_parts(
            make_store(node_schema, node_data(test_label=label), name=f"data{label}"),
            "topic",
            "test",
            None,
            0,
        )
        for label in (0, 1)
    )
    for name, parts in before.items():
        np.testing.assert_array_equal(parts.score, after[name].score)


def test_another_test_link_moves_no_rank_of_the_rest(make_store, link_schema, link_data):
    before = make_store(link_schema, link_data(), name="before", candidates="all")
    test = {"train": [(0, 4), (3, 4), (0, 3)], "valid": [(1, 4)], "test": [(2, 4)]}
    after = make_store(link_schema, link_data(view=test), name="after", candidates="all")
    of_before, of_after = (reference_parts(s, "buy", "test", None, 0) for s in (before, after))
    for name, parts in of_before.items():
        np.testing.assert_array_equal(parts.rank, of_after[name].rank)


def test_equal_seeds_give_equal_bits(link_store):
    first, again = (reference_parts(link_store, "buy", "test", None, 0) for _ in range(2))
    for name, parts in first.items():
        np.testing.assert_array_equal(parts.score, again[name].score)


def test_the_policy_drop_is_said(make_store, link_store, link_schema, link_data, node_store):
    (note,) = reference_notes(link_store)
    assert "cross_task is drop" in note
    allowing = link_schema.model_copy(update={"cross_task": "allow"})
    assert reference_notes(make_store(allowing, link_data(), name="allowing")) == []
    assert reference_notes(node_store) == []


@pytest.mark.realdata
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real data sets are not beside the checkout")
def test_last_fm(tmp_path):
    """Popularity .799 and item-CF .806 as published beside the data (other splits)."""
    import_dataset("lastfm", REAL_DATA / "lastfm_kg", tmp_path / "lastfm")
    with new_folder(tmp_path / "graph") as target:
        build_graph(open_folder(tmp_path / "lastfm"), BuildSettings(), target)
    found = reference_parts(open_store(tmp_path / "graph"), "listen", "test", None, 0)
    auc = {name: value("auc", parts) for name, parts in found.items()}
    assert auc["popularity"] == pytest.approx(0.799, abs=0.012)
    assert auc["item-CF"] == pytest.approx(0.806, abs=0.012)
    assert auc["SVD-32"] > auc["item-CF"] > auc["popularity"]
