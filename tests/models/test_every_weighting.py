"""Every weighting keeps the contract with the architectures."""

import pytest
from torch.func import functional_call

from counterpoint.models import ARCHITECTURES, BLOCKS, SINGLE_TASK, fitting_encoders
from counterpoint.models.checks import in_float64
from counterpoint.models.contract import number_of, per_example_loss
from counterpoint.weighting import WEIGHTINGS, Losses, Problem, make_weighting
from counterpoint.weighting.checks import check_weighting
from counterpoint.weighting.checks.case import Case
from counterpoint.weighting.checks.step import (
    fills_every_gradient,
    moves_no_parameter,
    towers_are_only_weighted,
)

# With these every weighting is held to the whole contract; to a weighting the others differ in
# names alone: they are with one of a kind, and every pair takes a step
THOROUGH = (SINGLE_TASK, "shared_bottom", "mmoe")
ONE_A_KIND = ("fixed", "uncertainty", "aux_ts")
# these tasks have no auxiliary on pairs, so selar_hint is selar here: tests/weighting holds it to
# the contract with hints, tests/training/test_hints.py trains it with every architecture
SETTINGS = {name: {"hidden": 8} for name in ("aux_ts", "selar", "selar_hint")}


@pytest.fixture
def encoder(architecture):
    """Of an exchange inside graph layers one that cells take, and whose terms go by relation."""
    if architecture not in BLOCKS:  # losses and named parameters do not tell encoders apart
        return "gcn"
    fitting = fitting_encoders(architecture)
    return "hgn" if "hgn" in fitting else fitting[-1]


def whole_contract(architecture, weighting):
    return architecture in THOROUGH or weighting in ONE_A_KIND


def pairs(whole):
    return pytest.mark.parametrize(
        ("architecture", "weighting"),
        [
            (architecture, weighting)
            for architecture in ARCHITECTURES
            for weighting in WEIGHTINGS
            if whole_contract(architecture, weighting) == whole
        ],
    )


@pytest.fixture
def problem(make_pair, tasks):
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
    return Problem(losses, losses, own, model.parameter_groups(), learning_rate=0.01)


@pytest.fixture
def make(weighting):
    """Make the weighting of some tasks and targets."""
    settings = SETTINGS.get(weighting, {})
    return lambda tasks, targets: make_weighting(weighting, tasks, targets, settings)


@pairs(whole=True)
def test_weighting(problem, make, tasks, reverse_aux_ts, weighting):
    reorder = reverse_aux_ts if weighting in SETTINGS else None
    check_weighting(make, problem, tasks[:2], reorder=reorder)


@pairs(whole=False)
def test_step(problem, make, tasks):
    case = Case(make, problem, tasks, tasks[:2], reorder=None, seed=0)
    for invariant in (fills_every_gradient, moves_no_parameter, towers_are_only_weighted):
        invariant(case)
