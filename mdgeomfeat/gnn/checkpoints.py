"""Weights on disk: NAME.safetensors, and NAME.json that says what they are.

The card holds at least ``format``, ``name``, ``spec``, ``fingerprint`` (SHA-256 over
spec and tensors), ``sha256`` (of the safetensors file) and ``reference`` (a tiny
structure and the features that the weights give for it).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.gnn.build import build_model
from mdgeomfeat.gnn.reference import make_reference, reference_error
from mdgeomfeat.gnn.spec import ModelSpec
from mdgeomfeat.tensorfiles import hash_file, save_with_card

__all__ = ["CARD_FORMAT", "check_files", "read_card", "read_model", "save_model"]

CARD_FORMAT: Final = 1
_MAX_CARD_BYTES: Final = 4 * 2**20
_REQUIRED: Final = ("name", "spec", "fingerprint", "sha256", "reference")


def _card_text(card: dict[str, Any]) -> str:
    """Return JSON with one line for each field but one for all reference values."""
    fields = {key: value for key, value in card.items() if key != "reference"}
    head = json.dumps(fields, indent=1, ensure_ascii=False).removesuffix("\n}")
    return f'{head},\n "reference": {json.dumps(card["reference"])}\n}}\n'


def save_model(
    model: Backbone, path: str | Path, card: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write a network and its card.

    Parameters
    ----------
    model : Backbone
    path : path
        ``NAME.safetensors`` or ``NAME``; the card goes to ``NAME.json`` beside it.
    card : mapping, optional
        What is known about the weights (training, licence …), JSON types. The
        required fields are filled in; `name` is by default the file's.

    Returns
    -------
    dict
        The complete card, also put into ``model.card``.

    Examples
    --------
    >>> from mdgeomfeat import load_model
    >>> from mdgeomfeat.gnn import ModelSpec, build_model, save_model
    >>> model = build_model(ModelSpec(n_layers=1, n_channels=16), seed=0)
    >>> card = save_model(model, "small.safetensors", {"license": "MIT"})
    >>> card["name"], card["license"]
    ('small', 'MIT')
    >>> load_model("small.safetensors").fingerprint == model.fingerprint
    True
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        path = path.with_name(path.name + ".safetensors")
    tensors = {
        name: tensor.detach().to("cpu", torch.float32).numpy()
        for name, tensor in model.state_dict().items()
    }
    complete: dict[str, Any] = {"name": path.stem, **(card or {})}

    def described(sha256: str) -> str:
        complete.update(
            format=CARD_FORMAT,
            spec=model.spec.to_dict(),
            fingerprint=model.fingerprint,
            sha256=sha256,
            reference=make_reference(model),
        )
        return _card_text(complete)

    save_with_card(path, tensors, described)
    model.card = complete
    return complete


def read_card(path: str | Path) -> dict[str, Any]:
    """Read the card that stands beside a safetensors file.

    Parameters
    ----------
    path : path
        The ``.safetensors`` file.

    Raises
    ------
    InputError
        If the card is absent, no JSON object, of another format, or incomplete.
    """
    card_path = Path(path).with_suffix(".json")
    if not card_path.is_file():
        raise InputError(
            f"{path} needs its card {card_path.name} beside it; copy both files."
        )
    if card_path.stat().st_size > _MAX_CARD_BYTES:
        raise InputError(
            f"{card_path} has {card_path.stat().st_size} bytes, which is not the size "
            "of a card; copy the card that belongs to the weights."
        )
    try:
        card = json.loads(card_path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{card_path} is not JSON ({error}); copy the card that belongs to the "
            "weights."
        ) from error
    if not isinstance(card, dict) or card.get("format") != CARD_FORMAT:
        number = card.get("format") if isinstance(card, dict) else None
        raise InputError(
            f"{card_path} is a card of format {number!r} and this version reads "
            f"{CARD_FORMAT}; update mdgeomfeat or export the model again."
        )
    missing = [key for key in _REQUIRED if key not in card]
    if missing:
        raise InputError(
            f"{card_path} lacks {', '.join(missing)}; copy the card that was written "
            "with the weights."
        )
    return card


def read_model(path: str | Path) -> Backbone:
    """Read a network that :func:`save_model` wrote.

    Strict: every tensor of the architecture must be there with its shape, and none
    beside; the fingerprint must be the card's.

    Parameters
    ----------
    path : path
        The ``.safetensors`` file.

    Returns
    -------
    Backbone
        float32, on the CPU, in evaluation mode, with its card.

    Raises
    ------
    InputError
        If the files are absent, damaged, or do not belong together.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is not a file; give the path of a safetensors file.")
    card = read_card(path)
    spec = ModelSpec.from_dict(card["spec"])
    with torch.device("meta"):
        model = build_model(spec)
    model.load_state_dict(_read_tensors(path, model), strict=True, assign=True)
    if model.fingerprint != card["fingerprint"]:
        raise InputError(
            f"{path} does not hold the weights that {path.stem}.json describes "
            f"(their fingerprint is {model.fingerprint[:12]}); fetch both files again."
        )
    model.card = card
    return model.eval()


def _read_tensors(path: Path, model: Backbone) -> dict[str, Tensor]:
    """Read tensors after comparing their names and shapes with the model's."""
    expected = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            shapes = {k: tuple(file.get_slice(k).get_shape()) for k in file.keys()}  # noqa: SIM118
            for problem, names in (
                ("lacks", sorted(set(expected) - set(shapes))),
                ("has the unknown", sorted(set(shapes) - set(expected))),
            ):
                if names:
                    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                    raise InputError(
                        f"{path} {problem} tensors {', '.join(names[:3])}{more}, so it "
                        f"is not the {model.spec.architecture} its card describes; "
                        "fetch both files again."
                    )
            for name, shape in expected.items():
                if shapes[name] != shape:
                    raise InputError(
                        f"{path} has {name} with shape {shapes[name]} where its card "
                        f"asks for {shape}; fetch both files again."
                    )
            tensors = {name: file.get_tensor(name) for name in expected}
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is not a safetensors file ({error}); give the weights as they "
            "were saved."
        ) from error
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or not bool(torch.isfinite(tensor).all()):
            raise InputError(
                f"{path} has values in {name} that are not finite float32 numbers; "
                "fetch the file again."
            )
    return tensors


def check_files(path: str | Path) -> list[str]:
    """Compare a network's files with its card, and its output with the reference.

    Parameters
    ----------
    path : path
        The ``.safetensors`` file.

    Returns
    -------
    list of str
        One sentence for each problem; empty if there is none.
    """
    path = Path(path)
    try:
        model = read_model(path)
    except InputError as error:
        return [str(error)]
    problems = []
    if hash_file(path) != model.card["sha256"]:
        problems.append(
            f"{path} has another SHA-256 than its card says; fetch both files again."
        )
    try:
        difference = reference_error(model)
    except InputError as problem:
        return [*problems, str(problem)]
    if not difference < 1e-6:
        problems.append(
            f"{path} gives features that differ by {difference:.1e} from its "
            "card's reference; this version computes the network differently, or the "
            "card was changed."
        )
    return problems
