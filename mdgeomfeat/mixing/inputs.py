"""What happens to every input before it is mixed: check, dropout, merging."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from mdgeomfeat.errors import InputError
from mdgeomfeat.mixing.spec import MixerSpec

__all__ = ["check_input", "prepare"]

#: Values of a 16-bit number.
_LEVELS = 2**16


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


def prepare(tokens: Tensor, spec: MixerSpec, *, training: bool) -> Tensor:
    """Check a batch, drop inputs while training, and merge consecutive tokens.

    Parameters
    ----------
    tokens : (B, N, K) or (B, N, 4, C) Tensor
    spec : MixerSpec
        ``input_dropout`` and ``merge`` say what is done.
    training : bool
        Whether inputs are dropped.

    Returns
    -------
    (B, N', K') or (B, N', 4, C') tensor
        N' = ``spec.mixed_tokens``; the last ones are filled up with zeros.

    Raises
    ------
    InputError
        If the shape without the batch axis is not ``spec.input_shape``.
    """
    check_input(tokens, spec)
    if training and spec.input_dropout:
        tokens = tokens * _kept(tokens, spec.input_dropout)
    return tokens if spec.merge == 1 else _merged(tokens, spec)


def _kept(tokens: Tensor, p: float) -> Tensor:
    """Return factors that drop numbers, and vectors as a whole."""
    if tokens.ndim == 3:
        return _factors(tokens, p)
    factors = _factors(tokens[..., :2, :], p)
    # (scalar, vector) -> (scalar, x, y, z)
    return factors[..., [0, 1, 1, 1], :]


def _factors(like: Tensor, p: float) -> Tensor:
    """Return zeros with probability `p`, to 1 in 65,536, else what keeps the mean at 1.

    torch draws each number of its dropout by itself, which takes a quarter of the time
    of a training step; here four come from one draw of 64 bits.
    """
    size = like.numel()
    drawn = torch.empty(-(-size // 4), dtype=torch.int64, device=like.device)
    drawn.random_(-(2**63), None)
    dropped = round(p * _LEVELS)
    # in place: a comparison that makes booleans takes fifteen times as long
    kept = drawn.view(torch.int16)[:size].ge_(dropped - _LEVELS // 2)
    return kept.to(like.dtype).div_(1 - dropped / _LEVELS).view(like.shape)


def _merged(tokens: Tensor, spec: MixerSpec) -> Tensor:
    m, n = spec.merge, spec.mixed_tokens
    if missing := n * m - spec.n_tokens:
        tokens = pad(tokens, (0, 0) * (tokens.ndim - 2) + (0, missing))
    groups = tokens.unflatten(1, (n, m)).movedim(2, -2)
    joined: Tensor = groups.flatten(-2)
    return joined
