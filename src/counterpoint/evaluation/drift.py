"""Drift: what data and predictions are today against what they were when a model was registered.

PSI, the symmetrised Kullback-Leibler divergence over bins (Yurdakul 2018 has its distribution when
nothing has changed), and the Kolmogorov-Smirnov distance. A threshold says what matters, the
99.9 % quantile under no change what chance would do: drift is what is above both.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import chdtri, kolmogi

from counterpoint.data.distributions import Distribution, Shares, below, shares_of
from counterpoint.data.schema import Strict
from counterpoint.evaluation.templates import templates

BINS = 10
CHANCE = 0.001
_LEAST_FACT = 0.05  # a share of isolated nodes that was 0 has no relative change


class DriftSettings(Strict):
    """Thresholds: of PSI, of the KS distance, of a graph fact's relative change."""

    psi: float = Field(0.2, gt=0)
    ks: float = Field(0.1, gt=0)
    facts: float = Field(0.25, gt=0)


class Reference(Strict):
    """What a version was registered with: features, graph facts, predictions on its test rows."""

    features: dict[str, Distribution]
    facts: dict[str, float]
    predictions: dict[str, Distribution]


class Shift(BaseModel):
    """One distribution against its reference; ``ks`` is None for categories."""

    model_config = ConfigDict(frozen=True)

    name: str
    n_reference: int
    n_today: int
    psi: float
    psi_by_chance: float
    ks: float | None
    ks_by_chance: float | None
    drifted: bool


class FactChange(BaseModel):
    """One fact of the graph against its reference; None: it is not there."""

    model_config = ConfigDict(frozen=True)

    name: str
    reference: float | None
    today: float | None
    drifted: bool


class Drift(BaseModel):
    """The whole of drift.json; ``report``: file of the version's report, if the registry has it."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    thresholds: DriftSettings
    features: list[Shift]
    facts: list[FactChange]
    predictions: list[Shift]
    notes: list[str]
    report: str | None

    @property
    def drifted(self) -> list[str]:
        """What has drifted, by kind and name."""
        kinds: tuple[Literal["features", "facts", "predictions"], ...]
        kinds = ("features", "facts", "predictions")
        return [
            f"{kind.removesuffix('s')} {one.name}"
            for kind in kinds
            for one in getattr(self, kind)
            if one.drifted
        ]


def shift(name: str, reference: Distribution, values: np.ndarray, settings: DriftSettings) -> Shift:
    """Compare values ``[n]`` of today with a reference; strings with categories."""
    chance = 1 / reference.n + 1 / len(values)
    ks = ks_by_chance = None
    if isinstance(reference, Shares):
        before = np.array(list(reference.shares.values()))
        today = shares_of(values, reference)
    else:
        points, was = np.array(reference.points), np.array(reference.below)
        now = below(points, values)
        ks = float(np.abs(now - was).max())
        ks_by_chance = float(kolmogi(CHANCE) * np.sqrt(chance))
        edges = _edges(was)
        before, today = (np.diff(share[edges], prepend=0, append=1) for share in (was, now))
    psi = population_stability(before, reference.n, today, len(values))
    psi_by_chance = float(chdtri(max(len(before) - 1, 1), CHANCE) * chance)
    drifted = psi > max(settings.psi, psi_by_chance)
    if ks is not None and ks_by_chance is not None:
        drifted |= ks > max(settings.ks, ks_by_chance)
    return Shift(
        name=name,
        n_reference=reference.n,
        n_today=len(values),
        psi=psi,
        psi_by_chance=psi_by_chance,
        ks=ks,
        ks_by_chance=ks_by_chance,
        drifted=drifted,
    )


def population_stability(
    before: np.ndarray, n_before: int, today: np.ndarray, n_today: int
) -> float:
    """PSI of shares ``[bins]`` of so many values: ``Σ (today − before) ln(today / before)``.

    Half a value more in each bin keeps an empty one finite, and small samples from false alarms.
    """
    p, q = (
        (share * n + 0.5) / (n + 0.5 * len(share))
        for share, n in ((before, n_before), (today, n_today))
    )
    return float(((q - p) * np.log(q / p)).sum())


def fact_changes(
    reference: Mapping[str, float], today: Mapping[str, float], settings: DriftSettings
) -> list[FactChange]:
    """Facts of either side; one that appeared or vanished has drifted."""
    return [
        FactChange(
            name=name,
            reference=reference.get(name),
            today=today.get(name),
            drifted=_has_changed(reference.get(name), today.get(name), settings.facts),
        )
        for name in sorted(reference.keys() | today.keys())
    ]


def page(drift: Drift) -> str:
    """The HTML page of a comparison; equal ones give equal bytes."""
    return templates().get_template("drift.html.j2").render(drift=drift)


def _edges(below_points: np.ndarray) -> np.ndarray:
    """Places of the points that cut the values into at most ten bins of about equal share."""
    cuts = np.searchsorted(below_points, np.arange(1, BINS) / BINS - 1e-12)
    places = np.unique(cuts)
    return places[places < len(below_points) - 1]  # above the last point there is nothing


def _has_changed(before: float | None, today: float | None, threshold: float) -> bool:
    if before is None or today is None:
        return True
    return abs(today - before) > threshold * max(abs(before), _LEAST_FACT)
