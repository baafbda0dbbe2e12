import ctypes
import subprocess
import sys

import pytest
import torch

from counterpoint.training import process

FAULTS = """
import resource, sys
import torch
from counterpoint.training.process import prepare_process

def step():
    x = torch.ones(3000, 4000)  # larger than what glibc may learn to keep by itself
    for _ in range(3):
        x = x * 2

if sys.argv[1] == "prepared":
    prepare_process(1)
for number in range(15):
    if number == 5:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def later_faults(how: str) -> int:
    words = [sys.executable, "-c", FAULTS, how]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is Linux's")
def test_memory_that_was_freed_is_used_again_without_a_fault():
    assert later_faults("as it is") > 100_000
    assert later_faults("prepared") < 1000


def test_threads_and_no_glibc(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    before = torch.get_num_threads()
    try:
        process.prepare_process(1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
