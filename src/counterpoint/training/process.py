"""How a training process uses the machine."""

import ctypes

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def prepare_process(threads: int) -> None:
    """Compute with so many threads, and keep the memory that a step frees for the next one.

    A step's large tensors would else be mapped afresh each time, a fault a page. The peak may be
    a little higher, and nothing is given back before the end. Without glibc that part does nothing.
    """
    torch.set_num_threads(threads)
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_THRESHOLD, 1 << 30)
    mallopt(M_TRIM_THRESHOLD, -1)  # never
