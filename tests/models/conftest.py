from collections.abc import Callable
from typing import Any

import pytest

from counterpoint.graph.views import TrainingGraph
from counterpoint.models import Model, SharingSettings, make_model
from counterpoint.nn.encoders import EncoderSettings

SHARING = SharingSettings(width=5, experts=3, tower_width=8, dephn={"fields": 2})


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
        **sharing: Any,
    ) -> Model:
        meta = market_graph.meta
        chosen = {name: meta.tasks[name] for name in tasks or meta.tasks}
        settings = EncoderSettings(width=encoder_width, layers=layers, field_width=field_width)
        shape = SHARING.model_copy(update=sharing)
        return make_model(architecture, encoder, meta, chosen, settings, shape)

    return tiny
