from collections.abc import Callable
from typing import Any

import pytest
import torch

from counterpoint.graph.views import TrainingGraph
from counterpoint.models import BLOCKS, SINGLE_TASK, Model, SharingSettings, make_model
from counterpoint.models.contract import Step
from counterpoint.nn.encoders import EncoderSettings

SHARING = SharingSettings(width=5, experts=3, tower_width=8, dephn={"fields": 2})
# a binary task on pairs, its child in the funnel, classes and labels of nodes
TASKS = ("click", "buy", "topic", "tags")


@pytest.fixture(scope="session")
def make_tiny(market_graph: TrainingGraph) -> Callable[..., Model]:
    """Make an architecture over an encoder for some tasks of the market, all unless named."""

    def tiny(
        architecture: str,
        encoder: str,
        tasks: tuple[str, ...] = (),
        *,
        layers: int = 2,
        encoder_width: int = 4,
        field_width: int = 8,
        graph: TrainingGraph | None = None,
        **sharing: Any,
    ) -> Model:
        meta = (graph or market_graph).meta
        chosen = {name: meta.tasks[name] for name in tasks or meta.tasks}
        settings = EncoderSettings(width=encoder_width, layers=layers, field_width=field_width)
        shape = SHARING.model_copy(update=sharing)
        return make_model(architecture, encoder, meta, chosen, settings, shape)

    return tiny


@pytest.fixture
def tasks(architecture: str) -> tuple[str, ...]:
    """The tasks that a test of every architecture has."""
    return TASKS[:1] if architecture == SINGLE_TASK else TASKS


@pytest.fixture
def make_pair(
    make_tiny: Callable[..., Model],
    market_step: Callable[..., Step],
    architecture: str,
    encoder: str,
    tasks: tuple[str, ...],
) -> Callable[..., tuple[Model, Step]]:
    """Make a model with so many layers, and a step for it."""

    def pair(layers: int) -> tuple[Model, Step]:
        torch.manual_seed(0)
        # of four ReLUs all may be off at once for nodes as alike as these
        width = 8 if architecture in BLOCKS else 4
        model = make_tiny(architecture, encoder, tasks, layers=layers, encoder_width=width)
        whole = market_step(model.depth)
        return model, Step({name: whole.batches[name] for name in tasks})

    return pair
