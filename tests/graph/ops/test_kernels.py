import subprocess
import sys

import pytest
import torch

from counterpoint.graph import ops
from counterpoint.graph.ops import dgl_backend, kernels, torch_backend

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_the_operations_do_not_import_dgl():
    script = """
import sys
import torch
from counterpoint.graph import ops
csr, _ = ops.Csr.from_edges(torch.tensor([0]), torch.tensor([0]), 1, 1)
ops.copy_sum(csr, torch.ones(1, 1))
assert "dgl" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_torch_computes_unless_dgl_is_asked_for():
    assert kernels.current_backend() == "torch"
    with ops.use_backend("dgl"):
        assert kernels.current_backend() == "dgl"
        with ops.use_backend("torch"):
            assert kernels.current_backend() == "torch"
        assert kernels.current_backend() == "dgl"
    assert kernels.current_backend() == "torch"


def test_the_choice_ends_with_its_block_on_errors_too():
    with pytest.raises(KeyError), ops.use_backend("dgl"):
        raise KeyError
    assert kernels.current_backend() == "torch"


def test_dgl_is_for_the_cpu_alone():
    assert kernels.kernels("dgl", CPU) is dgl_backend
    assert kernels.kernels("dgl", GPU) is torch_backend
    assert kernels.kernels("torch", CPU) is torch_backend
