import numpy as np
import pytest
import torch

from counterpoint.data.schema import Task, TaskKind
from counterpoint.models.contract import TaskBatch
from counterpoint.models.dephn_settings import VirtualGradientSettings
from counterpoint.models.virtual_gradient import (
    LabelCorrelation,
    coefficients,
    with_virtual_gradient,
)

GENERATOR = torch.Generator().manual_seed(0)
GATES = torch.randn(3, 4, generator=GENERATOR, dtype=torch.float64)
CORRELATION = torch.tensor([[0, 0.2, 0.9], [0.2, 0, 0.5], [0.9, 0.5, 0]], dtype=torch.float64)
SHAPES = ("cosine", "absolute", "square", "root")
COMBINATIONS = ("additive", "multiplicative")
VIEW = object()


def settings(**values):
    return VirtualGradientSettings(**values)


def printed_form(combination, shape, x, y):
    """The eight candidates as they are printed (with |.| under the roots)."""
    s = x + y if combination == "additive" else 2 * x * y
    if shape == "cosine":
        return np.cos(np.pi * s) + 1
    return {"absolute": 2 * abs(s - 1), "square": 2 * (s - 1) ** 2, "root": 2 * abs(s - 1) ** 0.5}[
        shape
    ]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("combination", COMBINATIONS)
def test_coefficients_are_products_of_the_printed_forms(combination, shape):
    found = coefficients(GATES, CORRELATION, settings(combination=combination, shape=shape))
    for t in range(3):
        for k in range(4):
            expected = 1.0
            for j in range(3):
                if j != t:
                    y = min(1, abs(float(GATES[t, k] - GATES[j, k])))
                    expected *= printed_form(combination, shape, float(CORRELATION[j, t]), y)
            assert float(found[t, k]) == pytest.approx(expected, abs=1e-12)


def test_one_task_has_coefficients_of_one():
    assert torch.equal(coefficients(GATES[:1], CORRELATION[:1, :1], settings()), torch.ones(1, 4))


@pytest.mark.parametrize("shape", SHAPES)
def test_additive_forms_freeze_gates_where_correlation_and_difference_make_one(shape):
    gates = torch.tensor([[0.5], [0.5]], dtype=torch.float64)
    equal = torch.ones(2, 2, dtype=torch.float64)
    assert coefficients(gates, equal, settings(shape=shape)).abs().max() < 1e-12
    apart = torch.tensor([[0.5], [-0.25]], dtype=torch.float64)
    assert coefficients(apart, equal / 4, settings(shape=shape)).abs().max() < 1e-12
    held = coefficients(gates, equal, settings(shape=shape, floor=0.05))
    torch.testing.assert_close(held, torch.full_like(held, 0.05))


def test_the_forward_is_the_gate_to_the_bit_and_the_gradient_the_coefficient():
    gates = GATES.clone().requires_grad_()
    gamma = coefficients(gates, CORRELATION, settings())
    found = with_virtual_gradient(gates, gamma)
    assert torch.equal(found, gates)
    weight = torch.randn(3, 4, generator=GENERATOR, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((weight * found.sin()).sum(), gates)
    torch.testing.assert_close(gradient, gamma * weight * GATES.cos(), rtol=0, atol=1e-12)


def test_the_printed_recipe_is_another_gradient():
    """METHODS D.4: of 3 G gamma / sg(gamma), at G = (.3, -.2), x = .2."""
    gates = torch.tensor([[0.3], [-0.2]], dtype=torch.float64, requires_grad=True)
    gamma = torch.cos(torch.pi * (0.2 + (gates[0] - gates[1]).abs())) + 1
    (printed,) = torch.autograd.grad((3 * gates[0] * gamma / gamma.detach()).sum(), gates)
    assert printed.flatten().tolist() == pytest.approx([-2.55, 5.55], abs=0.005)
    correlation = torch.full((2, 2), 0.2, dtype=torch.float64)
    mine = with_virtual_gradient(gates, coefficients(gates, correlation, settings(shape="cosine")))
    (right,) = torch.autograd.grad((3 * mine[0]).sum(), gates)
    assert right.flatten().tolist() == pytest.approx([1.24, 0], abs=0.005)


def label_batches(entities, labels):
    return {
        name: TaskBatch(name, VIEW, torch.as_tensor(entity), torch.as_tensor(label))
        for (name, entity), label in zip(entities.items(), labels, strict=True)
    }


def correlation_of(kinds, **values):
    tasks = {name: Task(kind=kind, entity="user", classes=None) for name, kind in kinds.items()}
    return LabelCorrelation(tasks, settings(**values))


TWO = {"a": TaskKind.BINARY, "b": TaskKind.REGRESSION}


@pytest.mark.parametrize("kind", ["pearson", "cosine"])
def test_correlation_of_a_batch(kind):
    a = (torch.rand(40, generator=GENERATOR) < 0.3).float()
    b = torch.randn(40, generator=GENERATOR) - a
    known = correlation_of(TWO, correlation=kind, memory=0)
    known.observe(label_batches({"a": range(40), "b": range(40)}, (a.flip(0), b)))
    known.observe(label_batches({"a": range(40), "b": range(40)}, (a, b)))
    x, y = a.double().numpy(), b.double().numpy()
    expected = {
        "pearson": abs(np.corrcoef(x, y)[0, 1]),
        "cosine": abs(x @ y) / np.linalg.norm(x) / np.linalg.norm(y),
    }[kind]
    assert known().tolist() == [[0, pytest.approx(expected)], [pytest.approx(expected), 0]]


def test_rows_are_matched_by_entity():
    a, b = torch.tensor([1.0, 0, 1, 0]), torch.tensor([2.0, 9.0, 1.0, 0.0])
    known = correlation_of(TWO, memory=0)
    pairs_a = [[0, 5], [0, 6], [1, 5], [2, 7]]
    pairs_b = [[1, 5], [8, 8], [0, 6], [0, 5]]
    known.observe(label_batches({"a": pairs_a, "b": pairs_b}, (a, b)))
    expected = abs(np.corrcoef([1, 0, 1], [0, 1, 2])[0, 1])
    assert float(known()[0, 1]) == pytest.approx(expected)


def test_what_is_not_known_is_zero():
    known = correlation_of(TWO)
    assert not known().any()
    known.observe(label_batches({"a": [0, 1], "b": [2, 3]}, (torch.ones(2), torch.ones(2))))
    known.observe(label_batches({"a": [0, 1], "b": [[0, 1]]}, (torch.ones(2), torch.ones(1))))
    assert not known().any()
    known.observe(label_batches({"a": [0, 1, 2]}, (torch.ones(3),)))  # b has no batch
    constant = (torch.zeros(3), torch.tensor([1.0, 2, 3]))
    known.observe(label_batches({"a": [0, 1, 2], "b": [0, 1, 2]}, constant))
    assert not known().any()
    assert known().isfinite().all()


def test_a_rare_label_is_remembered_between_its_positives():
    a = torch.zeros(4000)
    a[::500] = 1.0
    b = torch.where(a == 1, 1.0, (torch.rand(4000, generator=GENERATOR) < 0.01).float())
    known, batch = correlation_of(TWO, memory=0.999), correlation_of(TWO, memory=0)
    for start in range(0, 4000, 100):
        rows = range(start, start + 100)
        labels = (a[start : start + 100], b[start : start + 100])
        for correlation in (known, batch):
            correlation.observe(label_batches({"a": rows, "b": rows}, labels))
    assert float(batch()[0, 1]) == 0  # the last batch has no positive
    assert float(known()[0, 1]) == pytest.approx(np.corrcoef(a, b)[0, 1], abs=0.03)
