"""What a training cell may be told."""

from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
)

from counterpoint.auxiliary import AnyAuxiliary
from counterpoint.data.schema import Name, Strict
from counterpoint.errors import UserError
from counterpoint.models import ARCHITECTURES, SINGLE_TASK, SharingSettings, fitting_encoders
from counterpoint.nn.encoders import ENCODERS, EncoderSettings
from counterpoint.weighting import WEIGHTINGS


class SearchSettings(Strict):
    """Random search on validation: ``trials`` for every cell and every twin alike."""

    trials: NonNegativeInt = 0
    learning_rate: tuple[PositiveFloat, PositiveFloat] = (1e-3, 2e-2)
    weight_decay: tuple[PositiveFloat, PositiveFloat] = (1e-6, 1e-3)
    dropout: tuple[NonNegativeFloat, NonNegativeFloat] = (0.0, 0.5)
    log_task_weight: tuple[float, float] = (-2.0, 2.0)
    seed: NonNegativeInt = 0


class TrainSettings(Strict):
    """Budget and shape of training, the same for joint models and twins.

    ``negatives`` a positive in link tasks; ``fanouts`` samples that many neighbours a layer,
    outputs last (None: the whole graph); ``patience`` counts evaluations without a better one.
    ``auxiliaries`` are self-supervised objectives that joint models train beside their tasks.
    ``diagnose_every`` so many steps the tasks' gradients are compared (0: never). ``optimizer`` sgd
    (with momentum 0.9) is for what scales gradients, such as DEPHN's coefficients: Adam divides a
    steady factor out again.
    """

    encoder: EncoderSettings = EncoderSettings()
    sharing: SharingSettings = SharingSettings()
    weighting: dict[str, dict[str, Any]] = Field(default_factory=dict)
    auxiliaries: dict[Name, AnyAuxiliary] = Field(default_factory=dict)
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: PositiveFloat = 5e-3
    weight_decay: NonNegativeFloat = 1e-5
    clip: PositiveFloat = 5.0
    batch_size: PositiveInt = 4096
    epochs: PositiveInt = 50
    evaluate_every: PositiveInt = 1
    patience: PositiveInt = 5
    negatives: PositiveInt = 4
    fanouts: tuple[PositiveInt, ...] | None = None
    workers: NonNegativeInt = 0
    diagnose_every: NonNegativeInt = 0
    bf16: bool = False
    device: str = "auto"
    threads: PositiveInt = 2
    search: SearchSettings = SearchSettings()

    @field_validator("weighting")
    @classmethod
    def _settings_of_methods(cls, by_method: dict[str, Any]) -> dict[str, Any]:
        for method, values in by_method.items():
            if method not in WEIGHTINGS:
                raise ValueError(f"no weighting {method!r}; there are {', '.join(WEIGHTINGS)}")
            try:
                WEIGHTINGS[method][1].model_validate(values)
            except ValidationError as fault:
                found = fault.errors()[0]
                place = ".".join(map(str, (method, *found["loc"])))
                raise ValueError(f"{place}: {found['msg']}") from None
        return by_method


class Cell(Strict):
    """One point of the grid: architecture, encoder, weighting, and perhaps a variant of them."""

    architecture: str
    encoder: str
    weighting: str
    variant: str | None = None

    @property
    def name(self) -> str:
        """``architecture-encoder-weighting`` or ``architecture-encoder-weighting-variant``."""
        plain = f"{self.architecture}-{self.encoder}-{self.weighting}"
        return plain if self.variant is None else f"{plain}-{self.variant}"

    @property
    def is_twin(self) -> bool:
        """Whether the cell trains single-task twins."""
        return self.architecture == SINGLE_TASK

    @property
    def twin(self) -> str:
        """Name of the cell that holds this cell's single-task twins, of the encoder as it is."""
        return f"{SINGLE_TASK}-{self.encoder}-fixed"


def cell_named(name: str) -> Cell:
    """The cell of a name (see :attr:`Cell.name`); a wrong one says what there is."""
    kinds: tuple[tuple[Literal["architecture", "encoder", "weighting"], Any], ...] = (
        ("architecture", ARCHITECTURES),
        ("encoder", ENCODERS),
        ("weighting", WEIGHTINGS),
    )
    parts = name.split("-")
    if len(parts) not in (3, 4):
        raise UserError(f"grid: {name!r} is not architecture-encoder-weighting[-variant]")
    faults = [
        f"grid: {name!r}: no {kind} {part!r}; there are {', '.join(known)}"
        for part, (kind, known) in zip(parts, kinds, strict=False)  # a variant comes after them
        if part not in known
    ]
    if faults:
        raise UserError(*faults)
    variant = parts[3] if len(parts) == 4 else None
    cell = Cell(architecture=parts[0], encoder=parts[1], weighting=parts[2], variant=variant)
    fitting = fitting_encoders(cell.architecture)
    if cell.encoder not in fitting:
        raise UserError(
            f"grid: {name!r}: {cell.architecture} exchanges inside graph layers and needs the "
            f"encoder {' or '.join(fitting)}"
        )
    if cell.is_twin and cell.weighting != "fixed":
        raise UserError(f"grid: {name!r}: a single task has nothing to weigh; use {cell.twin}")
    return cell
