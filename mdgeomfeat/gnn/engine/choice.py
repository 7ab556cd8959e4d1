"""Picking the engine."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch

from mdgeomfeat.errors import InputError, MDGeomFeatWarning, clause, sentence
from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.gnn.engine.base import Engine, resolve_device
from mdgeomfeat.gnn.engine.torch import TorchEngine

__all__ = ["choose_engine", "make_engine"]

ENGINES = ("auto", "torch", "cpu", "cuda")
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def choose_engine(
    model: Backbone,
    engine: str = "auto",
    device: str | torch.device = "auto",
    dtype: str = "float32",
) -> tuple[str, torch.device, str]:
    """Decide what computes a network and where, without making it.

    Parameters
    ----------
    model, engine, device, dtype
        As for :func:`make_engine`.

    Returns
    -------
    name : {"torch", "cpu", "cuda"}
    device : torch.device
    reason : str

    Raises
    ------
    InputError
        If an option is unknown or the engine cannot do what is asked.
    """
    if engine not in ENGINES:
        raise InputError(
            f"engine={engine!r} is unknown; choose one of "
            f"{', '.join(map(repr, ENGINES))}."
        )
    if dtype not in DTYPES:
        raise InputError(
            f"dtype={dtype!r} is not supported; choose 'float32' or 'float64'."
        )
    place = resolve_device("cpu" if engine == "cpu" and device == "auto" else device)
    if engine == "torch":
        return engine, place, "asked for"
    if engine == "cuda" and device == "auto" and place.type != "cuda":
        raise InputError(
            "The engine 'cuda' needs a CUDA device, and torch sees none; use "
            "engine='auto', or install a CUDA build of torch."
        )
    # The kernels are compiled by numba, which only those who use them should load.
    from mdgeomfeat.gnn.engine import cpu, cuda

    name = engine
    if engine == "auto":
        name = "cuda" if place.type == "cuda" else "cpu"
    can_run = cuda.can_run if name == "cuda" else cpu.can_run
    obstacle = can_run(model, place, DTYPES[dtype])
    if obstacle is None:
        if engine == name:
            return name, place, "asked for"
        kind = "fused kernels for" if name == "cuda" else "the fastest for"
        on = "a CUDA device" if name == "cuda" else "a CPU"
        return name, place, f"{kind} {model.spec.architecture} on {on}"
    if engine == name:
        raise InputError(sentence(f"{obstacle}; use engine='torch' or 'auto'"))
    return "torch", place, obstacle


def make_engine(
    model: Backbone,
    *,
    engine: str = "auto",
    device: str | torch.device = "auto",
    dtype: str = "float32",
    max_neighbors: int | None = None,
    notify: Callable[[str], object] | None = None,
) -> Engine:
    """Return an engine that computes the features of trajectories with a network.

    Parameters
    ----------
    model : Backbone
    engine : {"auto", "torch", "cpu", "cuda"}, optional
        ``"torch"`` runs the network itself and is the definition of the answer;
        ``"cpu"`` and ``"cuda"`` (which needs Triton) are fast paths in float32.
        ``"auto"`` takes the fast path of the device if it can do what is asked;
        :meth:`Engine.describe` tells which it is and why. Where the kernels of
        ``"cuda"`` turn out not to run, it warns and takes ``"torch"``.
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

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat import load_model
    >>> from mdgeomfeat.gnn.engine import make_engine
    >>> engine = make_engine(load_model(), engine="torch", device="cpu")
    >>> engine.name
    'torch'
    """
    if max_neighbors is not None and max_neighbors < 1:
        raise InputError(
            f"max_neighbors is {max_neighbors}, but must be at least 1, or None for "
            "all."
        )
    name, place, reason = choose_engine(model, engine, device, dtype)
    if name == "torch":
        return TorchEngine(model, place, DTYPES[dtype], max_neighbors, reason)
    from mdgeomfeat.gnn.engine import cpu, cuda

    if name == "cuda":
        try:
            return cuda.CudaEngine(model, place, max_neighbors, reason)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if engine == "cuda":
                raise
            # No compiler for Triton's launchers, a driver too old, a wrong answer:
            # whoever left the choice to us gets features all the same.
            warnings.warn(
                f"engine='torch' computes instead of 'cuda', whose kernels do not run "
                f"here: {clause(error)}.",
                MDGeomFeatWarning,
                stacklevel=2,
            )
            reason = f"the CUDA kernels do not run here ({clause(error)})"
            return TorchEngine(model, place, DTYPES[dtype], max_neighbors, reason)
    return cpu.CpuEngine(model, max_neighbors, reason, notify)
