"""Importers of public data sets: one file a data set, each with ``read(source) -> Imported``."""

from importlib import import_module
from pathlib import Path

from counterpoint.data.folder import write_folder
from counterpoint.data.importers.imported import Count, Imported
from counterpoint.data.schema import SCHEMA_FILE
from counterpoint.errors import UserError, raise_faults
from counterpoint.files import new_folder

__all__ = ["IMPORTERS", "Count", "Imported", "import_dataset"]

# name, and module of this package; docs/data-sets.md says what each reads
IMPORTERS = (
    "acm",
    "ali_ccp",
    "aliexpress",
    "book_crossing",
    "census_income",
    "cora",
    "cora_reddit",
    "dblp",
    "kuairand",
    "lastfm",
    "movietweetings",
    "movietweetings_oag",
    "taobao4",
)


def import_dataset(
    name: str, source: Path, target: Path, accept_counts: bool = False
) -> list[Count]:
    """Read the data set ``name`` from ``source`` and write the data-set folder ``target``.

    Args:
        name: one of :data:`IMPORTERS`.
        source: folder with the original files.
        target: made, or replaced if it is a data-set folder already; whole or not at all.
        accept_counts: go on where the source's counts are not the published ones.

    Raises:
        UserError: unknown name, unreadable source, counts that differ, or a target in the way.
    """
    if name not in IMPORTERS:
        raise UserError(f"data set {name!r} is unknown; there are: {', '.join(IMPORTERS)}")
    if not source.is_dir():
        raise UserError(f"{source}: no such folder")
    if target.exists() and not (target / SCHEMA_FILE).is_file():
        raise UserError(f"{target}: exists and is no data-set folder; choose another target")
    imported: Imported = import_module(f"{__name__}.{name}").read(source)
    if not accept_counts:
        raise_faults(_count_faults(source, imported.counts))
    with new_folder(target) as scratch:
        write_folder(scratch, imported.schema, imported.tables)
    return imported.counts


def _count_faults(source: Path, counts: list[Count]) -> list[str]:
    return [
        f"{source / count.file}: {count.found} {count.what}, published are {count.published}; "
        "get the original file, or accept the counts"
        for count in counts
        if count.published is not None and count.found != count.published
    ]
