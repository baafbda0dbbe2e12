"""Cosines against torch's own, and at the origin."""

import torch

from counterpoint.auxiliary.cosine import cosine, unit


def test_is_the_cosine():
    a, b = torch.randn(20, 5), torch.randn(20, 5)
    wanted = torch.nn.functional.cosine_similarity(a, b)
    torch.testing.assert_close(cosine(a, b), wanted)
    torch.testing.assert_close(unit(a).norm(dim=-1), torch.ones(20))


def test_zero_is_at_right_angles_to_everything_and_has_derivatives():
    zero = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    found = cosine(zero, torch.ones(1, 3, dtype=torch.float64))
    assert float(found.detach()) == 0
    (first,) = torch.autograd.grad(found.sum(), zero, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), zero)
    assert bool(first.isfinite().all())
    assert bool(second.isfinite().all())


def test_half_precision_is_widened():
    assert unit(torch.ones(1, 4, dtype=torch.bfloat16)).dtype == torch.float32
