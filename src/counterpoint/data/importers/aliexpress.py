"""AliExpress search logs of one country: click, then conversion (MTReclib's CSV files)."""

from pathlib import Path

import numpy as np
import polars as pl

from counterpoint.data.importers.imported import Imported
from counterpoint.data.importers.impressions import Layout, read_impressions
from counterpoint.data.splits import entity_uniform

VALID = 0.1  # of the searches in the training file; there is no file for it

LAYOUT = Layout(
    name="aliexpress",
    description="Impressions of AliExpress's search; click, and conversion after a click.",
    files={
        part: (f"{part}.csv", f"aliexpress_{part}.csv", f"aliexpress_{part}_sample.csv")
        for part in ("train", "test")
    },
    categorical=tuple(f"categorical_{number}" for number in range(1, 17)),
    numeric=tuple(f"numerical_{number}" for number in range(1, 64)),
    conversion="conversion",
    others=("search_id",),
)


def read(source: Path) -> Imported:
    """Tasks ``click`` and ``conversion``; whole searches of the training file become valid.

    search_id is no feature: it names one search.
    """
    return read_impressions(LAYOUT, source, _split)


def _split(part: str) -> pl.Expr:
    if part == "test":
        return pl.lit("test")
    return pl.col("search_id").map_batches(_train_or_valid, pl.String, is_elementwise=True)


def _train_or_valid(searches: pl.Series) -> pl.Series:
    held_out = entity_uniform([searches.to_numpy()], seed=0) < VALID
    return pl.Series(searches.name, np.where(held_out, "valid", "train"))
