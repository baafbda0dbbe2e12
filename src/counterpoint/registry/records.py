"""What the register stage hands over: a pipeline run, its training cells, its candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoint.data.schema import Name, Strict
from counterpoint.files import json_text, sha256_of_text

VERDICTS = ("promote", "hold", "reject")


class RegistrySettings(Strict):
    """Where to register; ``tracking_uri`` None: the environment's, else sqlite in ``work``."""

    work: Path
    tracking_uri: str | None = None
    experiment: Name = "counterpoint"
    model: Name = "counterpoint"


@dataclass(frozen=True)
class CellRecord:
    """One training cell: architecture, encoder and weighting over all its seeds.

    ``metrics`` is seed → task → split → metric → value; a value that is None or NaN is undefined
    and not logged. ``folder`` is the run directory with its manifest.
    """

    name: str
    digest: str
    config: Mapping[str, Any]
    metrics: Mapping[int, Mapping[str, Mapping[str, Mapping[str, float | None]]]]
    folder: Path


@dataclass(frozen=True)
class CandidateRecord:
    """A joint model with the gate's verdict; ``cell`` names its training cell.

    ``card`` is the folder of its model card, with a manifest; ``lineage`` what the version states
    beside the pipeline run's: the seed that ships, the digests of the cell's configuration and, if
    there is one, of the trunk that the model started from.
    """

    cell: str
    bundle: Path
    model_digest: str
    verdict: str
    reasons: Sequence[str]
    report: Path
    card: Path
    lineage: Mapping[str, str]

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict {self.verdict!r} is none of {', '.join(VERDICTS)}")


@dataclass(frozen=True)
class PipelineRecord:
    """One run of the pipeline.

    ``data`` is the data set's name; ``lineage`` is what :func:`lineage.collect` returns and holds
    at least ``data_digest``.
    """

    data: str
    params: Mapping[str, Any]
    lineage: Mapping[str, str]
    cells: Sequence[CellRecord]
    candidates: Sequence[CandidateRecord]

    def __post_init__(self) -> None:
        cells = [cell.name for cell in self.cells]
        candidates = [candidate.cell for candidate in self.candidates]
        if len(set(cells)) < len(cells) or len(set(candidates)) < len(candidates):
            raise ValueError(f"names must be unique: cells {cells}, candidates {candidates}")
        if unknown := set(candidates) - set(cells):
            raise ValueError(f"candidates without a training cell: {sorted(unknown)}")
        if "data_digest" not in self.lineage:
            raise ValueError("lineage holds no data_digest")

    @property
    def digest(self) -> str:
        """Identity of the run: what went in and what came out, not when or from which commit."""
        return sha256_of_text(
            json_text(
                {
                    "data": self.lineage["data_digest"],
                    "params": self.params,
                    "cells": {cell.name: cell.digest for cell in self.cells},
                    "candidates": {c.cell: [c.model_digest, c.verdict] for c in self.candidates},
                }
            )
        )
