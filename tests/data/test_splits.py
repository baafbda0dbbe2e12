from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from counterpoint.data.splits import assigned_rows, entity_uniform


def assigned(market: Any, path: Path, task: str) -> pl.DataFrame:
    return assigned_rows(market.write(path), task).collect()


def test_uniforms_are_uniform_and_depend_on_seed_and_order() -> None:
    a, b = np.arange(20_000), np.arange(20_000) % 7
    u = entity_uniform([a, b], 0)
    assert abs(u.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(u, entity_uniform([a, b], 1))[0, 1]) < 0.03
    assert abs(np.corrcoef(u, entity_uniform([b, a], 0))[0, 1]) < 0.03
    np.testing.assert_array_equal(u[::-1], entity_uniform([a[::-1], b[::-1]], 0))


def test_given_is_what_the_column_says(market: Any, tmp_path: Path) -> None:
    rows = assigned(market, tmp_path, "click")
    assert rows["split"].to_list() == market.tables["tasks/click"]["split"].to_list()


def test_random_gives_an_entity_one_split_in_every_task(market: Any, tmp_path: Path) -> None:
    market.rewrite(split={"by": "random", "valid": 0.3, "test": 0.2, "seed": 5})
    click = assigned(market, tmp_path, "click")
    visit = assigned(market, tmp_path, "visit")
    shares = click["split"].value_counts(normalize=True)
    assert abs(dict(shares.iter_rows())["valid"] - 0.3) < 0.08
    both = click.join(visit, on=["src", "dst"], suffix="_visit")
    assert len(both) == len(visit) > 0
    assert both["split"].to_list() == both["split_visit"].to_list()


def test_random_ignores_labels_and_other_rows(
    make_market: Callable[[], Any], tmp_path: Path
) -> None:
    whole, half = make_market(), make_market()
    for market in (whole, half):
        market.rewrite(split={"by": "random", "seed": 1})
    table = half.tables["tasks/click"]
    half.tables["tasks/click"] = table.gather_every(2).with_columns(label=pl.lit(1))
    a = assigned(whole, tmp_path / "a", "click")["split"].to_list()[::2]
    assert a == assigned(half, tmp_path / "b", "click")["split"].to_list()


def test_time_keeps_the_latest_rows_for_test(market: Any, tmp_path: Path) -> None:
    market.rewrite(split={"by": "time", "valid": 0.2, "test": 0.2})
    times = pl.lit(datetime(2024, 1, 1))
    for task in ("spend", "topic", "tags"):
        market.change(f"tasks/{task}", time=times)
    rows = assigned(market, tmp_path, "click")
    ends = rows.group_by("split").agg(low=pl.col("time").min(), high=pl.col("time").max())
    by = {row["split"]: row for row in ends.to_dicts()}
    assert by["train"]["high"] < by["valid"]["low"]
    assert by["valid"]["high"] < by["test"]["low"]


def test_leave_last_out_holds_out_one_pair_a_source(market: Any, tmp_path: Path) -> None:
    market.rewrite(split={"by": "leave_last_out"})
    rows = assigned(market, tmp_path, "click")
    last = rows.sort("time").group_by("src", maintain_order=True).agg(pl.col("split").last())
    assert set(last["split"]) == {"test"}
    counts = rows.group_by("src").agg((pl.col("split") == "test").sum())
    # a pair that is the last visit but not the last click is held out of both
    assert counts["split"].min() >= 1
    assert counts["split"].max() <= 2
