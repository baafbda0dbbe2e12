"""A block without nodes, as a task without rows leaves it, gives no rows and no fault."""

import pytest
import torch

from counterpoint.graph.ops import Csr
from counterpoint.graph.views import Block
from counterpoint.nn.encoders import CONVOLUTIONS
from counterpoint.nn.inline import InlineLayer
from counterpoint.nn.struchis import StrucHISLayer

NONE = torch.zeros(0, dtype=torch.int64)
BLOCK = Block(Csr.from_edges(NONE, NONE, 0, 0)[0], NONE, NONE, NONE)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name: str) -> None:
    layer = CONVOLUTIONS[name](8, 6, 2)
    assert layer(BLOCK, torch.zeros(0, 8)).shape == (0, 6)


def test_exchange_layers() -> None:
    seen = [[0, 2], [1, 2], [0, 1, 2]]
    gates = {"attends_relations": True, "gates_relations": True, "gate_width": 4}
    inline = InlineLayer(8, 3, seen, 2, 2, **gates)
    assert inline(BLOCK, torch.zeros(0, 3, 8)).shape == (0, 3, 8)
    struchis = StrucHISLayer(8, 2, 2, 2, gate_width=4, mask_absent=True)
    assert struchis(BLOCK, torch.zeros(0, 2, 8)).shape == (0, 2, 8)
