"""What was found, in terms of the molecule: which residues matter, what differs.

Numbers only; :mod:`mdgeomfeat.report` makes sentences of them.
"""

from __future__ import annotations

from mdgeomfeat.explain.differences import (
    Difference,
    StateComparison,
    StateDifferences,
    compare_measured,
    compare_states,
)
from mdgeomfeat.explain.ensembles import (
    EnsembleTest,
    compare_ensembles,
    run_distances,
)
from mdgeomfeat.explain.gradients import (
    network_gradients,
    outputs_of_networks,
    token_gradients,
)
from mdgeomfeat.explain.importance import (
    FoldEffects,
    Importance,
    TokenImportance,
    exchange_in_folds,
    summarize,
)
from mdgeomfeat.explain.measure import measure
from mdgeomfeat.explain.observables import Kind
from mdgeomfeat.explain.pairing import Pairing, PartialToken, pair_atoms
from mdgeomfeat.explain.path import smooth_path
from mdgeomfeat.explain.permutation import Exchanged, HeldOut, exchange_tokens
from mdgeomfeat.explain.plain import PlainToken, Turn, plain_tokens
from mdgeomfeat.explain.quantities import Quantity, QuantityKind, quantities_of
from mdgeomfeat.explain.sample import Sample, draw_sample
from mdgeomfeat.explain.secondary import Backbone

__all__ = [
    "Backbone",
    "Difference",
    "EnsembleTest",
    "Exchanged",
    "FoldEffects",
    "HeldOut",
    "Importance",
    "Kind",
    "Pairing",
    "PartialToken",
    "PlainToken",
    "Quantity",
    "QuantityKind",
    "Sample",
    "StateComparison",
    "StateDifferences",
    "TokenImportance",
    "Turn",
    "compare_ensembles",
    "compare_measured",
    "compare_states",
    "draw_sample",
    "exchange_in_folds",
    "exchange_tokens",
    "measure",
    "network_gradients",
    "outputs_of_networks",
    "pair_atoms",
    "plain_tokens",
    "quantities_of",
    "run_distances",
    "smooth_path",
    "summarize",
    "token_gradients",
]
