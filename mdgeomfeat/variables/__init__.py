"""Learnt variables as functions of positions, with gradients.

:class:`CollectiveVariables` is what ``vamp`` or ``tica`` saved, as a
:class:`torch.nn.Module` from positions to the d outputs: neighbour list, network,
pooling, invariants, standardiser and linear map or lobe. It is what a bias pushes
along and what importances are slopes of.
"""

from __future__ import annotations

from mdgeomfeat.variables.alignment import (
    ChangedToken,
    TokenAlignment,
    align_tokens,
)
from mdgeomfeat.variables.collective import CollectiveVariables
from mdgeomfeat.variables.novelty import Novelty, measure_novelty
from mdgeomfeat.variables.saved import (
    check_same_molecule,
    read_model_folder,
    read_training,
)
from mdgeomfeat.variables.smoothness import jump_at_cutoff
from mdgeomfeat.variables.training import Reach, TrainingRecord, record_training

__all__ = [
    "ChangedToken",
    "CollectiveVariables",
    "Novelty",
    "Reach",
    "TokenAlignment",
    "TrainingRecord",
    "align_tokens",
    "check_same_molecule",
    "jump_at_cutoff",
    "measure_novelty",
    "read_model_folder",
    "read_training",
    "record_training",
]
