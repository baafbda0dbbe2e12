"""With the same seed all models start from the same embeddings, whatever stands above them."""

import pytest
import torch

from counterpoint.models import ARCHITECTURES, BLOCKS, SINGLE_TASK, fitting_encoders
from counterpoint.nn.encoders import ENCODERS
from counterpoint.nn.field_encoders import BRANCHES

TASKS = ("click", "buy", "topic", "tags")
FIELDS = ("fields", *BRANCHES)
GRAPH = tuple(encoder for encoder in ENCODERS if encoder not in FIELDS)


@pytest.fixture
def make(make_tiny):
    """Make a model from one seed, a twin of the first task alone."""

    def seeded(architecture, encoder):
        torch.manual_seed(5)
        return make_tiny(architecture, encoder, TASKS[:1] if architecture == SINGLE_TASK else TASKS)

    return seeded


def same(found, expected):
    found, expected = dict(found.named_parameters()), dict(expected.named_parameters())
    return list(found) == list(expected) and all(torch.equal(found[n], expected[n]) for n in found)


def fitting(architecture, encoders):
    return [encoder for encoder in encoders if encoder in fitting_encoders(architecture)]


@pytest.mark.parametrize(
    ("architecture", "encoders"),
    [(a, encoders) for a in ARCHITECTURES for encoders in (GRAPH, FIELDS) if fitting(a, encoders)],
)
def test_all_models_start_from_the_same_embeddings(make, architecture, encoders):
    """Of sums of features, or of fields; over every encoder of the kind that fits."""
    expected = make("shared_bottom", encoders[0]).encoder.input
    assert all(p.any() for n, p in expected.named_parameters() if not n.endswith("dense.bias"))
    for encoder in fitting(architecture, encoders):
        model = make(architecture, encoder)
        found = model.input if architecture in BLOCKS else model.encoder.input
        assert same(found, expected), encoder


def test_every_architecture_is_compared():
    assert all(fitting(architecture, GRAPH) for architecture in ARCHITECTURES)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_all_sharing_stands_on_the_same_encoder(make, encoder):
    expected = make("shared_bottom", encoder).encoder
    for architecture in ARCHITECTURES:
        if architecture not in BLOCKS:
            assert same(make(architecture, encoder).encoder, expected), architecture
