"""Networks by name: those shipped with the package, and those a user imported."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.gnn.checkpoints import check_files, read_model, save_model
from mdgeomfeat.gnn.published import PUBLISHED_ELEMENTS, read_published

__all__ = [
    "describe_model",
    "import_checkpoint",
    "list_models",
    "load_model",
    "user_models",
    "verify_model",
]

_SHIPPED: Final = Path(__file__).resolve().parents[1] / "weights"
_ALIASES: Final = {"default": "et-64"}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_PUBLISHED_SUFFIXES: Final = (".pth", ".pt")


def user_models() -> Path:
    """Return the folder of imported networks.

    ``$MDGEOMFEAT_MODELS``, else ``mdgeomfeat/models`` in the XDG data folder. It need
    not exist.
    """
    chosen = os.environ.get("MDGEOMFEAT_MODELS")
    if chosen:
        return Path(chosen).expanduser()
    data = os.environ.get("XDG_DATA_HOME")
    home = Path(data) if data else Path.home() / ".local" / "share"
    return home / "mdgeomfeat" / "models"


def _files() -> dict[str, Path]:
    """Return the safetensors file of every name; shipped names come first."""
    found: dict[str, Path] = {}
    for folder in (_SHIPPED, user_models()):
        for path in sorted(folder.glob("*.safetensors")):
            if _NAME.fullmatch(path.stem):
                found.setdefault(path.stem, path)
    return found


def list_models() -> list[str]:
    """Return the names that :func:`load_model` knows, shipped ones first.

    Examples
    --------
    >>> from mdgeomfeat import list_models
    >>> list_models()[:3]
    ['et-64', 'tensornet-64', 'visnet-64']
    """
    return list(_files())


def _resolve(name_or_path: str | Path) -> Path:
    """Return the file behind a name or path.

    Raises
    ------
    InputError
        If there is none.
    """
    if not isinstance(name_or_path, str | os.PathLike):
        raise InputError(
            f"model={name_or_path!r} is not a model; give a name, a path or a Backbone."
        )
    text = os.fspath(name_or_path)
    files = _files()
    name = _ALIASES.get(text, text)
    if name in files:
        return files[name]
    path = Path(text).expanduser()
    if path.suffix in (".safetensors", *_PUBLISHED_SUFFIXES) or path.is_file():
        if not path.is_file():
            raise InputError(f"The model file {path} does not exist; check the path.")
        return path
    known = ", ".join(["default", *files]) if files else "none is installed"
    raise InputError(
        f"There is no model {text!r} ({known}); give one of these names, a "
        ".safetensors file with its card, or a published .pth file."
    )


def load_model(name_or_path: str | Path | Backbone = "default") -> Backbone:
    """Load a network with its weights.

    Parameters
    ----------
    name_or_path : str, path or Backbone
        A name of :func:`list_models` or ``"default"``; the path of a safetensors
        file with its card beside it; the path of a published checkpoint (``.pth``),
        which is read as :func:`import_checkpoint` reads it. A network is passed
        through.

    Returns
    -------
    Backbone
        float32, on the CPU, in evaluation mode; ``model.card`` says what it is, by
        the name of its file.

    Raises
    ------
    InputError
        If there is no such model, or its files are damaged or not a model's.

    Examples
    --------
    >>> from mdgeomfeat import load_model
    >>> model = load_model("tensornet-64")
    >>> model.spec.architecture, model.spec.n_channels, model.card["name"]
    ('tensornet', 64, 'tensornet-64')
    """
    if isinstance(name_or_path, Backbone):
        return name_or_path
    path = _resolve(name_or_path)
    if path.suffix != ".safetensors":
        return read_published(path)[0]
    model = read_model(path)
    # Its owner named the file; the card may hold the name of what it was made from.
    model.card = {**model.card, "name": path.stem}
    return model


def describe_model(name_or_path: str | Path) -> dict[str, Any]:
    """Return a network's card without its reference values.

    Parameters
    ----------
    name_or_path : str or path
        As for :func:`load_model`.

    Returns
    -------
    dict
        The card's fields, with ``path``, ``origin`` ("shipped", "imported" or
        "file"), ``alias`` (such as "default", or None) and ``n_parameters``.
    """
    path = _resolve(name_or_path)
    model = load_model(path)
    card = {key: value for key, value in model.card.items() if key != "reference"}
    aliases = [alias for alias, name in _ALIASES.items() if _files().get(name) == path]
    origin = {_SHIPPED: "shipped", user_models(): "imported"}.get(path.parent, "file")
    return {
        **card,
        "path": str(path),
        "origin": origin,
        "alias": aliases[0] if aliases else None,
        "n_parameters": model.n_parameters,
    }


def verify_model(name_or_path: str | Path) -> list[str]:
    """Check a network's files and its output.

    The file's hash and the weights' fingerprint must be the card's, and the features
    of the reference structure those in the card.

    Returns
    -------
    list of str
        One sentence for each problem; empty if all is well.

    Raises
    ------
    InputError
        If there is no such model, or it is a published checkpoint, which has no card.

    Examples
    --------
    >>> from mdgeomfeat.gnn import verify_model
    >>> verify_model("tensornet-64")
    []
    """
    path = _resolve(name_or_path)
    if path.suffix != ".safetensors":
        raise InputError(
            f"{path} is a published checkpoint, which has no card to compare with; "
            "import it first."
        )
    return check_files(path)


def import_checkpoint(
    path: str | Path,
    name: str | None = None,
    out: str | Path | None = None,
    *,
    n_heads: int = 8,
    lmax: int = 1,
    vector_norm: str = "max_min",
    cutoff: float | None = None,
    elements: Sequence[int] | None = PUBLISHED_ELEMENTS,
) -> tuple[Backbone, dict[str, Any]]:
    """Convert a published checkpoint and keep it under a name.

    Parameters
    ----------
    path : path
        State dictionary of a published ET, ViSNet or TensorNet.
    name : str, optional
        By default the file's name without its suffix.
    out : path, optional
        Folder to write to; by default the user's (see :func:`user_models`), where
        :func:`load_model` finds it by name.
    n_heads, lmax, vector_norm, cutoff, elements
        What tensors do not show, see
        :func:`~mdgeomfeat.gnn.published.read_published`.

    Returns
    -------
    model : Backbone
    card : dict

    Raises
    ------
    InputError
        If the file is not such a checkpoint, or the name cannot be used.

    Examples
    --------
    >>> import torch
    >>> from mdgeomfeat.gnn import import_checkpoint
    >>> torch.save({"weight": torch.zeros(3)}, "other.pth")
    >>> import_checkpoint("other.pth", out="models")
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: other.pth holds weights of an unknown network; ...
    """
    name = name or Path(path).stem
    shipped = {file.stem for file in _SHIPPED.glob("*.safetensors")}
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a model; use letters, digits, '.', '_', '+' and '-'."
        )
    if name in shipped or name in _ALIASES:
        raise InputError(
            f"{name!r} means a shipped model; give the import another name."
        )
    model, card = read_published(
        path,
        n_heads=n_heads,
        lmax=lmax,
        vector_norm=vector_norm,
        cutoff=cutoff,
        elements=elements,
    )
    folder = user_models() if out is None else Path(out)
    card = save_model(model, folder / f"{name}.safetensors", {**card, "name": name})
    return model, card
