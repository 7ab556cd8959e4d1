"""The check at the border of every mixer."""

from __future__ import annotations

from torch import Tensor

from mdgeomfeat.errors import InputError
from mdgeomfeat.mixing.spec import MixerSpec

__all__ = ["check_input"]


def check_input(tokens: Tensor, spec: MixerSpec) -> None:
    """Raise unless `tokens` is a batch of what `spec` describes.

    Raises
    ------
    InputError
        If the shape without the batch axis is not ``spec.input_shape``.
    """
    if tokens.shape[1:] != spec.input_shape:
        expected = ", ".join(map(str, spec.input_shape))
        raise InputError(
            f"The {spec.kind} mixer got an input of shape {tuple(tokens.shape)}, but "
            f"was built for (batch, {expected}); feed what it was built for, or "
            "build another."
        )
