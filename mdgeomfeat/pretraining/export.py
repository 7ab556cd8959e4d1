"""From a checkpoint to weights that the package can load, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ..errors import InputError
from ..gnn import ModelSpec, build_model, load_model, save_model
from ..gnn.heads import GatedEquivariantHead
from .config import RunConfig
from .denoiser import Denoiser
from .packed import Packed

__all__ = ["export", "load_denoiser", "read_checkpoint"]

HEADS = Path(__file__).parent / "heads"


def read_checkpoint(path: str | Path) -> tuple[Denoiser, RunConfig, dict[str, Any]]:
    """Read the averaged weights of a checkpoint of `Trainer`.

    Parameters
    ----------
    path : path
        ``checkpoint.pt`` or its folder.

    Returns
    -------
    denoiser : Denoiser
        With the moving average of the weights.
    config : RunConfig
    state : dict
        ``step`` and ``elapsed`` (s).
    """
    path = Path(path)
    if path.is_dir():
        path = path / "checkpoint.pt"
    if not path.is_file():
        raise InputError(f"{path} is not a checkpoint; give a run's folder")
    state = torch.load(path, weights_only=True, map_location="cpu")
    config = RunConfig.from_dict(state["config"])
    denoiser = Denoiser(build_model(config.model, seed=0))
    denoiser.load_state_dict(state["ema"])
    return denoiser.eval(), config, {"step": state["step"], "elapsed": state["elapsed"]}


def export(
    checkpoint: str | Path,
    path: str | Path,
    *,
    data: Packed,
    head: str | Path | None = None,
    extra: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the averaged weights of a run with their card.

    Parameters
    ----------
    checkpoint : path
    path : path
        ``NAME.safetensors``; the card is ``NAME.json`` beside it.
    data : Packed
        What the run was trained on: its manifest and elements go to the card.
    head : path, optional
        Where the noise head goes; it is needed to measure the denoising error and
        to continue, not for features.
    extra : dict, optional
        More entries of the card: compute, losses, limits.

    Returns
    -------
    dict
        The card.
    """
    denoiser, config, state = read_checkpoint(checkpoint)
    elements = tuple(sorted(int(z) for z in data.manifest["elements"]))
    spec: ModelSpec = replace(config.model, elements=elements)
    backbone = build_model(spec, seed=0)
    backbone.load_state_dict(denoiser.backbone.state_dict())
    recipe = config.to_dict()
    recipe["data"]["file"] = Path(config.data.file).name
    card = {
        "name": config.name,
        "training": "denoising of coordinates",
        "licence": "MIT",
        "data": {
            key: data.manifest[key]
            for key in ("molecules", "conformations", "atoms", "elements", "sha256")
        },
        "sources": [
            {k: v for k, v in source.items() if k != "settings"}
            for source in data.manifest["sources"]
        ],
        "recipe": recipe,
        "steps": state["step"],
        "hours": round(state["elapsed"] / 3600, 3),
        **(extra or {}),
    }
    written = save_model(backbone.eval(), path, card)
    if head is not None:
        Path(head).parent.mkdir(parents=True, exist_ok=True)
        save_file(
            {k: v.contiguous() for k, v in denoiser.head.state_dict().items()},
            str(head),
            metadata={"backbone": backbone.fingerprint},
        )
    return written


def load_denoiser(name_or_path: str | Path) -> Denoiser:
    """Load a model with its noise head.

    Parameters
    ----------
    name_or_path : str or path
        A shipped model's name, or a run's folder or checkpoint.

    Returns
    -------
    Denoiser
        With a fresh head, if the model was shipped without.
    """
    path = Path(name_or_path)
    if path.is_dir() or path.suffix == ".pt":
        return read_checkpoint(path)[0]
    backbone = load_model(name_or_path)
    head = GatedEquivariantHead(backbone.spec.n_channels)
    stored = HEADS / f"{path.stem}.safetensors"
    if stored.is_file():
        head.load_state_dict(load_file(str(stored)))
    return Denoiser(backbone, head)
