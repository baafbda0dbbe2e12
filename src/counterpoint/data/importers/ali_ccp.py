"""Ali-CCP in the three CSV files of torch-rechub: click, then purchase."""

from pathlib import Path

from counterpoint.data.importers.imported import Imported
from counterpoint.data.importers.impressions import Layout, read_impressions

_FILES = {"train": "train", "valid": "val", "test": "test"}
_FIELDS = "101 121 122 124 125 126 127 128 129 205 206 207 210 216 508 509 702 853 301"
_HISTORIES = "109_14 110_14 127_14 150_14"

LAYOUT = Layout(
    name="ali_ccp",
    description="Impressions of Taobao's recommender; click, and purchase after a click.",
    files={
        split: (f"ali_ccp_{part}.csv", f"ali_ccp_{part}_sample.csv")
        for split, part in _FILES.items()
    },
    categorical=(*_FIELDS.split(), *_HISTORIES.split()),
    numeric=tuple(f"D{field}" for field in f"{_HISTORIES} 508 509 702 853".split()),
    conversion="purchase",
)


def read(source: Path) -> Imported:
    """Tasks ``click`` and ``purchase`` on node type impression; the files are the split."""
    return read_impressions(LAYOUT, source)
