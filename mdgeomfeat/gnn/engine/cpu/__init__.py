"""The fast engine for processors.

``engine`` runs frames through a ``program``, which holds the weights and kernels of one
architecture (``et_*``, ``tensornet_*``, ``visnet_*``) on what they share: ``kernels``
(packed products), ``simd`` (registers), ``pairs``, ``layout`` and ``workspace``
(memory).
"""

from __future__ import annotations

from mdgeomfeat.gnn.engine.cpu.engine import CpuEngine, can_run

__all__ = ["CpuEngine", "can_run"]
