import math

import pytest
import torch

from counterpoint.nn.heads import InnerProduct, NodeTower, NormalisedTower, PairTower, joint_logit

GENERATOR = torch.Generator().manual_seed(0)
SRC, DST = (torch.randn(6, 4, generator=GENERATOR, dtype=torch.float64) for _ in range(2))


def test_node_tower_shapes():
    assert NodeTower(4, 3, None).double()(SRC).shape == (6,)
    assert NodeTower(4, 3, 1).double()(SRC).shape == (6, 1)
    assert NodeTower(4, 3, 5).double()(SRC).shape == (6, 5)
    assert NodeTower(4, 3, 5).double()(SRC[:0]).shape == (0, 5)


def test_normalised_rows_have_length_one_and_bounded_probabilities():
    for classes, most in ((2, 0.804), (4, 0.514), (20, 0.128)):  # METHODS A.4
        tower = NormalisedTower(4, 30, classes).double()
        logits = tower(SRC)
        torch.testing.assert_close(logits.norm(dim=1), torch.ones(6).double())
        expected = tower.tower(SRC) / tower.tower(SRC).norm(dim=1, keepdim=True)
        torch.testing.assert_close(logits, expected)
        best = -torch.ones(classes) / (classes * (classes - 1)) ** 0.5  # of rows of length 1
        best[0] = ((classes - 1) / classes) ** 0.5
        assert float(best.softmax(0)[0]) == pytest.approx(most, abs=5e-4)
        assert (logits.softmax(1) <= most + 5e-4).all()


def test_a_normalised_binary_logit_is_more_than_a_sign():
    tower = NormalisedTower(4, 30, None).double()
    found = tower(SRC)
    assert found.shape == (6,)
    assert len(found.unique()) == 6
    two = tower.tower(SRC)
    torch.testing.assert_close(found, (two[:, 1] - two[:, 0]) / two.norm(dim=1))


def test_pair_logit_is_a_dot_product_plus_two_biases():
    tower = PairTower(4, 9).double()
    a, b = tower.src(SRC), tower.dst(DST)
    expected = [(x[:9] @ y[:9]) / 3 + x[9] + y[9] for x, y in zip(a, b, strict=True)]
    torch.testing.assert_close(tower(SRC, DST), torch.stack(expected), rtol=0, atol=1e-12)


def test_full_matrix_of_factors_equals_the_pairs_one_by_one():
    tower = PairTower(4, 3).double()
    src, dst = tower.factors(SRC, "src"), tower.factors(DST, "dst")
    assert src.vector.shape == (6, 3)
    assert src.bias.shape == (6,)
    full = src.vector @ dst.vector.T + src.bias[:, None] + dst.bias
    for i in range(6):
        one = tower(SRC[i].expand(6, -1), DST)
        torch.testing.assert_close(full[i], one, rtol=0, atol=1e-12)


def test_pair_tower_knows_its_sides():
    tower = PairTower(4, 3).double()
    assert not torch.allclose(tower(SRC, DST), tower(DST, SRC))


def test_gradients():
    tower = PairTower(4, 3).double()
    inputs = SRC.clone().requires_grad_(), DST.clone().requires_grad_()
    assert torch.autograd.gradcheck(tower, inputs)
    assert torch.autograd.gradgradcheck(tower, inputs)
    assert torch.autograd.gradcheck(NodeTower(4, 3, 2).double(), inputs[:1])


def test_joint_logit_is_that_of_the_product_of_probabilities():
    a, b = SRC * 3, DST * 3
    product = torch.sigmoid(a) * torch.sigmoid(b)
    torch.testing.assert_close(joint_logit(a, b), torch.logit(product), rtol=1e-9, atol=0)
    torch.testing.assert_close(torch.sigmoid(joint_logit(a, b)), product)


def test_joint_logit_of_extremes_is_finite_and_right():
    a, b = torch.tensor([[90.0, 90], [-90, -90], [90, -90], [90, 2], [1e4, 1e4]]).unbind(1)
    a.requires_grad_()
    found = joint_logit(a, b)
    both = math.log(2)  # two chances of failing, equally small
    expected = [90 - both, -180, -90, 2, 1e4 - both]
    torch.testing.assert_close(found, torch.tensor(expected))
    found.sum().backward()
    assert a.grad.isfinite().all()


def test_gradients_of_joint_logit():
    a, b = (x.clone().requires_grad_() for x in (SRC, DST))
    assert torch.autograd.gradcheck(joint_logit, (a, b), check_forward_ad=True)


def test_inner_product_and_its_level():
    tower = InnerProduct().double()
    with torch.no_grad():
        tower.level.fill_(-1.5)
    torch.testing.assert_close(tower(SRC, DST), (SRC * DST).sum(1) - 1.5)
    src, dst = tower.factors(SRC, "src"), tower.factors(DST, "dst")
    full = src.vector @ dst.vector.T + src.bias[:, None] + dst.bias
    torch.testing.assert_close(full, SRC @ DST.T - 1.5)
