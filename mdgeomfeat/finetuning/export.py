"""Fine-tuned networks on disk: a backbone with its card, and the head beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ..errors import InputError
from ..gnn import load_model, save_model
from ..tensorfiles import save_tensors
from .model import HeadSpec, PropertyModel

__all__ = ["load_finetuned", "save_finetuned"]


def _head_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}-head.safetensors")


def save_finetuned(
    model: PropertyModel, path: str | Path, card: dict[str, Any]
) -> dict[str, Any]:
    """Write a fine-tuned network.

    Parameters
    ----------
    model : PropertyModel
    path : path
        ``NAME.safetensors`` of the backbone, which is a network like any other; its
        card is ``NAME.json``, and the head goes to ``NAME-head.safetensors``.
    card : dict
        What is known about the run.

    Returns
    -------
    dict
        The card.
    """
    path = Path(path)
    written = save_model(model.backbone, path, {**card, "head": model.spec.to_dict()})
    tensors = {f"head.{k}": v for k, v in model.head.state_dict().items()}
    for name in ("shift", "scale", "references"):
        tensors[name] = getattr(model, name)
    save_tensors(
        _head_path(path),
        {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()},
        {
            "backbone": model.backbone.fingerprint,
            "spec": json.dumps(model.spec.to_dict()),
        },
    )
    return written


def load_finetuned(path: str | Path) -> PropertyModel:
    """Load a fine-tuned network with its head, to predict with.

    Parameters
    ----------
    path : path
        The ``NAME.safetensors`` that a run wrote; its head must stand beside it.

    Returns
    -------
    PropertyModel
        In evaluation mode.

    Raises
    ------
    InputError
        If a file is absent or damaged, or the head belongs to another network.

    Examples
    --------
    >>> import torch
    >>> from torch_geometric.data import Data
    >>> from mdgeomfeat.finetuning import from_graphs
    >>> graphs = [
    ...     Data(
    ...         z=torch.tensor([6, 8]),
    ...         pos=torch.tensor([[0, 0, 0], [0, 0, float(r)]]),
    ...         y=(r - 1.2).square().reshape(1, 1),
    ...     )
    ...     for r in torch.linspace(1.0, 1.5, 12)
    ... ]
    >>> data = from_graphs(graphs, kind="extensive", unit="eV")
    >>> from mdgeomfeat.finetuning import FinetuneConfig, finetune, load_finetuned
    >>> config = FinetuneConfig.from_dict({
    ...     "split": {"method": "time", "train": 6, "validation": 2, "gap": 1},
    ...     "train": {"steps": 2, "batch": 2},
    ... })
    >>> _ = finetune(config, "other", data=data)
    >>> load_finetuned("other/finetuned.safetensors").spec.unit
    'eV'
    >>> load_finetuned("nowhere.safetensors")
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: The model file nowhere.safetensors does not ...
    """
    path = Path(path)
    backbone = load_model(path)
    beside = _head_path(path)
    if not beside.is_file():
        raise InputError(
            f"{path} needs its head {beside.name} beside it to predict labels; copy "
            "both files."
        )
    try:
        with safe_open(str(beside), framework="pt", device="cpu") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        spec = HeadSpec(**json.loads(about["spec"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{beside} is not the head of a fine-tuned network; fetch it again."
        ) from error
    if about.get("backbone") != backbone.fingerprint:
        raise InputError(
            f"{beside} is the head of another network than {path.name}; copy both "
            "files of one run."
        )
    model = PropertyModel(backbone, spec)
    own = {f"backbone.{k}": v for k, v in backbone.state_dict().items()}
    try:
        model.load_state_dict({**own, **tensors})
    except RuntimeError as error:
        raise InputError(
            f"{beside} does not hold the tensors of its head; fetch it again."
        ) from error
    if not all(bool(torch.isfinite(t).all()) for t in tensors.values()):
        raise InputError(f"{beside} has values that are not finite; fetch it again.")
    return model.eval()
