"""Compile every kernel of the CUDA engine for a device that need not be there.

For each prints its name, how often TF32 occurs in its code, and how often a product
and a sum in float64 are one operation. The argument is a compute capability, 80 or 90.
"""

from __future__ import annotations

import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from mdgeomfeat.gnn import ModelSpec, build_model
from mdgeomfeat.gnn.engine import _cuda_pairs
from mdgeomfeat.gnn.engine.cuda.et import CudaET
from mdgeomfeat.gnn.engine.cuda.tensornet import CudaTensorNet

CUTOFF = 5.2
launch = JITFunction.run


class AbsentDevice:
    """What Triton asks a driver when it compiles."""

    def get_current_target(self):
        return GPUTarget("cuda", int(sys.argv[1]), 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


def compile_only(kernel, *given, grid, warmup, **options):
    code = launch(kernel, *given, grid=grid, warmup=True, **options).asm["ptx"]
    print(kernel.__name__, code.count("tf32"), code.count("fma.rn.f64"))
    # Row pointers: the second pass of the search is launched where there are pairs.
    if kernel is _cuda_pairs._search and not options["WRITE"]:
        given[5].fill_(1)


def compile_pairs():
    positions = torch.zeros(2, 20, 3, dtype=torch.float64)
    cells = torch.zeros(2, 2, 3, 3, dtype=torch.float64).unbind()
    first = torch.zeros(20, dtype=torch.int64)
    for boxes in (None, cells):
        found = _cuda_pairs.find_pairs(positions, boxes, first, first + 20, CUTOFF)
    return found


def compile_network(program_of, found, **options):
    model = build_model(ModelSpec(n_layers=2, n_rbf=16, **options), seed=1)
    program = program_of(model, torch.device("cpu"))
    row_ptr, sender, vector = found
    pairs = _cuda_pairs.pair_records(row_ptr, sender, vector, CUTOFF, program.intervals)
    with torch.inference_mode():
        program.run(torch.full((40,), 6), pairs)


if __name__ == "__main__":
    triton.runtime.driver.set_active(AbsentDevice())
    JITFunction.run = compile_only
    found = compile_pairs()
    for n_channels, n_heads in ((64, 8), (36, 6)):
        width = {"n_channels": n_channels, "n_heads": n_heads}
        compile_network(CudaET, found, architecture="et", **width)
        compile_network(CudaTensorNet, found, architecture="tensornet", **width)
