import pytest
import torch
from sklearn.metrics import log_loss
from torch.nn import functional as F

from counterpoint.data.schema import Task, TaskKind
from counterpoint.errors import UserError
from counterpoint.models.contract import (
    Model,
    Output,
    Step,
    TaskBatch,
    make_towers,
    per_example_loss,
    probabilities,
)

GENERATOR = torch.Generator().manual_seed(0)
ONE = torch.randn(6, generator=GENERATOR, dtype=torch.float64) * 3
MANY = torch.randn(6, 4, generator=GENERATOR, dtype=torch.float64) * 3
BINARY = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
CLASSES = torch.tensor([0, 3, 1, 1, 2, 0])
LABELS = (torch.rand(6, 4, generator=GENERATOR) < 0.4).float()


def test_losses_equal_those_of_sklearn():
    p = torch.sigmoid(ONE).numpy()
    expected = [log_loss([y], [q], labels=[0, 1]) for y, q in zip(BINARY.tolist(), p, strict=True)]
    for kind in (TaskKind.BINARY, TaskKind.LINK):
        assert per_example_loss(kind, ONE, BINARY).tolist() == pytest.approx(expected)
    p = MANY.softmax(1).numpy()
    expected = [
        log_loss([y], [q], labels=[0, 1, 2, 3]) for y, q in zip(CLASSES.tolist(), p, strict=True)
    ]
    assert per_example_loss(TaskKind.MULTICLASS, MANY, CLASSES).tolist() == pytest.approx(expected)
    p = torch.sigmoid(MANY).numpy()
    expected = [
        sum(log_loss([y], [q], labels=[0, 1]) for y, q in zip(ys, qs, strict=True)) / 4
        for ys, qs in zip(LABELS.tolist(), p, strict=True)
    ]
    assert per_example_loss(TaskKind.MULTILABEL, MANY, LABELS).tolist() == pytest.approx(expected)


def test_squared_error():
    found = per_example_loss(TaskKind.REGRESSION, ONE, BINARY)
    torch.testing.assert_close(found, F.mse_loss(ONE, BINARY.double(), reduction="none"))


@pytest.mark.parametrize("kind", TaskKind)
def test_losses_of_no_rows(kind):
    many = kind in (TaskKind.MULTICLASS, TaskKind.MULTILABEL)
    labels = {TaskKind.MULTICLASS: CLASSES, TaskKind.MULTILABEL: LABELS}.get(kind, BINARY)
    logits = (MANY if many else ONE)[:0].clone().requires_grad_()
    loss = per_example_loss(kind, logits, labels[:0])
    assert loss.shape == (0,)
    loss.sum().backward()


def test_extreme_logits_stay_finite():
    logits = torch.tensor([1e4, -1e4])
    loss = per_example_loss(TaskKind.BINARY, logits, torch.tensor([0.0, 1.0]))
    assert loss.tolist() == [1e4, 1e4]


def test_probabilities():
    assert torch.equal(probabilities(TaskKind.BINARY, ONE), torch.sigmoid(ONE))
    assert torch.equal(probabilities(TaskKind.LINK, ONE), torch.sigmoid(ONE))
    assert torch.equal(probabilities(TaskKind.MULTILABEL, MANY), torch.sigmoid(MANY))
    assert torch.equal(probabilities(TaskKind.REGRESSION, ONE), ONE)
    rows = probabilities(TaskKind.MULTICLASS, MANY)
    torch.testing.assert_close(rows.sum(1), torch.ones(6).double())
    assert torch.equal(rows.argmax(1), MANY.argmax(1))


@pytest.mark.parametrize(
    ("task", "shape"),
    [
        (Task(kind=TaskKind.BINARY, entity="user"), (6,)),
        (Task(kind=TaskKind.REGRESSION, entity="user"), (6,)),
        (Task(kind=TaskKind.MULTICLASS, entity="user", classes=3), (6, 3)),
        (Task(kind=TaskKind.MULTILABEL, entity="user", classes=3), (6, 3)),
        # one class keeps its axis, as its labels [n, 1] do
        (Task(kind=TaskKind.MULTILABEL, entity="user", classes=1), (6, 1)),
    ],
)
def test_shapes_of_node_towers(task, shape):
    (tower,) = make_towers({"t": task}, 4, 3).children()
    assert tower(MANY.float()).shape == shape


@pytest.mark.parametrize(
    "task",
    [
        Task(kind=TaskKind.REGRESSION, entity="user"),
        Task(kind=TaskKind.MULTILABEL, entity="user", classes=1),
        Task(kind=TaskKind.BINARY, entity=("user", "item")),
    ],
)
def test_a_lone_logit_is_not_normalised(task):
    with pytest.raises(UserError, match=r"normalise_logits: task t has one number a row"):
        make_towers({"t": task}, 4, 3, normalise=True)


def test_each_distinct_view_is_encoded_once(make_tiny, market_step):
    model = make_tiny("shared_bottom", "gcn").eval()
    first, second = market_step(2), market_step(2)
    seen = []
    encode = model.encode

    def counted(view):
        seen.append(id(view))
        return encode(view)

    model.encode = counted
    batches = {name: (second if name == "topic" else first).batches[name] for name in first.batches}
    logits = model(Step(batches)).logits
    assert seen == [id(first.batches["buy"].view), id(second.batches["topic"].view)]
    assert list(logits) == list(first.batches)


def test_penalties_of_a_model_come_with_its_logits():
    class Penalised(Model):
        def __init__(self):
            super().__init__()
            self.tasks = {"t": Task(kind=TaskKind.BINARY, entity="user")}
            self.towers = make_towers(self.tasks, 4, 3)

        @property
        def depth(self):
            return 0

        def encode(self, view):
            return {"t": MANY.float()}

        def trunk(self, view):
            return MANY.float()

        @property
        def trunk_width(self):
            return 1

        def trunk_names(self):
            return []

        def parameter_groups(self):
            return {}

        def penalties(self, representations, batches):
            return {"size": representations["t"].square().mean()}

    batch = TaskBatch("t", object(), torch.arange(6), BINARY)
    output: Output = Penalised()(Step({"t": batch}))
    assert output.penalties["size"] == MANY.float().square().mean()
