"""The fast engine for CUDA devices.

``engine`` queues batches of frames; ``pairs`` finds their pairs on the device, and
``et`` and ``tensornet`` (with ``tensors``) run the networks. All but ``engine`` import
Triton.
"""

from __future__ import annotations

from mdgeomfeat.gnn.engine.cuda.engine import CudaEngine, can_run

__all__ = ["CudaEngine", "can_run"]
