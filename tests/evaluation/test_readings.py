import polars as pl
import pytest

from counterpoint.evaluation.readings import readings_of_runs, summarised


def write(folder, cell, task, by_seed, layers=2):
    """A run whose attention is the same in all layers, but for 0.1 a layer more."""
    rows = [
        {
            "seed": seed,
            "fit": task,
            "layer": layer,
            "task": task,
            "relation": relation,
            "name": "attention",
            "value": value + layer / 10,
        }
        for seed, attention in enumerate(by_seed)
        for layer in range(layers)
        for relation, value in attention.items()
    ]
    (folder / cell).mkdir()
    pl.DataFrame(rows).write_parquet(folder / cell / "readings.parquet")
    return folder / cell


def test_readings_are_summed_up_over_seeds(tmp_path, planted_meta):
    by_seed = [{"rev-knows": 0.2, "follows": 0.5}, {"rev-knows": 0.4, "follows": 0.7}]
    cell = "inline-hgn-fixed"
    (tmp_path / "mmoe-gcn-fixed").mkdir()
    runs = {
        cell: write(tmp_path, cell, "click", by_seed),
        "mmoe-gcn-fixed": tmp_path / "mmoe-gcn-fixed",  # weighs no edges
    }
    found = summarised(readings_of_runs(runs), planted_meta)
    assert {(one.cell, one.task) for one in found} == {(cell, "click")}
    # what leads to shops is of no task in the last layer
    places = [(one.layer, one.relation, one.head) for one in found]
    assert places == [(0, "follows", "shop"), (0, "rev-knows", "user"), (1, "rev-knows", "user")]
    last = found[-1].values["attention"]
    assert last.mean == pytest.approx(0.4)
    assert last.sd == pytest.approx(0.2 / 2**0.5)
    assert last.n == 2


def test_runs_without_readings_have_none(tmp_path):
    assert readings_of_runs({"mmoe-gcn-fixed": tmp_path}) is None
