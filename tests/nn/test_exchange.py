"""SeenGates against a loop over nodes and outputs."""

import torch

from counterpoint.nn.exchange import SeenGates

N, STATES, WIDTH = 5, 4, 3
SEEN, READS = [(0, 3), (3, 1, 0), (2,), (3, 0, 1, 2)], (0, 1, 3, 2)


def seen_gates():
    torch.manual_seed(0)
    made = SeenGates(WIDTH, SEEN, READS).double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made


def states():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, N, STATES, WIDTH, generator=generator, dtype=torch.float64)


def test_equals_loops():
    made, (before, after) = seen_gates(), states()
    found = made(before, after)
    assert found.shape == (N, len(SEEN), WIDTH)
    for j, (seen, reads) in enumerate(zip(SEEN, READS, strict=True)):
        linear = made.gates[j].linear
        for v in range(N):
            rows = zip(linear.weight, linear.bias, strict=True)
            odds = [(weight @ before[v, reads] + bias).exp() for weight, bias in rows]
            expected = sum(o / sum(odds) * after[v, k] for o, k in zip(odds, seen, strict=True))
            torch.testing.assert_close(found[v, j], expected, rtol=0, atol=1e-12)


def test_an_output_hears_of_what_it_sees_and_its_gate_reads_alone():
    made, (before, after) = seen_gates(), states()
    before, after = before.requires_grad_(), after.clone().requires_grad_()
    outputs = made(before, after)
    for j, (seen, reads) in enumerate(zip(SEEN, READS, strict=True)):
        of_before, of_after = torch.autograd.grad(
            outputs[:, j].pow(2).sum(), [before, after], retain_graph=True
        )
        assert of_after.any(2).any(0).tolist() == [k in seen for k in range(STATES)]
        weighs = len(seen) > 1  # else the only weight is 1, whatever the gate reads
        assert of_before.any(2).any(0).tolist() == [weighs and k == reads for k in range(STATES)]
