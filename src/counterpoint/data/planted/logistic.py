"""Planted customers of a carrier with two nested rare tasks: a stand-in for InLINE's Logistic."""

from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from counterpoint.data.planted.config import PlantedGraphConfig, Rate, Size, refuse_child_above_half
from counterpoint.data.planted.hidden_graph import HiddenGraph, PlantedRelation, Reals, hidden_graph
from counterpoint.data.planted.importance import Importance, at_cosine, weighed_signals
from counterpoint.data.planted.labels import calibrated_biases, drawn_labels, probabilities
from counterpoint.data.planted.streams import random_stream
from counterpoint.data.planted.tables import (
    graph_tables,
    node_types,
    static_relations,
    truth,
    write_node_tasks,
)
from counterpoint.data.schema import DataSchema, Split, Task, TaskKind


class LogisticConfig(PlantedGraphConfig):
    """All dials of a planted carrier.

    ``relatedness`` is the cosine of the relation importances of interest and contract. Contracts
    are capped by interest, which makes the labels more alike than that: the less, the higher
    ``interest_rate`` and ``temperature``. ``skew`` is that of stations and companies.
    """

    customers: Size = 40_000
    accounts: Size = 40_000
    stations: Size = 400
    companies: Size = 4_000
    interest_rate: Rate = 0.02
    contract_rate: Rate = 0.005
    temperature: Annotated[float, Field(ge=0.05, le=20)] = 0.2
    split: Split = Split(by="time", valid=0.15, test=0.35)

    @model_validator(mode="after")
    def _contracts_are_of_the_interested(self) -> Self:
        refuse_child_above_half("contract", self.contract_rate, "interest", self.interest_rate)
        return self

    @property
    def sizes(self) -> dict[str, int]:
        """Number of nodes of each type."""
        return {
            "customer": self.customers,
            "account": self.accounts,
            "station": self.stations,
            "company": self.companies,
        }

    @property
    def rates(self) -> dict[str, float]:
        """Share of positives of each task, parents first."""
        return {"interest": self.interest_rate, "contract": self.contract_rate}


RELATIONS = {
    "belongs": PlantedRelation("account", "customer", by_popularity=False),
    "served_by": PlantedRelation("customer", "station"),
    "works_for": PlantedRelation("customer", "company"),
    "knows": PlantedRelation("customer", "customer", 1, by_popularity=False),
    "partner_of": PlantedRelation("company", "company", 2),
}
PARENTS = {"contract": "interest"}

# by which relations a signal reaches the customer; the company's partners speak through it
PATHS = {
    "belongs": ("belongs",),
    "served_by": ("rev-served_by",),
    "works_for": ("rev-works_for",),
    "knows": ("rev-knows",),
    "partner_of": ("rev-partner_of", "rev-works_for"),
}

# Two orthonormal directions in the space of signals (columns as in PATHS).
_BY_PERSON = np.array([1, 0, 0, 1, 0]) / np.sqrt(2)
_BY_FIRM = np.array([0, 1, 1, 0, 1]) / np.sqrt(3)


def signal_importance(relatedness: float) -> Importance:
    """Unit vectors of the tasks, by signal; their cosine is ``relatedness``."""
    vectors = {"interest": _BY_PERSON, "contract": at_cosine(_BY_PERSON, _BY_FIRM, relatedness)}
    return {task: dict(zip(PATHS, v.tolist(), strict=True)) for task, v in vectors.items()}


def logistic_schema(config: LogisticConfig) -> DataSchema:
    """``dataset.yaml``: both tasks are targets on customers."""
    return DataSchema(
        name="planted_logistic",
        description="A carrier's customers with a planted truth: what each relation is worth.",
        node_types=node_types(config),
        relations=static_relations(RELATIONS),
        tasks={
            "interest": Task(kind=TaskKind.BINARY, entity="customer"),
            "contract": Task(kind=TaskKind.BINARY, entity="customer", parent="interest"),
        },
        split=config.split,
    )


def customer_logits(config: LogisticConfig, graph: HiddenGraph) -> dict[str, Reals]:
    """Logits without bias ``[customers]`` of each task, of standard deviation 1 / temperature."""
    importance = signal_importance(config.relatedness)
    weighed = weighed_signals(graph, PATHS, importance, config.temperature)
    scale = np.float32(config.latent_width**-0.5)
    return {task: signals.sum(1) * scale for task, signals in weighed.items()}


def write_logistic(config: LogisticConfig, target_folder: Path) -> None:
    """Write the data set of ``config`` into the existing, empty ``target_folder``."""
    import polars as pl

    graph = hidden_graph(config, RELATIONS)
    logits = customer_logits(config, graph)
    biases = calibrated_biases(logits, config.rates, PARENTS)
    bayes = probabilities(logits, biases, PARENTS)
    labels = drawn_labels(bayes, PARENTS, random_stream(config.seed, "labels"))
    rates = {
        task: {
            "expected": float(bayes[task].mean(dtype=np.float64)),
            "achieved": float(labels[task].mean()),
        }
        for task in biases
    }
    rows = {task: (pl.Series(labels[task]), bayes[task]) for task in biases}
    found = truth(config, signal_importance(config.relatedness), biases, rates)
    found["paths"] = PATHS
    tables = graph_tables(config, graph)
    write_node_tasks(config, target_folder, logistic_schema(config), tables, rows, found)
