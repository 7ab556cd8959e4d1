"""From a checkpoint to weights that the package can load, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from ..errors import InputError
from ..gnn import ModelSpec, build_model, load_model, save_model
from ..gnn.heads import GatedEquivariantHead
from ..tensorfiles import save_tensors
from .config import RunConfig
from .denoiser import Denoiser
from .packed import Packed

__all__ = ["export", "load_denoiser", "read_checkpoint", "stored_head"]

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
        ``step``, ``elapsed`` (s), and ``data``: the sha256 of what it was trained on.

    Raises
    ------
    InputError
        If there is no checkpoint, or it is another task's.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "checkpoint.pt"
    if not path.is_file():
        raise InputError(f"{path} is not a checkpoint; give a run's folder.")
    state = torch.load(path, weights_only=True, map_location="cpu")
    if "task" not in state["config"]:
        raise InputError(
            f"{path} is not a checkpoint of pre-training; give the folder of "
            "such a run."
        )
    config = RunConfig.from_dict(state["config"])
    denoiser = Denoiser(build_model(config.model, seed=0))
    denoiser.load_state_dict(state["ema"])
    about = {key: state.get(key) for key in ("step", "elapsed", "data")}
    return denoiser.eval(), config, about


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
        ``NAME.safetensors``; the card is ``NAME.json`` beside it. NAME is what the
        model is called: its configuration may be a copy of another's.
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

    Raises
    ------
    InputError
        If `data` is not what the run was trained on.
    """
    denoiser, config, state = read_checkpoint(checkpoint)
    if state["data"] != data.manifest["sha256"]:
        raise InputError(
            f"{checkpoint} was trained on other data; give the data it was trained on, "
            "because the card describes them."
        )
    elements = tuple(sorted(int(z) for z in data.manifest["elements"]))
    spec: ModelSpec = replace(config.model, elements=elements)
    backbone = build_model(spec, seed=0)
    backbone.load_state_dict(denoiser.backbone.state_dict())
    recipe = config.to_dict()
    recipe["data"]["file"] = Path(config.data.file).name
    card = {
        "name": Path(path).name.removesuffix(".safetensors"),
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
        save_tensors(
            head,
            {k: v.numpy() for k, v in denoiser.head.state_dict().items()},
            {"backbone": backbone.fingerprint},
        )
    return written


def load_denoiser(name_or_path: str | Path, *, fresh_head: bool = False) -> Denoiser:
    """Load a model with its noise head.

    Parameters
    ----------
    name_or_path : str or path
        A shipped model's name or file, or a run's folder or checkpoint.
    fresh_head : bool
        Give a model whose head is not at hand an untrained one, to train on.

    Returns
    -------
    Denoiser

    Raises
    ------
    InputError
        If the model's head is not at hand and `fresh_head` is false.
    """
    path = Path(name_or_path)
    if path.is_dir() or path.suffix == ".pt":
        return read_checkpoint(path)[0]
    backbone = load_model(name_or_path)
    head = GatedEquivariantHead(backbone.spec.n_channels)
    stored = stored_head(backbone.fingerprint)
    if stored is not None:
        head.load_state_dict(stored)
    elif not fresh_head:
        raise InputError(
            f"{str(name_or_path)!r} comes without its noise head, so its denoising "
            "cannot be measured; give a shipped model, or the folder of its run."
        )
    return Denoiser(backbone, head)


def stored_head(fingerprint: str) -> dict[str, Tensor] | None:
    """Return the noise head that was trained with a shipped backbone.

    Parameters
    ----------
    fingerprint : str
        Of the backbone.

    Returns
    -------
    dict of Tensor, or None
        Its state; None if there is none.
    """
    for path in sorted(HEADS.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("backbone") == fingerprint:
                return load_file(str(path))
    return None
