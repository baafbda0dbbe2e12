"""Workers: processes that share out the seeds of a cell.

Seeds are fits that know nothing of each other. Each worker trains every ``world``-th one into a run
directory of its own below the output; the first worker then makes one of them all, byte for byte
what one process writes. Nothing is averaged and no batch is split.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import distributed

from counterpoint.errors import UserError
from counterpoint.files import write_json, write_manifest
from counterpoint.training.cell import (
    HISTORY,
    READINGS,
    CellTrainer,
    Run,
    open_run,
    write_history,
    write_readings,
)


def train_share(trainer: CellTrainer, rank: int, world: int) -> None:
    """Train this worker's seeds, wait for the others, and as the first one merge them all.

    All must be in torch.distributed's default group. Each searches for itself, with the trials and
    the seed of one process.

    Args:
        trainer: of the whole cell; its target is one folder that all workers see.
        rank: of this worker, from 0.
        world: number of workers; those without a seed just wait.

    Raises:
        UserError: the workers' searches chose different settings.
    """
    parts = [trainer.target / f".worker-{number}" for number in range(world)]
    if seeds := trainer.seeds[rank::world]:
        parts[rank].mkdir()
        replace(trainer, seeds=seeds, target=parts[rank], search_seed=trainer.seeds[0]).run()
    distributed.barrier()
    if rank == 0:
        merge_runs(parts[: len(trainer.seeds)], trainer.seeds, trainer.target)


def merge_runs(parts: Sequence[Path], seeds: Sequence[int], target: Path) -> None:
    """Make one run directory in ``target`` of several of the same cell, which are used up.

    Args:
        parts: run directories on the file system of ``target``, that of the first seed first.
        seeds: of all of them, in the order in which one process trains them.
        target: an existing folder, which may hold the parts.

    Raises:
        UserError: a part was changed since it was written, or is not of the same cell, graph and
            settings.
    """
    runs = [open_run(part) for part in parts]
    first = runs[0]
    for run in runs[1:]:
        if _shared(run.config) != _shared(first.config):
            raise UserError(
                f"{first.cell.name}: workers came to different settings or graphs; run it in one"
                " process, or on machines that compute the same"
            )
    by_seed = {
        name: {seed: found for run in runs for seed, found in run.metrics[name].items()}
        for name in ("seeds", "selection")
    }
    trunks = {seed: found for run in runs for seed, found in run.config.get("trunks", {}).items()}
    of_all = {"seeds": list(seeds), **({"trunks": trunks} if trunks else {})}
    write_json(target / "config.json", {**first.config, **of_all})
    write_json(target / "metrics.json", {**first.metrics, **by_seed})
    (first.path / "search.json").rename(target / "search.json")
    write_history(target / HISTORY, _rows(runs, HISTORY, seeds))
    if (first.path / READINGS).is_file():
        write_readings(target / READINGS, _rows(runs, READINGS, seeds))
    for run in runs:
        for folder in run.path.glob("seed-*"):
            folder.rename(target / folder.name)
        shutil.rmtree(run.path)
    write_manifest(target)


def _shared(config: dict[str, Any]) -> dict[str, Any]:
    """What a run directory says that is not of its own seeds."""
    return {key: found for key, found in config.items() if key not in ("seeds", "trunks")}


def _rows(runs: Sequence[Run], name: str, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Rows of a table of all runs in the order of one process: fit after fit, seed after seed."""
    import polars as pl

    rows = [row for run in runs for row in pl.read_parquet(run.path / name).to_dicts()]
    fits = list(dict.fromkeys(row["fit"] for row in rows))
    return sorted(rows, key=lambda row: (fits.index(row["fit"]), seeds.index(row["seed"])))
