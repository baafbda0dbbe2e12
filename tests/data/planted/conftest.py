from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from counterpoint.data.folder import DataFolder, open_folder
from counterpoint.data.planted import PlantedConfig, generate, planted_preset
from counterpoint.files import new_folder


@dataclass(frozen=True)
class Planted:
    """A generated data set: its dials, its folder."""

    config: PlantedConfig
    folder: DataFolder

    def rows(self, task: str) -> pl.DataFrame:
        """The task's rows beside their Bayes probabilities."""
        truth = pl.read_parquet(self.folder.path / "truth" / f"{task}.parquet")
        rows = self.folder.scan(f"tasks/{task}").collect()
        keys = self.folder.schema.tasks[task].id_columns
        assert rows.select(keys).equals(truth.select(keys))
        return rows.with_columns(truth["bayes"])


def _planted(config: PlantedConfig, path: Path) -> Planted:
    with new_folder(path) as scratch:
        generate(config, scratch)
    return Planted(config, open_folder(path))


@pytest.fixture
def plant(tmp_path):
    """Generate the data set of a config."""
    return lambda config: _planted(config, tmp_path / "planted")


@pytest.fixture(scope="package")
def market(tmp_path_factory):
    """Twenty thousand impressions: enough to tell a rate from its neighbour."""
    config = planted_preset("tiny", users=800, items=600, interactions=20_000, seed=3)
    return _planted(config, tmp_path_factory.mktemp("planted") / "market")


@pytest.fixture(scope="package")
def logistic(tmp_path_factory):
    """Twenty thousand customers, chance enough for labels to differ from their probabilities."""
    dials = {"customers": 20_000, "accounts": 20_000, "stations": 300, "companies": 2_000}
    config = planted_preset("logistic_tiny", temperature=0.5, seed=3, **dials)
    return _planted(config, tmp_path_factory.mktemp("planted") / "logistic")


@pytest.fixture(scope="package")
def aminer(tmp_path_factory):
    """Some thousands of papers and authors."""
    config = planted_preset("aminer", papers=6_000, authors=4_000, seed=3)
    return _planted(config, tmp_path_factory.mktemp("planted") / "aminer")
