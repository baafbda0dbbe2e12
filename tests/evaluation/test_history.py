import polars as pl
import pytest

from counterpoint.evaluation.evidence import GateSettings
from counterpoint.evaluation.gate import judge
from counterpoint.evaluation.history import (
    curves_from_history,
    flat_metrics,
    learning_tables,
    summaries,
)
from counterpoint.evaluation.report import Curve, Report


def test_summaries_over_seeds():
    values = {"0": {"auc": 0.8, "ap": None}, "1": {"auc": 0.9, "ap": 0.2}}
    metrics = {
        "seeds": {
            seed: {"click": {"test": of_seed, "valid": {"auc": 0.0}}}
            for seed, of_seed in values.items()
        }
    }
    found = summaries(metrics)["click"]
    assert found["auc"].mean == pytest.approx(0.85)
    assert found["auc"].sd == pytest.approx(0.1 / 2**0.5)
    assert found["auc"].n == 2
    assert (found["ap"].mean, found["ap"].sd, found["ap"].n) == (0.2, 0.0, 1)


@pytest.fixture
def run(tmp_path):
    """Three seeds: one stops after epoch 1, one after epoch 2, one after epoch 3."""
    rows = [
        {"seed": s, "fit": "joint", "epoch": e, "task": "click", "name": "valid auc", "value": v}
        for s, values in enumerate([[0.1, 0.2], [0.3, 0.3, 0.6], [0.2, 0.4, 0.8, 0.9]])
        for e, v in enumerate(values)
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "history.parquet")
    return tmp_path


def test_curves_are_means_and_ranges_while_half_of_the_seeds_train(run):
    (curve,) = curves_from_history({"mmoe-gcn-fixed": run})
    assert (curve.cell, curve.fit, curve.task, curve.name) == (
        "mmoe-gcn-fixed",
        "joint",
        "click",
        "valid auc",
    )
    assert curve.epochs == [0, 1, 2]
    assert curve.mean == pytest.approx([0.2, 0.3, 0.7])
    assert curve.low == [0.1, 0.2, 0.6]
    assert curve.high == [0.3, 0.4, 0.8]


def test_the_order_of_rows_moves_nothing(run, tmp_path):
    before = curves_from_history({"cell": run})
    history = pl.read_parquet(run / "history.parquet").reverse()
    (tmp_path / "reversed").mkdir()
    history.write_parquet(tmp_path / "reversed" / "history.parquet")
    after = curves_from_history({"cell": tmp_path / "reversed"})
    assert [curve.epochs for curve in after] == [curve.epochs for curve in before]
    assert after[0].mean == pytest.approx(before[0].mean)


def test_dvc_gets_learning_curves_and_flat_numbers(make_task):
    verdict = judge("mmoe", [make_task("click", 0.03), make_task("buy", 0.0)], GateSettings())
    shape = {"cell": "mmoe", "fit": "joint", "task": "click", "epochs": [0, 1]}
    values = {"mean": [0.5, 0.6], "low": [0.5, 0.6], "high": [0.5, 0.6]}
    report = Report(
        name="shop",
        candidates=[verdict],
        chosen="mmoe",
        preflight={},
        twins={},
        summaries={},
        references={},
        reference_notes=[],
        curves=[
            Curve(name="valid auc", **shape, **values),
            Curve(name="loss", **shape, **values),
        ],
        data_facts={},
        validation={},
        lineage={},
        parameters={},
    )
    assert learning_tables(report) == {
        "click.mmoe": [{"epoch": 0, "valid auc": 0.5}, {"epoch": 1, "valid auc": 0.6}]
    }
    flat = flat_metrics(report)
    assert flat["mmoe.decision"] == "promote"
    assert flat["mmoe.click.difference"] == pytest.approx(0.03)
    names = [f"mmoe.{task}.{name}" for task in ("click", "buy") for name in ("joint", "lower")]
    assert {"mmoe.decision", "mmoe.buy.difference", *names} <= set(flat)
    assert not any(isinstance(value, dict) for value in flat.values())
