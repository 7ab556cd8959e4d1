"""Which networks a study trains: their mixers, and how many of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mdgeomfeat.kinetics.arrays import Arrays
from mdgeomfeat.kinetics.reasons import MixerReason
from mdgeomfeat.kinetics.results import StudySettings
from mdgeomfeat.kinetics.vampnet import training_operations
from mdgeomfeat.mixing import MixerSpec

__all__ = ["USUAL_SEEDS", "choose_mixer", "choose_seeds", "mixer_reason"]

#: Shares of the numbers of a frame that are dropped while training, and from how many
#: on they are many.
_DROPPED, _DROPPED_WIDE, _WIDE = 0.1, 0.3, 100

#: Tokens that are mixed at most; more are joined to so many, as the time of attention
#: grows with their square (benchmarks/tokens.py).
_MIXED = 256

#: Seeds of a usual study, and operations (some minutes of one core) that lower them.
USUAL_SEEDS, _OPERATIONS = 3, 9e12


def choose_mixer(arrays: Arrays, settings: StudySettings) -> MixerSpec:
    """Return the mixer kind and sizes of an input; outputs are filled in later.

    Inputs are dropped while training: each with probability 0.3 where a frame has a
    hundred or more, else 0.1. It is the rule for every input, and each was best for
    its kind on a pentapeptide (features and dihedrals). Of more than 256 tokens,
    consecutive ones are joined until 256 or fewer are left.
    """
    shape = arrays[0].shape[1:]
    kind = settings.mixer
    if len(shape) == 1:
        kind, n_tokens, n_features = "flat", 1, shape[0]
    elif len(shape) == 3:
        kind, n_tokens, n_features = "equivariant", shape[0], shape[2]
    else:
        n_tokens, n_features = shape
        if kind in (None, "equivariant"):
            kind = "attention"
    wide = np.prod(shape) >= _WIDE
    usual = {
        "input_dropout": _DROPPED_WIDE if wide else _DROPPED,
        "merge": 1 if kind == "flat" else -(-int(n_tokens) // _MIXED),
    }
    return MixerSpec(
        kind=kind,
        n_tokens=int(n_tokens),
        n_features=int(n_features),
        n_outputs=settings.dim or 1,
        **{**usual, **settings.mixer_options},
    )


def choose_seeds(
    settings: StudySettings, mixers: Iterable[MixerSpec], n_frames: int
) -> int:
    """Return how many VAMPNets are trained: the usual number, or what time allows."""
    if settings.method == "tica":
        return 1
    if settings.seeds is not None:
        return settings.seeds
    if settings.method == "spib":
        return 1
    one = settings.max_folds * sum(
        training_operations(m, n_frames // 2, settings.training) for m in mixers
    )
    return int(np.clip(_OPERATIONS // one, 1, USUAL_SEEDS))


def mixer_reason(
    settings: StudySettings, arrays: Arrays, mixer: MixerSpec
) -> MixerReason | None:
    """Return why this mixer; None without a network."""
    if settings.network is None:
        return None
    if settings.mixer == mixer.kind:
        return MixerReason.GIVEN
    if arrays[0].ndim == 2:
        return MixerReason.NO_TOKENS
    if arrays[0].ndim == 4:
        return MixerReason.VECTORS
    return MixerReason.TOKENS
