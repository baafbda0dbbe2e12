from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from counterpoint.data.folder import DataFolder, open_folder
from counterpoint.data.planted import PlantedConfig, generate, planted_preset
from counterpoint.files import new_folder


@dataclass(frozen=True)
class Planted:
    """A generated market: its dials, its folder."""

    config: PlantedConfig
    folder: DataFolder

    def rows(self, task: str) -> pl.DataFrame:
        """The task's rows beside their Bayes probabilities."""
        truth = pl.read_parquet(self.folder.path / "truth" / f"{task}.parquet")
        rows = self.folder.scan(f"tasks/{task}").collect()
        assert rows.select("src", "dst").equals(truth.select("src", "dst"))
        return rows.with_columns(truth["bayes"])


def _planted(config: PlantedConfig, path: Path) -> Planted:
    with new_folder(path) as scratch:
        generate(config, scratch)
    return Planted(config, open_folder(path))


@pytest.fixture
def plant(tmp_path):
    """Generate the market of a config."""
    return lambda config: _planted(config, tmp_path / "market")


@pytest.fixture(scope="package")
def market(tmp_path_factory):
    """Twenty thousand impressions: enough to tell a rate from its neighbour."""
    config = planted_preset("tiny", users=800, items=600, interactions=20_000, seed=3)
    return _planted(config, tmp_path_factory.mktemp("planted") / "market")
