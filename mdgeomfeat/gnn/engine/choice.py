"""Picking the engine."""

from __future__ import annotations

from collections.abc import Callable

import torch

from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.gnn.engine.base import Engine, EngineName, resolve_device
from mdgeomfeat.gnn.engine.torch import TorchEngine

__all__ = ["make_engine"]

ENGINES = ("auto", "torch", "cpu")
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def make_engine(
    model: Backbone,
    *,
    engine: EngineName = "auto",
    device: str | torch.device = "auto",
    dtype: str = "float32",
    max_neighbors: int | None = None,
    notify: Callable[[str], object] | None = None,
) -> Engine:
    """Return an engine that computes the features of trajectories with a network.

    Parameters
    ----------
    model : Backbone
    engine : {"auto", "torch", "cpu"}, optional
        ``"torch"`` runs the network itself and is the definition of the answer;
        ``"cpu"`` is a fast path in float32. ``"auto"`` takes the fastest that
        can do it; :meth:`Engine.describe` tells which and why.
    device : str or torch.device, optional
        ``"auto"`` is the first CUDA device if there is one, else the CPU.
    dtype : {"float32", "float64"}, optional
    max_neighbors : int, optional
        Keep only the nearest neighbours of each atom. By default none is dropped.
    notify : callable, optional
        Is told, in a sentence, when kernels have to be compiled first. By default
        the ``mdgeomfeat`` logger is.

    Returns
    -------
    Engine

    Raises
    ------
    InputError
        If an option is unknown or the engine cannot do what is asked.
    """
    if engine not in ENGINES:
        raise InputError(
            f"there is no engine {engine!r}; choose one of "
            + ", ".join(repr(name) for name in ENGINES)
        )
    if dtype not in DTYPES:
        raise InputError(
            f"dtype {dtype!r} is not supported; choose 'float32' or 'float64'"
        )
    if max_neighbors is not None and max_neighbors < 1:
        raise InputError(
            f"max_neighbors is {max_neighbors}, but must be at least 1, or None for all"
        )
    place = resolve_device("cpu" if engine == "cpu" and device == "auto" else device)
    real = DTYPES[dtype]
    if engine == "torch":
        return TorchEngine(model, place, real, max_neighbors)
    # The kernels are compiled by numba, which only those who use them should load.
    from mdgeomfeat.gnn.engine.cpu import CpuEngine, can_run

    obstacle = can_run(model, place, real)
    if obstacle is None:
        fastest = f"the fastest for {model.spec.architecture} on a CPU"
        reason = "asked for" if engine == "cpu" else fastest
        return CpuEngine(model, max_neighbors, reason, notify)
    if engine == "cpu":
        raise InputError(f"{obstacle}; use engine='torch' or 'auto'")
    return TorchEngine(model, place, real, max_neighbors, obstacle)
