"""params.yaml: everything a pipeline run may be told, resolved once and frozen."""

import re
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveFloat, model_validator

from counterpoint.data.schema import Strict


class DataParams(Strict):
    """Where the data set comes from: the planted generator, a folder of the user's, or DVC.

    ``repo``, ``rev`` and ``path`` name a folder in a DVC repository at a commit. ``digest``, which
    `counterpoint data add` prints, is what the ingested data set must have.
    """

    source: Literal["planted", "folder", "dvc"] = "planted"
    preset: str = "demo"
    dials: dict[str, Any] = Field(default_factory=dict)
    path: str | None = None
    repo: str | None = None
    rev: str | None = None
    digest: str | None = None

    @model_validator(mode="after")
    def _what_goes_with_a_source(self) -> Self:
        if (self.source == "planted") != (self.path is None):
            raise ValueError("path goes with source: folder or dvc, and only with them")
        if (self.source == "dvc") != (self.repo is not None and self.rev is not None):
            raise ValueError("repo and rev go with source: dvc, and only with it")
        if self.source == "dvc" and self.digest is None:
            raise ValueError("source: dvc needs digest; counterpoint data add prints it")
        # it would be a pipeline's parameter, which everyone of the namespace can read
        if self.repo is not None and re.match(r"https?://[^/]*@", self.repo):
            raise ValueError("repo: an address without user and password")
        return self


class EvaluateParams(Strict):
    """How candidates are judged; ``margins`` by task override dataset.yaml.

    ``candidates``: test the one that is best on validation, or all of them with Holm's bounds.
    ``gate`` holds the fields of :class:`counterpoint.evaluation.evidence.GateSettings`; its looks
    default to the number of seeds.
    """

    candidates: Literal["chosen", "all"] = "chosen"
    gate: dict[str, Any] = Field(default_factory=dict)
    margins: dict[str, PositiveFloat] = Field(default_factory=dict)
    references: bool = True


class RegisterParams(Strict):
    """Registered model and tracking server; None is an sqlite file in the work folder."""

    model: str = "counterpoint"
    experiment: str = "counterpoint"
    tracking_uri: str | None = None


class Params(Strict):
    """The whole of params.yaml."""

    model_config = ConfigDict(hide_input_in_errors=True)  # of an address with a password

    data: DataParams = DataParams()
    build: dict[str, Any] = Field(default_factory=dict)
    grid: tuple[str, ...]
    seeds: tuple[NonNegativeInt, ...] = tuple(range(10))
    pretrain: dict[str, Any] = Field(default_factory=dict)
    train: dict[str, Any] = Field(default_factory=dict)
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)
    evaluate: EvaluateParams = EvaluateParams()
    register_: RegisterParams = Field(default=RegisterParams(), alias="register")
    monitor: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            raise ValueError("seeds: a list of different numbers, at least one")
        if len(set(self.grid)) != len(self.grid):
            raise ValueError("grid: a cell is listed twice")
        return self
