"""Why a study chose what it chose, and what makes its results less certain.

Facts only: enums and small records, whose durations are in frames.
:mod:`mdgeomfeat.report.wording` makes sentences of them.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from mdgeomfeat.errors import MDGeomFeatWarning

__all__ = [
    "BiasedDynamics",
    "Choices",
    "Disconnected",
    "Doubt",
    "DoubtWarning",
    "Failure",
    "FewData",
    "FewEffective",
    "FewerOutputs",
    "FewerStates",
    "FitsFailed",
    "FramesOutside",
    "LagNotConstant",
    "LagReason",
    "ManySets",
    "MarkovLagReason",
    "MarkovTestFailed",
    "MarkovTestTooShort",
    "MarkovTestUndecided",
    "MixerReason",
    "NoLagPasses",
    "NotEstablished",
    "NotIndependent",
    "NothingAboveLag",
    "SeparateSets",
]


class LagReason(StrEnum):
    """Why this lag.

    ``GIVEN``: it was asked for. ``CONSTANT``: the smallest at which the slowest TICA
    timescale is within 10 % of its value at the next two lags. ``LARGEST``: none is,
    so it is the largest allowed, 1/20 of the shortest trajectory. ``SHARE``: none is,
    and longer lags are above a third of the timescale.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import StudySettings, run_study
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> settings = StudySettings(method="tica", n_bootstrap=5)
    >>> study = run_study({"x": runs}, "x", settings)
    >>> from mdgeomfeat.kinetics.reasons import LagReason
    >>> study.lag_scan.reason is LagReason.CONSTANT
    True
    """

    GIVEN = "given"
    CONSTANT = "constant"
    LARGEST = "largest"
    SHARE = "share"


class MarkovLagReason(StrEnum):
    """Why the Markov model has its lag.

    ``GIVEN``: it was asked for. ``CONSTANT``: the slowest timescale of the model is
    within 10 % of its value at the next two lags. ``TEST``: it is not, but the
    Chapman-Kolmogorov test passes. ``VARIABLES``: it is the lag of the variables.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import StudySettings, run_study
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> settings = StudySettings(method="tica", n_bootstrap=5)
    >>> study = run_study({"x": runs}, "x", settings)
    >>> from mdgeomfeat.kinetics.reasons import MarkovLagReason
    >>> study.choices.markov_lag in set(MarkovLagReason)
    True
    """

    GIVEN = "given"
    CONSTANT = "constant"
    TEST = "test"
    VARIABLES = "variables"


class MixerReason(StrEnum):
    """Why this mixer: asked for, no tokens, vector channels, or tokens.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import MixerReason
    >>> [reason.value for reason in MixerReason]
    ['given', 'no_tokens', 'vectors', 'tokens']
    """

    GIVEN = "given"
    NO_TOKENS = "no_tokens"
    VECTORS = "vectors"
    TOKENS = "tokens"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What was chosen where nothing was asked for.

    Attributes
    ----------
    lag : LagReason
    markov_lag : MarkovLagReason
        Of the Markov model, whose lag may be shorter than that of the variables.
    dim_given : bool
        Whether the number of outputs was asked for; else it is that of the processes
        that the lag scan found, at least 1.
    mixer : MixerReason or None
        None without a VAMPNet.
    n_tokens : int
        Tokens of the primary input.
    merged : int
        Consecutive tokens that are joined to one before they are mixed.
    fewer_seeds : bool
        Whether there are fewer seeds than usual, because the networks are large.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import StudySettings, run_study
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> settings = StudySettings(method="tica", n_bootstrap=5)
    >>> study = run_study({"x": runs}, "x", settings)
    >>> study.choices.lag.value, study.choices.mixer is None
    ('constant', True)
    """

    lag: LagReason
    markov_lag: MarkovLagReason
    dim_given: bool
    mixer: MixerReason | None
    n_tokens: int
    merged: int
    fewer_seeds: bool


