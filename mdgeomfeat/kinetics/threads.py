"""How many torch threads a small network is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["threads_for"]

#: Operations of a training step from which its products fill several cores.
_LARGE_STEP = 2e10


@contextmanager
def threads_for(operations: float) -> Iterator[None]:
    """Use one torch thread inside the block, unless its steps are large.

    A step of a small network is hundreds of kernels of some microseconds. OpenMP's
    threads meet after each of them and wait by spinning, so that a second thread gains
    nothing on a free machine and costs ten times the time on a busy one.

    Parameters
    ----------
    operations : float
        Floating-point operations of one step: of training, or of one frame.
    """
    before = torch.get_num_threads()
    if operations < _LARGE_STEP:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
