"""From a spec to a network with random weights."""

from __future__ import annotations

import torch

from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.gnn.et import ET
from mdgeomfeat.gnn.spec import ModelSpec
from mdgeomfeat.gnn.tensornet import TensorNet
from mdgeomfeat.gnn.visnet import ViSNet

__all__ = ["build_model", "random_twin"]

_CLASSES: dict[str, type[Backbone]] = {
    "et": ET,
    "tensornet": TensorNet,
    "visnet": ViSNet,
}


def build_model(spec: ModelSpec, *, seed: int | None = None) -> Backbone:
    """Build a network with random weights.

    The global random state of torch is left as it was.

    Parameters
    ----------
    spec : ModelSpec
    seed : int, optional
        Equal seeds give equal weights; None draws a fresh one.

    Returns
    -------
    Backbone
        float32, on the CPU.

    Examples
    --------
    >>> from mdgeomfeat.gnn import ModelSpec, build_model
    >>> model = build_model(ModelSpec(n_layers=2, n_channels=16), seed=0)
    >>> model.n_parameters, model.card
    (16032, {})
    """
    with torch.random.fork_rng(devices=[]):
        if seed is None:
            torch.seed()
        else:
            torch.manual_seed(seed)
        return _CLASSES[spec.architecture](spec)


def random_twin(model: Backbone, seed: int = 0) -> Backbone:
    """Build a network of the same shape as `model` with random weights.

    Parameters
    ----------
    model : Backbone
    seed : int

    Returns
    -------
    Backbone
        Same spec, type and device, untrained, with a card that says so.

    Examples
    --------
    >>> from mdgeomfeat import load_model
    >>> from mdgeomfeat.gnn import random_twin
    >>> model = load_model()
    >>> twin = random_twin(model, seed=1)
    >>> twin.spec == model.spec, twin.fingerprint == model.fingerprint
    (True, False)
    """
    twin = build_model(model.spec, seed=seed)
    name = model.card.get("name", model.spec.architecture)
    twin.card = {
        "name": f"{name}-random-{seed}",
        "description": f"Random weights (seed {seed}), the shape of {name}.",
        "spec": model.spec.to_dict(),
    }
    return twin.to(device=model.device, dtype=model.dtype).eval()
