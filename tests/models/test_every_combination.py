"""Every architecture keeps the contract over every encoder."""

import pytest
import torch

from counterpoint.models import ARCHITECTURES, fitting_encoders
from counterpoint.models.checks import check_model
from counterpoint.nn.encoders import ENCODERS
from counterpoint.nn.hgt import HGT


@pytest.fixture(params=ARCHITECTURES)
def architecture(request):
    return request.param


@pytest.fixture(params=ENCODERS)
def encoder(request, architecture):
    if request.param not in fitting_encoders(architecture):
        pytest.skip(f"{architecture} is not made of the layers of {request.param}")
    return request.param


def test_model(make_pair, encoder):
    # without messages nobody hears of shops, and no task is about them
    model, step = make_pair(layers=2)
    of_shops = [name for name, _ in model.named_parameters() if "types.[shop]" in name]
    idle = [] if model.depth else of_shops
    if encoder == "hgt":  # nor is anything read off what the last layer makes of types not scored
        idle += idle_in_last_hgt(model, scored_types(model, step))
    check_model(model, step, idle=idle)


def scored_types(model, step):
    """Places of the node types that some batch scores."""
    order = ["user", "item", "shop"]
    return {str(order.index(t)) for b in step.batches for t in model.tasks[b].node_types}


def idle_in_last_hgt(model, types):
    """Names of the last layer's maps that only lead to types not scored, in each of its HGTs."""
    found = []
    for name, layer in model.named_modules():
        if not isinstance(layer, HGT) or "layers.1" not in name:
            continue
        heard = {str(src) for src, dst in layer.relations if str(dst) in types}
        used = {"query": types, "out": types, "key": heard, "value": heard}
        found += [
            f"{name}.{part}.maps.{t}.{kind}"
            for part, known in used.items()
            for t in range(len(layer.key.maps))
            if str(t) not in known
            for kind in ("weight", "bias")
        ]
    return found


def test_model_in_bfloat16(make_pair):
    model, step = make_pair(layers=2)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(step).logits
    loss = sum(found.float().square().mean() for found in logits.values())
    gradients = torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)
    for (name, parameter), gradient in zip(model.named_parameters(), gradients, strict=True):
        assert gradient.dtype == parameter.dtype == torch.float32, name
        assert gradient.isfinite().all(), name
