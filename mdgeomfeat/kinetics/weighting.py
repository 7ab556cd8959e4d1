"""What weights of frames change in a study: states, timescales and doubts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.biased_states import build_biased_states
from mdgeomfeat.kinetics.bottleneck import Bottleneck
from mdgeomfeat.kinetics.lag import LagScan
from mdgeomfeat.kinetics.markov_lag import MarkovLag, choose_markov_lag
from mdgeomfeat.kinetics.msm import make_units
from mdgeomfeat.kinetics.reasons import (
    BiasedDynamics,
    Doubt,
    FewEffective,
    MarkovLagReason,
)
from mdgeomfeat.kinetics.results import StudySettings
from mdgeomfeat.kinetics.states import StateModel, build_states
from mdgeomfeat.kinetics.timescales import (
    ImpliedTimescales,
    implied_timescales,
    lag_series,
)
from mdgeomfeat.kinetics.weights import FrameWeights, WeightOrigin

__all__ = ["check_weights", "doubts_on_weights", "markov_of", "timescales_of"]

#: Effective frames below which populations are known to a few per cent at best.
_ENOUGH_EFFECTIVE = 500


def check_weights(
    weights: FrameWeights | None, lengths: Sequence[int], settings: StudySettings
) -> bool:
    """Refuse weights that cannot be used; return whether the runs were biased.

    Raises
    ------
    InputError
        If these are no weights, or come with Koopman reweighting, or fit no frames, or
        are for an information bottleneck.
    """
    if settings.method == "spib" and (settings.koopman or weights is not None):
        raise InputError(
            "An information bottleneck takes no weights, because its states are those "
            "that outlast the lag, and weights do not correct how long states last; "
            "use the method 'tica' or 'vampnet'."
        )
    if weights is None:
        return False
    if not isinstance(weights, FrameWeights):
        raise InputError(
            "weights= does not say whether it holds weights or their logarithms; give "
            "FrameWeights.from_log(...), from_plain(...) or from_bias(...)."
        )
    if settings.koopman:
        raise InputError(
            "Weights are given, and koopman=True would make others; leave one out."
        )
    weights.require(lengths)
    return weights.origin is WeightOrigin.BIAS


def doubts_on_weights(weights: FrameWeights | None, biased: bool) -> list[Doubt]:
    """Return what weights leave unknown or uncertain."""
    found: list[Doubt] = [BiasedDynamics()] if biased else []
    if weights is not None and weights.effective_size < _ENOUGH_EFFECTIVE:
        found.append(FewEffective(weights.effective_size, weights.n_frames))
    return found


def markov_of(
    cvs: list[NDArray[np.float64]],
    scan: LagScan,
    dim: int,
    settings: StudySettings,
    weights: FrameWeights | None,
    biased: bool,
    bottleneck: Bottleneck | None = None,
) -> MarkovLag:
    """Return states of a Markov model at its lag, or of the weights of biased runs."""
    n_states = settings.n_states
    if n_states is None and bottleneck is not None:
        n_states = max(bottleneck.n_states, 2)
    common: dict[str, Any] = {
        "n_states": n_states,
        "max_processes": dim,
        "groups": settings.groups,
        "n_samples": settings.n_bootstrap,
        "seed": settings.seed,
    }
    if weights is not None and biased:
        states = build_biased_states(cvs, scan.lag, weights, **common)
        return MarkovLag(states, MarkovLagReason.VARIABLES)
    values = None if weights is None else weights.values
    return choose_markov_lag(
        lambda lag: build_states(
            cvs, lag, weights=values, slowest=scan.slowest, **common
        ),
        scan.lag,
        lengths=[len(c) for c in cvs],
        groups=settings.groups,
        given=settings.lag is not None,
        weights=values,
    )


def timescales_of(
    msm: StateModel,
    lag: int,
    dim: int,
    settings: StudySettings,
    weights: FrameWeights | None,
    slowest: float | None,
) -> ImpliedTimescales:
    """Return timescales of Markov models over lags around that of the study."""
    lengths = [len(m) for m in msm.microstates]
    longest = max(lengths) // 4
    return implied_timescales(
        msm.microstates,
        sorted({*lag_series(min(longest, max(10 * lag, 20))), lag, msm.lag}),
        dim,
        units=make_units(lengths, msm.lag, slowest, settings.groups),
        partitions=msm.partitions,
        n_samples=settings.n_bootstrap,
        seed=settings.seed,
        weights=None if weights is None else weights.values,
    )
