"""Slow motions: splits, scores, TICA, VAMPNets, timescales and states.

Everything takes lists with one array per unbroken trajectory, frames first, and
times in frames.
"""

from __future__ import annotations

from mdgeomfeat.kinetics.biased_states import build_biased_states
from mdgeomfeat.kinetics.bottleneck import (
    Bottleneck,
    BottleneckRow,
    scan_bottlenecks,
)
from mdgeomfeat.kinetics.ck import CKTest, ck_test
from mdgeomfeat.kinetics.convergence import Convergence, Shortfall
from mdgeomfeat.kinetics.dataset import PairBatches, TokenDataset
from mdgeomfeat.kinetics.energy import FreeEnergy, free_energy
from mdgeomfeat.kinetics.evidence import Evidence, sure_lead
from mdgeomfeat.kinetics.koopman import koopman_weights
from mdgeomfeat.kinetics.lag import LagScan, choose_lag
from mdgeomfeat.kinetics.model import CVModel, make_cv_model
from mdgeomfeat.kinetics.msm import MarkovModel, estimate_msm, unit_counts
from mdgeomfeat.kinetics.picking import Pick, Why, pick_frames
from mdgeomfeat.kinetics.rates import NoRates, TransitionRates, transition_rates
from mdgeomfeat.kinetics.reasons import (
    Choices,
    Doubt,
    DoubtWarning,
    LagReason,
    MarkovLagReason,
    MixerReason,
)
from mdgeomfeat.kinetics.results import StudyResult, StudySettings
from mdgeomfeat.kinetics.scores import (
    Score,
    ScoreError,
    ceiling,
    null_score,
    vamp2_score,
)
from mdgeomfeat.kinetics.sklearn_wrapper import DeeptimeTransformer, estimator
from mdgeomfeat.kinetics.smooth import fit_smooth_tica
from mdgeomfeat.kinetics.spib import SpibFit, fit_spib
from mdgeomfeat.kinetics.spib_options import SpibOptions
from mdgeomfeat.kinetics.splits import Fold, make_folds
from mdgeomfeat.kinetics.states import StateModel, build_states, discretize
from mdgeomfeat.kinetics.stopped import (
    Committor,
    StoppedVamp,
    fit_committor,
    fit_stopped_vamp,
)
from mdgeomfeat.kinetics.study import run_study
from mdgeomfeat.kinetics.tica import LinearMap, fit_tica, fit_tica_guarded
from mdgeomfeat.kinetics.timescales import (
    ImpliedTimescales,
    LaterTimescale,
    implied_timescales,
)
from mdgeomfeat.kinetics.vampnet import TrainingOptions, VampnetFit, fit_vampnet
from mdgeomfeat.kinetics.weights import FrameWeights, WeightKind, WeightOrigin

__all__ = [
    "Bottleneck",
    "BottleneckRow",
    "CKTest",
    "CVModel",
    "Choices",
    "Committor",
    "Convergence",
    "DeeptimeTransformer",
    "Doubt",
    "DoubtWarning",
    "Evidence",
    "Fold",
    "FrameWeights",
    "FreeEnergy",
    "ImpliedTimescales",
    "LagReason",
    "LagScan",
    "LaterTimescale",
    "LinearMap",
    "MarkovLagReason",
    "MarkovModel",
    "MixerReason",
    "NoRates",
    "PairBatches",
    "Pick",
    "Score",
    "ScoreError",
    "Shortfall",
    "SpibFit",
    "SpibOptions",
    "StateModel",
    "StoppedVamp",
    "StudyResult",
    "StudySettings",
    "TokenDataset",
    "TrainingOptions",
    "TransitionRates",
    "VampnetFit",
    "WeightKind",
    "WeightOrigin",
    "Why",
    "build_biased_states",
    "build_states",
    "ceiling",
    "choose_lag",
    "ck_test",
    "discretize",
    "estimate_msm",
    "estimator",
    "fit_committor",
    "fit_smooth_tica",
    "fit_spib",
    "fit_stopped_vamp",
    "fit_tica",
    "fit_tica_guarded",
    "fit_vampnet",
    "free_energy",
    "implied_timescales",
    "koopman_weights",
    "make_cv_model",
    "make_folds",
    "null_score",
    "pick_frames",
    "run_study",
    "scan_bottlenecks",
    "sure_lead",
    "transition_rates",
    "unit_counts",
    "vamp2_score",
]
