"""Whether a slow motion is established, by data that no fit has seen.

Collective variables, Markov models and their tests are made of all frames. Where there
are few of them, or many features, a fit turns noise into variables that look slow, and
a Markov model of these has timescales, states and a passing test. So only what is
cross-validated counts here: the lag scan and the held-out scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, inf, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdgeomfeat.kinetics.lag import LagScan
    from mdgeomfeat.kinetics.scores import Score
    from mdgeomfeat.kinetics.splits import Fold

__all__ = ["Evidence", "sure_lead", "weigh_evidence"]

#: Standard errors by which a score must exceed chance.
_ERRORS = 2.0

#: What a process whose timescale is the lag adds to VAMP-2.
_AT_LAG = exp(-2.0)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What held-out data say of the slow motions.

    Attributes
    ----------
    slower_than_lag : bool
        Whether a process slower than the lag was found.
    above_chance : bool
        Whether the held-out score exceeds what chance gives.
    score : float or None
        Held-out score of the estimator that made the collective variables.
    error : float or None
        Its standard error over the held-out parts; None with one part.
    chance : float
        The null of that score, or what independent frames would give where the parts
        are too short for one.
    n_parts : int
        Held-out parts that have a score.
    """

    slower_than_lag: bool
    above_chance: bool
    score: float | None
    error: float | None
    chance: float
    n_parts: int

    @property
    def established(self) -> bool:
        """Whether a slow motion is established."""
        return self.slower_than_lag and self.above_chance

    def to_dict(self) -> dict[str, bool | float | int | None]:
        """Return a JSON-able summary."""
        return {
            "established": self.established,
            "slower_than_lag": self.slower_than_lag,
            "above_chance": self.above_chance,
            "score": self.score,
            "error": self.error,
            "chance": self.chance,
            "n_parts": self.n_parts,
        }


def weigh_evidence(
    scan: LagScan, score: Score, folds: Sequence[Fold], lag: int, dim: int
) -> Evidence:
    """Judge whether a slow motion is established.

    The score must lead over chance (:func:`sure_lead`). With three or four parts that
    alone is a weak test, which one time in ten of nothing passes, so a process must
    also be slower than the lag. Either the lag scan finds one, or the score does: d
    outputs that lead by more than d exp(-2) hold a process with a timescale above the
    lag, which the scan, being linear, can miss. A lag that was given changes nothing:
    a motion that is over within the lag is not slow in a study at that lag.

    Parameters
    ----------
    scan : LagScan
    score : Score
        Of the primary input, by the estimator that made the collective variables.
    folds : sequence of Fold
        What was scored.
    lag : int
        Lag in frames.
    dim : int
        Number of outputs d.
    """
    chance = score.null
    if chance is None:
        # d² squared correlations of unrelated outputs are 1 / (number of pairs) each;
        # slow outputs have more, so this is the least that chance gives
        chance = 1.0 + dim**2 / max(_mean_pairs(folds, lag), 1.0)
    lead = sure_lead(replace(score, null=chance))
    return Evidence(
        slower_than_lag=scan.n_slow > 0 or lead > dim * _AT_LAG,
        above_chance=lead > 0,
        score=score.score,
        error=_error(score),
        chance=chance,
        n_parts=_n_parts(score),
    )


def sure_lead(score: Score) -> float:
    """Return by how much a score exceeds chance, less two standard errors.

    Seeds of one held-out part share its frames, so a part counts once, with the mean
    over its seeds, and the error is the standard deviation over parts divided by the
    root of their number. Chance is the null of the score; 1 where there is none.
    """
    if score.score is None:
        return -inf
    chance = 1.0 if score.null is None else score.null
    return score.score - chance - _ERRORS * (_error(score) or 0.0)


def _error(score: Score) -> float | None:
    if score.sd_folds is None:
        return None
    return score.sd_folds / sqrt(_n_parts(score))


def _mean_pairs(folds: Sequence[Fold], lag: int) -> float:
    """Return the lagged pairs of a held-out part."""
    pairs = [max(s.stop - s.start - lag, 0) for fold in folds for s in fold.score]
    return sum(pairs) / len(folds)


def _n_parts(score: Score) -> int:
    return sum(value is not None for value in score.by_fold)
