"""Every architecture keeps the contract over every encoder, and every weighting over each."""

import pytest
import torch
from torch.func import functional_call

from counterpoint.models import ARCHITECTURES, BLOCKS, SINGLE_TASK, fitting_encoders
from counterpoint.models.checks import check_model, in_float64
from counterpoint.models.contract import Step, number_of, per_example_loss
from counterpoint.nn.encoders import ENCODERS
from counterpoint.nn.hgt import HGT
from counterpoint.weighting import WEIGHTINGS, Losses, Problem, make_weighting
from counterpoint.weighting.checks import check_weighting

# a binary task on pairs, its child in the funnel, classes and labels of nodes
TASKS = ("click", "buy", "topic", "tags")
# these meet every weighting; to a weighting the others differ in names alone, and meet one a kind
THOROUGH = (SINGLE_TASK, "shared_bottom", "mmoe")
ONE_A_KIND = ("fixed", "uncertainty", "gradnorm", "aux_ts", "upgrad")
# these tasks have no auxiliary on pairs, so selar_hint is selar here: tests/weighting holds it to
# the contract with hints, tests/training/test_hints.py trains it with every architecture
SETTINGS = {name: {"hidden": 8} for name in ("aux_ts", "selar", "selar_hint")}


@pytest.fixture(params=ARCHITECTURES)
def architecture(request):
    return request.param


@pytest.fixture(params=ENCODERS)
def encoder(request, architecture):
    if request.param not in fitting_encoders(architecture):
        pytest.skip(f"{architecture} is not made of the layers of {request.param}")
    return request.param


@pytest.fixture
def tasks(architecture):
    return TASKS[:1] if architecture == SINGLE_TASK else TASKS


@pytest.fixture
def make_pair(make_tiny, market_step, architecture, encoder, tasks):
    """Make a model with so many layers, and a step for it."""

    def pair(layers):
        torch.manual_seed(0)
        # of four ReLUs all may be off at once for nodes as alike as these
        width = 8 if architecture in BLOCKS else 4
        model = make_tiny(architecture, encoder, tasks, layers=layers, encoder_width=width)
        whole = market_step(model.depth)
        return model, Step({name: whole.batches[name] for name in tasks})

    return pair


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


# what a weighting is given, losses and named parameters, does not tell encoders apart
@pytest.mark.parametrize("encoder", ["gcn"])
@pytest.mark.parametrize(
    ("architecture", "weighting"),
    [
        (architecture, weighting)
        for architecture in ARCHITECTURES
        for weighting in (WEIGHTINGS if architecture in THOROUGH else ONE_A_KIND)
    ],
)
def test_weighting(make_pair, tasks, reverse_aux_ts, weighting):
    model, step = make_pair(layers=1)
    model, step = model.double().eval(), in_float64(step)
    kinds = {name: model.tasks[name].kind for name in tasks}
    labels = {name: step.batches[name].label for name in tasks}
    numbers = {name: number_of(kinds[name], label) for name, label in labels.items()}

    def losses(parameters):
        output = functional_call(model, dict(parameters), (step,))
        per_example = {
            name: per_example_loss(kinds[name], found, labels[name])
            for name, found in output.logits.items()
        }
        return Losses(per_example, sum(output.penalties.values()), numbers)

    own = dict(model.named_parameters())
    problem = Problem(losses, losses, own, model.parameter_groups(), learning_rate=0.01)
    settings = SETTINGS.get(weighting, {})
    check_weighting(
        lambda tasks, targets: make_weighting(weighting, tasks, targets, settings),
        problem,
        tasks[:2],
        reorder=reverse_aux_ts if weighting in SETTINGS else None,
    )
