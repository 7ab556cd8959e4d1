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
    """

    GIVEN = "given"
    CONSTANT = "constant"
    TEST = "test"
    VARIABLES = "variables"


class MixerReason(StrEnum):
    """Why this mixer: asked for, no tokens, vector channels, or tokens."""

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
    """

    lag: LagReason
    markov_lag: MarkovLagReason
    dim_given: bool
    mixer: MixerReason | None
    n_tokens: int
    merged: int
    fewer_seeds: bool


class DoubtWarning(MDGeomFeatWarning):
    """A study has doubts, which its result holds as records."""


@dataclass(frozen=True)
class Doubt:
    """Something that makes results less certain."""

    @property
    def kind(self) -> str:
        """Its name in lower case, such as ``"few_data"``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able summary; durations are in frames."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class BiasedDynamics(Doubt):
    """The runs were biased: timescales would be those of the bias, and are left out."""


@dataclass(frozen=True)
class FewEffective(Doubt):
    """The weights of `n_frames` frames are worth `effective_size` equal ones."""

    effective_size: float
    n_frames: int


@dataclass(frozen=True)
class SeparateSets(Doubt):
    """Weighted frames fall into sets that no run joins.

    `n_sets` of them are states and hold this share of the weight. Their populations
    rest on the weights of different runs alone.
    """

    n_sets: int
    share: float


@dataclass(frozen=True)
class NotEstablished(Doubt):
    """Held-out data show no slow motion; the evidence of the study says why."""


@dataclass(frozen=True)
class FewerOutputs(Doubt):
    """The outputs depend on each other: `rank` of `wanted` are left."""

    wanted: int
    rank: int


@dataclass(frozen=True)
class LagNotConstant(Doubt):
    """The slowest TICA timescale still changes with the lag."""

    reason: LagReason


@dataclass(frozen=True)
class NotIndependent(Doubt):
    """Held-out parts lie closer to the others than five lags or the slowest motion."""


@dataclass(frozen=True)
class FewData(Doubt):
    """All frames are `ratio` times the slowest timescale; `needed` would be enough.

    If `unusable`, not even the order of magnitude of timescales is sure.
    """

    ratio: float
    slowest: float
    needed: int
    unusable: bool


@dataclass(frozen=True)
class FramesOutside(Doubt):
    """A share of the frames lies outside the connected set of microstates."""

    share: float


@dataclass(frozen=True)
class NothingAboveLag(Doubt):
    """The Markov model has no timescale above its lag."""


@dataclass(frozen=True)
class FewerStates(Doubt):
    """PCCA+ finds fewer states that hold frames than were wanted."""

    found: int
    wanted: int


@dataclass(frozen=True)
class MarkovTestTooShort(Doubt):
    """Not even two lags of a Chapman-Kolmogorov test fit into the trajectories."""


@dataclass(frozen=True)
class MarkovTestUndecided(Doubt):
    """The data are too few to decide the Chapman-Kolmogorov test.

    A probability is known to `uncertainty` only; about `more` times as many frames
    would decide.
    """

    uncertainty: float
    more: float


@dataclass(frozen=True)
class MarkovTestFailed(Doubt):
    """The Chapman-Kolmogorov test fails, by this deviation of a probability."""

    largest_deviation: float


@dataclass(frozen=True)
class NoLagPasses(Doubt):
    """The Chapman-Kolmogorov test fails at every lag that may be chosen.

    It passes at `passing`, a lag that is too long to be chosen (or that was not asked
    for, where one was), or at none up to `longest`, where `passing` is None; both are
    frames.
    """

    passing: int | None
    longest: int


@dataclass(frozen=True)
class Disconnected(Doubt):
    """There is no Markov model: this share lies outside the largest connected set."""

    lost_share: float


@dataclass(frozen=True)
class ManySets(Doubt):
    """Of the connected sets that hold 1 % of the frames only some are shown.

    `share` is that of the frames in the sets that are shown.
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
    """

    n_failed: int
    n_fits: int
    reason: str


@dataclass(frozen=True)
class FitsFailed(Doubt):
    """Fits of one input failed."""

    method: str
    input: str
    failure: Failure
