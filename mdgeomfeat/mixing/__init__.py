"""Token mixers: networks that turn the tokens of a frame into a few outputs.

================  =============  ====================================================
kind              input          what it is
================  =============  ====================================================
``flat``          (B, N, K)      no mixing: one MLP on all tokens joined end to end
``mlp``           (B, N, K)      MLP-Mixer: an MLP across tokens, then across channels
``attention``     (B, N, K)      transformer encoder with a class token
``equivariant``   (B, N, 4, C)   attention on scalars and vectors, invariant outputs
================  =============  ====================================================
"""

from __future__ import annotations

from mdgeomfeat.mixing.attention import AttentionMixer
from mdgeomfeat.mixing.build import build_mixer, count_parameters
from mdgeomfeat.mixing.equivariant import EquivariantMixer
from mdgeomfeat.mixing.mlp import FlatMixer, MLPMixer
from mdgeomfeat.mixing.spec import KINDS, READOUTS, MixerSpec

__all__ = [
    "KINDS",
    "READOUTS",
    "AttentionMixer",
    "EquivariantMixer",
    "FlatMixer",
    "MLPMixer",
    "MixerSpec",
    "build_mixer",
    "count_parameters",
]
