"""That check_model can fail: an architecture for each fault that it is there to find."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from counterpoint.models import SharingSettings
from counterpoint.models.checks import check_model
from counterpoint.models.contract import Output, Representations, Step
from counterpoint.models.shared_bottom import SharedBottom
from counterpoint.nn.encoders import EncoderSettings, GraphEncoder
from counterpoint.nn.heads import PairFactors

PAIR, NODE = "click", "topic"


class Sound(SharedBottom):
    """Nothing is wrong with it."""


class UngroupedParameter(SharedBottom):
    def parameter_groups(self):
        groups = super().parameter_groups()
        return {**groups, "tower:topic": groups["tower:topic"][1:]}


class ParameterInTwoGroups(SharedBottom):
    def parameter_groups(self):
        groups = super().parameter_groups()
        return {**groups, "tower:topic": [*groups["tower:topic"], groups["shared"][0]]}


class LastSharedInATower(SharedBottom):
    def parameter_groups(self):
        groups = super().parameter_groups()
        return {**groups, "last_shared": groups["tower:topic"]}


class NoLastShared(SharedBottom):
    def parameter_groups(self):
        return {**super().parameter_groups(), "last_shared": []}


class GroupOfNobody(SharedBottom):
    def parameter_groups(self):
        return {**super().parameter_groups(), "tower:nobody": []}


class ColumnOfLogits(SharedBottom):
    def score(self, representations, batch):
        logits = super().score(representations, batch)
        return logits[:, None] if batch.task == PAIR else logits


class InfiniteLogits(SharedBottom):
    def score(self, representations, batch):
        return super().score(representations, batch) / 0


class DropoutInEvaluation(SharedBottom):
    def mix(self, h):
        return super().mix(F.dropout(h, 0.5, training=True))


class RowsNormalisedOverTheBatch(SharedBottom):
    def score(self, representations, batch):
        logits = super().score(representations, batch)
        return logits - logits.mean(0)


class TransposedBatch(SharedBottom):
    """Mixes rows as a stack of experts does that is reshaped along the wrong axis."""

    def score(self, representations, batch):
        logits = super().score(representations, batch)
        return logits.T.reshape(logits.shape) if logits.ndim == 2 else logits


class SeesOtherTasks(SharedBottom):
    def forward(self, step):
        logits = super().forward(step).logits
        others = logits[NODE].detach().mean() if NODE in logits else 0
        return Output({task: x + (task == PAIR) * others for task, x in logits.items()})


class BorrowsATower(SharedBottom):
    def score(self, representations, batch):
        logits = super().score(representations, batch)
        if batch.task != PAIR:
            return logits
        return logits + self.towers[NODE](representations[NODE])[batch.entity[:, 0], 0]


class DetachedEncoder(SharedBottom):
    def encode(self, view):
        return self.mix(self.encoder(view).detach())


class PositionsOfEdges(SharedBottom):
    def encode(self, view):
        csr = view.blocks[0].csr
        places = csr.dst.new_zeros(csr.n_dst).index_add(
            0, csr.dst, csr.indices * torch.arange(csr.n_edges)
        )
        return self.mix(self.encoder(view) + 1e-6 * places[:, None])


class MeanOfNothing(SharedBottom):
    def encode(self, view):
        degree = view.blocks[0].csr.indptr.diff().double()
        return self.mix(self.encoder(view) * (degree / degree).sqrt()[:, None])


class KeepsReferences(SharedBottom):
    """What keeps a weight beside the module does not see the virtual step."""

    def __init__(self, *args):
        super().__init__(*args)
        self.kept = [self.sharing[0].weight]

    def mix(self, h: Tensor) -> Representations:
        bottom = self.sharing(h) + h @ self.kept[0].T
        return dict.fromkeys(self.tasks, bottom)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return 2 * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad

    @staticmethod
    def jvp(ctx, tangent):
        return 3 * tangent


class NoForwardMode(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return 2 * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


class WrongForwardMode(SharedBottom):
    def mix(self, h):
        return super().mix(Doubled.apply(h))


class WithoutForwardMode(SharedBottom):
    def mix(self, h):
        return super().mix(NoForwardMode.apply(h))


class FactorsWithoutBias(SharedBottom):
    def pair_factors(self, h, task, side):
        factors = super().pair_factors(h, task, side)
        return PairFactors(factors.vector, torch.zeros_like(factors.bias))


class InfiniteInTraining(SharedBottom):
    def mix(self, h):
        return super().mix(h / (not self.training))


class PenaltyARow(SharedBottom):
    def penalties(self, representations, batches):
        return {"size": representations[PAIR].square().sum(1)}


FAULTS = [
    (UngroupedParameter, "parameter towers.*topic.* is in 0 of shared and the towers"),
    (ParameterInTwoGroups, "parameter encoder.* is in 2 of shared and the towers"),
    (LastSharedInATower, "last_shared, but not shared"),
    (NoLastShared, "last_shared is empty"),
    (GroupOfNobody, "groups .*nobody"),
    (ColumnOfLogits, r"logits of click are \[12, 1\], not \[12\]"),
    (InfiniteLogits, "logits of .* are not finite"),
    (DropoutInEvaluation, "differ between two calls"),
    (RowsNormalisedOverTheBatch, "logits of some rows of"),
    (TransposedBatch, "logits of permuted rows of"),
    (SeesOtherTasks, "logits of click change when the step holds no other task"),
    (BorrowsATower, "the loss of click reaches the tower of topic"),
    (DetachedEncoder, "no loss reaches the shared encoder"),
    (PositionsOfEdges, "depend on the order of edges"),
    (MeanOfNothing, "not finite where a scored node has no edge"),
    (KeepsReferences, "are not those of a model that has them"),
    (WrongForwardMode, "jvp of the losses of .* is not their difference quotient"),
    (WithoutForwardMode, "jvp of the losses fails"),
    (FactorsWithoutBias, "pair_factors of .* do not give its score"),
    (InfiniteInTraining, "not finite in training mode"),
    (PenaltyARow, "penalty size is not one finite number"),
]


@pytest.fixture
def make_broken(market_graph):
    def broken(kind):
        torch.manual_seed(0)
        meta = market_graph.meta
        encoder = GraphEncoder("gcn", meta, EncoderSettings(width=4, layers=1))
        tasks = {name: meta.tasks[name] for name in (PAIR, NODE)}
        return kind(encoder, tasks, SharingSettings(width=5, tower_width=4))

    return broken


@pytest.fixture
def step(market_step):
    whole = market_step(1)
    return Step({name: whole.batches[name] for name in (PAIR, NODE)})


def test_a_sound_model_passes(make_broken, step):
    check_model(make_broken(Sound), step)


@pytest.mark.parametrize(("kind", "message"), FAULTS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_broken_model_is_caught(make_broken, step, kind, message):
    with pytest.raises(AssertionError, match=message):
        check_model(make_broken(kind), step)


def test_a_parameter_that_cannot_learn_here_is_named(make_broken, step):
    model = make_broken(Sound)
    model.sharing.unused = torch.nn.Parameter(torch.zeros(3))
    with pytest.raises(AssertionError, match=r"no loss reaches the shared sharing\.unused"):
        check_model(model, step)
    check_model(model, step, idle=["sharing.unused"])


def test_the_callers_model_and_step_stay_as_they_are(make_broken, step):
    model = make_broken(Sound)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    check_model(model, step)
    assert torch.equal(torch.get_rng_state(), random)
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])
    assert all(parameter.grad is None for parameter in model.parameters())
    assert step.batches[PAIR].label.dtype == torch.float32
