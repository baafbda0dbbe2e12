import torch

from counterpoint.nn.hard_concrete import HIGH, LOW, TEMPERATURE, HardConcrete

LOG_A = torch.tensor([-4.0, -1.0, 0.0, 0.7, 3.0], dtype=torch.float64)
DRAWS = 200_000


def made(*shape: int) -> HardConcrete:
    gates = HardConcrete(*shape).double()
    with torch.no_grad():
        gates.log_a.copy_(LOG_A.expand(shape))
    return gates


def drawn() -> torch.Tensor:
    torch.manual_seed(0)
    with torch.no_grad():
        return made(DRAWS, 5)()


def test_gates_start_nearly_open_with_a_gradient():
    gates = HardConcrete(2, 3).eval()
    found = gates()
    assert ((found > 0.95) & (found < 1)).all()
    found.sum().backward()
    assert (gates.log_a.grad > 0).all()


def test_chance_of_open_is_the_share_of_open_draws():
    share = (drawn() > 0).double().mean(0)
    torch.testing.assert_close(made(5).chance_of_open(), share, rtol=0, atol=4e-3)


def test_mean_of_draws_is_the_integral_of_their_tail():
    """E[z] is the integral over (0, 1) of P(z > x), and P(z > x) is a sigmoid of log a."""
    x = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    tail = torch.sigmoid(LOG_A - TEMPERATURE * torch.logit((x[:, None] - LOW) / (HIGH - LOW)))
    torch.testing.assert_close(drawn().mean(0), tail.mean(0), rtol=0, atol=4e-3)


def test_draws_lie_in_the_unit_interval_and_reach_both_ends():
    gates = drawn()
    assert gates.min() == 0
    assert gates.max() == 1
    assert ((gates > 0) & (gates < 1)).any(0).all()


def test_noise_is_that_of_the_global_generator_and_evaluation_has_none():
    gates = made(5)
    torch.manual_seed(1)
    first, other = gates(), gates()
    torch.manual_seed(1)
    assert torch.equal(gates(), first)
    assert not torch.equal(first, other)
    gates.eval()
    expected = (torch.sigmoid(LOG_A) * 1.2 - 0.1).clamp(0, 1)
    torch.testing.assert_close(gates(), expected)
    assert torch.equal(gates(), gates())


def test_gradients():
    log_a = LOG_A[1:4].clone().requires_grad_()
    gates = made(5)

    def both(log_a: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(2)
        own = {"log_a": log_a}
        return torch.func.functional_call(gates, own, ()) + log_a.sigmoid()

    assert torch.autograd.gradcheck(both, (log_a,))