class DoubtWarning(MDGeomFeatWarning):
    """A study has doubts, which its result holds as records.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import StudySettings, run_study
    >>> from mdgeomfeat.kinetics.reasons import DoubtWarning
    >>> rng = np.random.default_rng(0)
    >>> noise = [rng.normal(size=(300, 3)) for _ in range(4)]
    >>> settings = StudySettings(method="tica", n_bootstrap=5)
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always", DoubtWarning)
    ...     study = run_study({"noise": noise}, "noise", settings)
    >>> bool(study.doubts), any(issubclass(w.category, DoubtWarning) for w in told)
    (True, True)
    """


@dataclass(frozen=True)
class Doubt:
    """Something that makes results less certain.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import Doubt, FramesOutside
    >>> isinstance(FramesOutside(share=0.1), Doubt), FramesOutside(share=0.1).to_dict()
    (True, {'kind': 'frames_outside', 'share': 0.1})
    """

    @property
    def kind(self) -> str:
        """Its name in lower case, such as ``"few_data"``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able summary; durations are in frames."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class BiasedDynamics(Doubt):
    """The runs were biased: timescales would be those of the bias, and are left out.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import BiasedDynamics
    >>> BiasedDynamics().to_dict()
    {'kind': 'biased_dynamics'}
    """


@dataclass(frozen=True)
class FewEffective(Doubt):
    """The weights of `n_frames` frames are worth `effective_size` equal ones.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import FewEffective
    >>> FewEffective(effective_size=35.5, n_frames=1000).to_dict()
    {'kind': 'few_effective', 'effective_size': 35.5, 'n_frames': 1000}
    """

    effective_size: float
    n_frames: int


@dataclass(frozen=True)
class SeparateSets(Doubt):
    """Weighted frames fall into sets that no run joins.

    `n_sets` of them are states and hold this share of the weight. Their populations
    rest on the weights of different runs alone.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import SeparateSets
    >>> SeparateSets(n_sets=3, share=0.95).to_dict()
    {'kind': 'separate_sets', 'n_sets': 3, 'share': 0.95}
    """

    n_sets: int
    share: float


@dataclass(frozen=True)
class NotEstablished(Doubt):
    """Held-out data show no slow motion; the evidence of the study says why.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import StudySettings, run_study
    >>> from mdgeomfeat.kinetics.reasons import NotEstablished
    >>> rng = np.random.default_rng(0)
    >>> noise = [rng.normal(size=(300, 3)) for _ in range(4)]
    >>> settings = StudySettings(method="tica", n_bootstrap=5)
    >>> study = run_study({"noise": noise}, "noise", settings)
    >>> any(isinstance(doubt, NotEstablished) for doubt in study.doubts)
    True
    """


@dataclass(frozen=True)
class FewerOutputs(Doubt):
    """The outputs depend on each other: `rank` of `wanted` are left.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import FewerOutputs
    >>> FewerOutputs(wanted=3, rank=2).to_dict()
    {'kind': 'fewer_outputs', 'wanted': 3, 'rank': 2}
    """

    wanted: int
    rank: int


@dataclass(frozen=True)
class LagNotConstant(Doubt):
    """The slowest TICA timescale still changes with the lag.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import LagNotConstant, LagReason
    >>> LagNotConstant(reason=LagReason.LARGEST).to_dict()
    {'kind': 'lag_not_constant', 'reason': <LagReason.LARGEST: 'largest'>}
    """

    reason: LagReason


@dataclass(frozen=True)
class NotIndependent(Doubt):
    """Held-out parts lie closer to the others than five lags or the slowest motion.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import NotIndependent
    >>> NotIndependent().to_dict()
    {'kind': 'not_independent'}
    """


@dataclass(frozen=True)
class FewData(Doubt):
    """All frames are `ratio` times the slowest timescale; `needed` would be enough.

    If `unusable`, not even the order of magnitude of timescales is sure.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import FewData
    >>> FewData(ratio=4.0, slowest=250.0, needed=30, unusable=True).to_dict()
    {'kind': 'few_data', 'ratio': 4.0, 'slowest': 250.0, 'needed': 30, 'unusable': True}
    """

    ratio: float
    slowest: float
    needed: int
    unusable: bool


@dataclass(frozen=True)
class FramesOutside(Doubt):
    """A share of the frames lies outside the connected set of microstates.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import FramesOutside
    >>> FramesOutside(share=0.12).to_dict()
    {'kind': 'frames_outside', 'share': 0.12}
    """

    share: float


@dataclass(frozen=True)
class NothingAboveLag(Doubt):
    """The Markov model has no timescale above its lag.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import NothingAboveLag
    >>> NothingAboveLag().to_dict()
    {'kind': 'nothing_above_lag'}
    """


@dataclass(frozen=True)
class FewerStates(Doubt):
    """PCCA+ finds fewer states that hold frames than were wanted.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import FewerStates
    >>> FewerStates(found=2, wanted=4).to_dict()
    {'kind': 'fewer_states', 'found': 2, 'wanted': 4}
    """

    found: int
    wanted: int


@dataclass(frozen=True)
class MarkovTestTooShort(Doubt):
    """Not even two lags of a Chapman-Kolmogorov test fit into the trajectories.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import MarkovTestTooShort
    >>> MarkovTestTooShort().to_dict()
    {'kind': 'markov_test_too_short'}
    """


@dataclass(frozen=True)
class MarkovTestUndecided(Doubt):
    """The data are too few to decide the Chapman-Kolmogorov test.

    A probability is known to `uncertainty` only; about `more` times as many frames
    would decide.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import MarkovTestUndecided
    >>> MarkovTestUndecided(uncertainty=0.3, more=4.0).to_dict()
    {'kind': 'markov_test_undecided', 'uncertainty': 0.3, 'more': 4.0}
    """

    uncertainty: float
    more: float


@dataclass(frozen=True)
class MarkovTestFailed(Doubt):
    """The Chapman-Kolmogorov test fails, by this deviation of a probability.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import MarkovTestFailed
    >>> MarkovTestFailed(largest_deviation=0.21).to_dict()
    {'kind': 'markov_test_failed', 'largest_deviation': 0.21}
    """

    largest_deviation: float


@dataclass(frozen=True)
class NoLagPasses(Doubt):
    """The Chapman-Kolmogorov test fails at every lag that may be chosen.

    It passes at `passing`, a lag that is too long to be chosen (or that was not asked
    for, where one was), or at none up to `longest`, where `passing` is None; both are
    frames.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import NoLagPasses
    >>> NoLagPasses(passing=None, longest=64).to_dict()
    {'kind': 'no_lag_passes', 'passing': None, 'longest': 64}
    """

    passing: int | None
    longest: int


@dataclass(frozen=True)
class Disconnected(Doubt):
    """There is no Markov model: this share lies outside the largest connected set.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import Disconnected
    >>> Disconnected(lost_share=0.4).to_dict()
    {'kind': 'disconnected', 'lost_share': 0.4}
    """

    lost_share: float


@dataclass(frozen=True)
class ManySets(Doubt):
    """Of the connected sets that hold 1 % of the frames only some are shown.

    `share` is that of the frames in the sets that are shown.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import ManySets
    >>> ManySets(n_large=14, n_shown=10, share=0.85).to_dict()
    {'kind': 'many_sets', 'n_large': 14, 'n_shown': 10, 'share': 0.85}
    """

    n_large: int
    n_shown: int
    share: float


@dataclass(frozen=True)
class Failure:
    """Why an input has no score, or fewer than asked for.

    Attributes
    ----------
    n_failed, n_fits : int
        Fits that failed, of so many; 0 of 0 where none was tried.
    reason : str
        What the first of them said.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import Failure
    >>> failure = Failure(n_failed=1, n_fits=4, reason="the outputs do not vary")
    >>> f"{failure.n_failed} of {failure.n_fits} fits failed"
    '1 of 4 fits failed'
    """

    n_failed: int
    n_fits: int
    reason: str


@dataclass(frozen=True)
class FitsFailed(Doubt):
    """Fits of one input failed.

    Examples
    --------
    >>> from mdgeomfeat.kinetics.reasons import Failure, FitsFailed
    >>> failure = Failure(n_failed=1, n_fits=4, reason="the outputs do not vary")
    >>> FitsFailed(method="TICA", input="dihedrals", failure=failure).kind
    'fits_failed'
    """

    method: str
    input: str
    failure: Failure
