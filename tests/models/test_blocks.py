"""Architectures that exchange between graph layers: what each is when there is little to share."""

import re

import pytest
import torch

from counterpoint.errors import UserError
from counterpoint.graph.sampling import NeighbourSampler
from counterpoint.models import BLOCKS, fitting_encoders
from counterpoint.models.checks import in_float64
from counterpoint.models.composed import InlineSettings
from counterpoint.models.contract import Step
from counterpoint.training.settings import cell_named

TASKS = ("click", "buy", "topic")
ALONE = InlineSettings(shared_blocks=0)
MORE_THAN_ANY_DEGREE = 1000


def encoder_of(architecture):
    fitting = fitting_encoders(architecture)
    return "gcn" if "gcn" in fitting else fitting[-1]


@pytest.fixture(params=BLOCKS)
def architecture(request):
    return request.param


def moved(model, spread=0.3):
    """The model in evaluation mode, no parameter of which is at a special value: no even gate."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=spread)
    return model.eval()


def renamed(name):
    """A parameter of the twin as the architecture of one network calls it."""
    for old, new in (
        ("encoder.input.", "input."),
        ("sharing.", "bottoms.[click]."),
        ("encoder.layers.0.", "layers.0.networks.0."),
        ("encoder.layers.1.", "layers.1.networks.0."),
    ):
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def in_blocks(name):
    """The same for InLINE's and StrucHIS's layers."""
    name = renamed(name).replace(".networks.0.linear.", ".experts.0.")
    return name.replace(".networks.0.attention.", ".attention.0.").replace(".networks.", ".blocks.")


def test_one_task_and_nothing_shared_is_the_twin(architecture, make_tiny, market_step):
    encoder = encoder_of(architecture)
    twin = make_tiny("single_task", encoder, ("click",)).double().eval()
    model = make_tiny(architecture, encoder, ("click",), experts=1, inline=ALONE).double().eval()
    rename = in_blocks if architecture in ("inline", "struchis") else renamed
    state = model.state_dict()
    given = {rename(name): value for name, value in twin.state_dict().items()}
    assert set(given) <= set(state)
    state.update(given)
    for name, value in state.items():
        if name.endswith("gates.log_a"):  # a route that is wholly open, and changes nothing
            value.fill_(100.0)
            route = name.removesuffix("gates.log_a") + "weight"
            state[route].copy_(torch.eye(state[route].shape[2])[None, None])
    model.load_state_dict(state)
    view = in_float64(market_step(2)).batches["click"].view
    torch.testing.assert_close(model.encode(view)["click"], twin.encode(view)["click"])


def test_identity_stitches_are_networks_of_their_own(make_tiny, market_step):
    model = make_tiny("conv_cross_stitch", "gcn", TASKS).double().eval()
    with torch.no_grad():
        for stitch in model.exchanges:
            stitch.weight.copy_(torch.eye(3))
    view = in_float64(market_step(2)).batches["click"].view
    found = model.encode(view)["buy"].sum()
    gradients = torch.autograd.grad(found, list(model.layers.parameters()), allow_unused=True)
    names = [name for name, _ in model.layers.named_parameters()]
    reached = {n for n, g in zip(names, gradients, strict=True) if g is not None and g.any()}
    assert reached == {name for name in names if ".networks.1." in name}


def test_uniform_gates_average_the_stacks(make_tiny, market_step):
    model = make_tiny("conv_mmoe", "gcn", TASKS, experts=3).double().eval()
    view = in_float64(market_step(2)).batches["click"].view
    kept, model.exchanges[-1] = model.exchanges[-1], torch.nn.Identity()
    stacks = model.states(view)
    model.exchanges[-1] = kept
    for place in range(3):
        torch.testing.assert_close(model.states(view)[:, place], stacks.mean(1))


def test_ple_is_inline_without_an_inner_layer(make_tiny, market_step):
    settings = InlineSettings(disentangled_layers=0)
    inline = make_tiny("inline", "hgn", TASKS, inline=settings).double().eval()
    ple = make_tiny("conv_ple", "hgn", TASKS).double().eval()
    ple.load_state_dict(inline.state_dict())
    view = in_float64(market_step(2)).batches["click"].view
    for task, h in inline.encode(view).items():
        torch.testing.assert_close(ple.encode(view)[task], h)


def test_an_inner_layer_and_an_outer_exchange_compose(make_tiny, market_step):
    settings = InlineSettings(disentangled_layers=1)
    model = moved(make_tiny("inline", "hgn", TASKS, inline=settings).double())
    view = in_float64(market_step(2)).batches["click"].view
    first, second = view.blocks
    h = model.input(view)
    states = torch.stack([h] * 4, 1)  # of three tasks and a shared block
    states = states + model.layers[0](first, states).relu()
    networks = zip(model.layers[1].networks, states.unbind(1), strict=True)
    after = [own + made(second, own) for made, own in networks]  # the last layer has no ReLU
    for place, (task, found) in enumerate(model.encode(view).items()):
        gate = model.exchanges[1].gates[place].linear(states[:, place]).softmax(1)
        mixed = gate[:, :1] * after[place] + gate[:, 1:] * after[3]
        torch.testing.assert_close(found, model.bottoms[task](mixed), rtol=0, atol=1e-10)


@pytest.mark.parametrize("inner", [0, 1, 2, None])
@pytest.mark.parametrize("topology", ["cgc", "mmoe"])
@pytest.mark.parametrize("shared_blocks", [0, 2])
def test_every_depth_and_topology_runs(make_tiny, market_step, inner, topology, shared_blocks):
    settings = InlineSettings(
        disentangled_layers=inner, topology=topology, shared_blocks=shared_blocks
    )
    model = make_tiny("inline", "hgn", TASKS, inline=settings).double()
    found = model.encode(in_float64(market_step(2)).batches["click"].view)
    assert set(found) == set(TASKS)
    assert all(h.isfinite().all() for h in found.values())


@pytest.mark.parametrize(("topology", "context"), [("cgc", False), ("mmoe", False), ("cgc", True)])
def test_what_is_private_hears_of_its_task_alone(make_tiny, market_step, topology, context):
    settings = InlineSettings(topology=topology, v1_shared_context=context)
    model = make_tiny("inline", "hgn", TASKS, inline=settings).double()
    groups, own = model.parameter_groups(), dict(model.named_parameters())
    private = [name for name in groups["tower:buy"] if name.startswith("layers.1.")]
    assert any(".gates." in name for name in private)
    assert any(".experts." in name for name in private) == (topology == "cgc")
    view = in_float64(market_step(2)).batches["click"].view
    others = sum(h.sum() for task, h in model.encode(view).items() if task != "buy")
    gradients = torch.autograd.grad(others, [own[name] for name in private], allow_unused=True)
    assert all(gradient is None or not gradient.any() for gradient in gradients)


def test_encoders_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match=r"inline exchanges inside .* encoder gat or hgn"):
        cell_named("inline-gcn-fixed")
    with pytest.raises(UserError, match="struchis exchanges inside graph layers"):
        cell_named("struchis-hgn-fixed")


def test_a_shared_context_needs_a_shared_block():
    with pytest.raises(ValueError, match="v1_shared_context: needs shared_blocks"):
        InlineSettings(shared_blocks=0, v1_shared_context=True)


def test_no_graph_layer_is_refused(make_tiny):
    with pytest.raises(UserError, match=r"train\.encoder\.layers: 0"):
        make_tiny("inline", "hgn", TASKS, layers=0)


@pytest.fixture(params=[False, True], ids=["all edges", "without scored pairs"])
def scored(request, market_graph):
    """Pairs whose edges a view leaves out, or None, and nodes of every type, these among them."""
    meta = market_graph.meta
    alone = [
        start + t.count - 1 for start, t in zip(meta.offsets.values(), meta.node_types, strict=True)
    ]
    nodes = torch.tensor([7, 45, 3, 7, 60, 72, *alone])
    if not request.param:
        return None, nodes
    starts = torch.tensor([meta.offsets["user"], meta.offsets["item"]])
    rows = market_graph.store.rows("click", "train")
    pairs = (torch.from_numpy(rows.entity[rows.label == 1]) + starts)[::5]
    return pairs, torch.cat([nodes, pairs.flatten()])


def test_all_neighbours_give_what_the_whole_graph_gives(
    architecture, make_tiny, market_graph, scored
):
    model = moved(make_tiny(architecture, fitting_encoders(architecture)[-1], TASKS))
    pairs, nodes = scored
    keep = market_graph.kept_edges(pairs)
    sampled = NeighbourSampler(market_graph, (MORE_THAN_ANY_DEGREE,) * 2).view(nodes, 0, keep)
    found, whole = model.encode(sampled), model.encode(market_graph.view(2, keep))
    for task, h in whole.items():
        torch.testing.assert_close(found[task][sampled.local(nodes)], h[nodes])


NUMBERED = re.compile(r"\.(networks|experts|attention|blocks|gates)\.(\d+)\.")


def renumbered(model, order):
    """The state of a model with a network a task for one that has its tasks in ``order``."""
    places = [*order, *range(len(order), model.networks)]  # shared networks stay where they are
    seen = getattr(model, "seen", [range(len(order))] * len(order))
    state, found = model.state_dict(), {}
    for name in state:
        place = NUMBERED.search(name)
        if place is None:
            stitch = name.startswith("exchanges.")
            found[name] = state[name][order][:, order] if stitch else state[name]
            continue
        kind, number = place[1], int(place[2])
        value = state[NUMBERED.sub(f".{kind}.{places[number]}.", name)]
        if kind == "gates":  # an output for each network that the block sees
            columns = [seen[places[number]].index(places[other]) for other in seen[number]]
            if name.endswith(".out"):
                value = value[..., columns]
            elif ".linear." in name:
                value = value[columns]
        found[name] = value
    return found


@pytest.mark.parametrize(
    ("architecture", "topology", "inner"),
    [*((name, "cgc", None) for name in BLOCKS), ("inline", "mmoe", 1), ("conv_ple", "mmoe", None)],
)
def test_the_order_of_tasks_does_not_matter(architecture, make_tiny, market_step, topology, inner):
    settings = InlineSettings(topology=topology, disentangled_layers=inner, shared_blocks=2)
    encoder, order = fitting_encoders(architecture)[-1], [2, 0, 1]
    model, other = (
        make_tiny(architecture, encoder, tasks, inline=settings).double().eval()
        for tasks in (TASKS, tuple(TASKS[place] for place in order))
    )
    named = architecture in ("conv_mmoe", "conv_snr")  # what is a task's goes by its name
    state = moved(model).state_dict() if named else renumbered(moved(model), order)
    other.load_state_dict(state)
    step = in_float64(market_step(2))
    step = Step({task: step.batches[task] for task in TASKS})
    found, expected = other(step).logits, model(step).logits
    for task in TASKS:
        torch.testing.assert_close(found[task], expected[task], rtol=0, atol=1e-10)
