"""Building a mixer from its description, with seeded weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mdgeomfeat.errors import InputError
from mdgeomfeat.mixing.attention import AttentionMixer
from mdgeomfeat.mixing.equivariant import EquivariantMixer
from mdgeomfeat.mixing.mlp import FlatMixer, MLPMixer
from mdgeomfeat.mixing.spec import MixerSpec

__all__ = ["build_mixer", "count_parameters"]

_CLASSES: dict[str, type[nn.Module]] = {
    "flat": FlatMixer,
    "mlp": MLPMixer,
    "attention": AttentionMixer,
    "equivariant": EquivariantMixer,
}


def build_mixer(
    spec: MixerSpec | str,
    n_tokens: int | None = None,
    n_features: int | None = None,
    n_outputs: int | None = None,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    **options: Any,
) -> nn.Module:
    """Build a token mixer.

    Parameters
    ----------
    spec : MixerSpec or str
        The description, or a kind (then the three sizes are needed).
    n_tokens, n_features, n_outputs : int, optional
        Tokens N, features K (``equivariant``: channels C) and outputs d.
    seed : int
        Seed of the initial weights. They are drawn on the CPU in float32 from a
        generator of their own, so they do not depend on `dtype` and `device`, and
        the global random state is left as it was.
    dtype, device
        Where the weights go.
    **options
        ``width``, ``depth``, ``n_heads``, ``dropout`` of :class:`MixerSpec`.

    Returns
    -------
    nn.Module
        Maps (B, N, K), or (B, N, 4, C), to (B, d); its description is ``.spec``.

    Raises
    ------
    InputError
        If the description is incomplete or not allowed.

    Examples
    --------
    >>> import torch
    >>> from mdgeomfeat.mixing import build_mixer
    >>> build_mixer("attention", 5, 112, 3)(torch.zeros(8, 5, 112)).shape
    torch.Size([8, 3])
    """
    if isinstance(spec, str):
        if n_tokens is None or n_features is None or n_outputs is None:
            raise InputError(
                f"Mixer {spec!r} needs n_tokens, n_features and n_outputs; give all "
                "three, or a MixerSpec."
            )
        spec = MixerSpec(
            kind=spec,
            n_tokens=n_tokens,
            n_features=n_features,
            n_outputs=n_outputs,
            **options,
        )
    elif options or not (n_tokens is n_features is n_outputs is None):
        raise InputError(
            "A MixerSpec holds all sizes already; change the spec instead of giving "
            "sizes beside it."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mixer = _CLASSES[spec.kind](spec)
    return mixer.to(device=device, dtype=dtype)


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable numbers in a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
