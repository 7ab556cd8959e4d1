"""Which frames train, which stop the training, and which are scored.

A score is only worth something on data that neither training nor stopping has seen
(whole trajectories, or blocks that are separated by more than the memory of the
slowest process). Roles rotate, so that a mean and a spread over held-out parts exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.arrays import Span

__all__ = ["Fold", "make_folds"]

#: A third must hold this many frames, and this many lags, to count as one.
_MIN_FRAMES = 15
_MIN_LAGS = 3
#: Whole trajectories are the parts only if the smallest part has this share of the
#: largest; three fragments beside one long run are no three parts.
_BALANCE = 0.1


@dataclass(frozen=True)
class Fold:
    """One division of the data.

    Attributes
    ----------
    train, stop, score : tuple of Span
        Frames that train, that stop the training, and that are scored.
    kind : {"trajectories", "thirds"}
        What was divided.
    independent : bool
        Whether the parts are separate trajectories or far enough apart.
    gap : int
        Frames left out between neighbouring parts of one trajectory.
    """

    train: tuple[Span, ...]
    stop: tuple[Span, ...]
    score: tuple[Span, ...]
    kind: str
    independent: bool
    gap: int = 0


def make_folds(
    lengths: Sequence[int],
    lag: int,
    *,
    slowest: float | None = None,
    groups: Sequence[int] | None = None,
    max_folds: int = 4,
) -> list[Fold]:
    """Divide trajectories into training, stopping and scoring parts.

    With at least three trajectories each part consists of whole ones (unless one part
    would have less than a tenth of another's frames). Otherwise every
    trajectory is cut into thirds separated by the larger of five lags and the slowest
    timescale; where that does not fit, by one lag, and the folds are marked as not
    independent.

    Parameters
    ----------
    lengths : sequence of int
        Frames of every trajectory.
    lag : int
        Lag in frames.
    slowest : float, optional
        Slowest timescale found, frames.
    groups : sequence of int, optional
        Equal numbers mark pieces of one run (cut at a gap in its frames), in the
        order of time. By default every trajectory is its own run.
    max_folds : int
        Largest number of folds.

    Returns
    -------
    list of Fold
        The roles rotate from one to the next.

    Raises
    ------
    InputError
        If the lag leaves no pair to train or to score on.
    """
    groups = list(range(len(lengths))) if groups is None else list(groups)
    if len(groups) != len(lengths):
        raise InputError(
            f"groups= has {len(groups)} entries for {len(lengths)} trajectories; give "
            "one per trajectory."
        )
    runs: dict[int, list[Span]] = {}
    for i, (group, length) in enumerate(zip(groups, lengths, strict=True)):
        if length > lag:
            runs.setdefault(group, []).append(Span(i, 0, length))
    if not runs:
        raise InputError(
            f"The lag of {lag} frames is not shorter than the longest trajectory "
            f"({max(lengths, default=0)} frames); choose a shorter lag."
        )
    if len(runs) >= 3:
        sets = _sets(list(runs.values()), max_folds)
        if min(map(_frames, sets)) >= _BALANCE * max(map(_frames, sets)):
            return _by_trajectory(sets, max_folds)
    return _by_thirds(list(runs.values()), lag, slowest, max_folds)


def _sets(runs: list[list[Span]], max_folds: int) -> list[list[Span]]:
    """Deal whole runs into sets of about equal size."""
    n_sets = min(len(runs), max(max_folds, 3))
    sets: list[list[Span]] = [[] for _ in range(n_sets)]
    # longest first into the emptiest set keeps unequal runs balanced
    for run in sorted(runs, key=_frames, reverse=True):
        min(sets, key=_frames).extend(run)
    return sets


def _by_trajectory(sets: list[list[Span]], max_folds: int) -> list[Fold]:
    n_sets = len(sets)
    folds = []
    for k in range(min(n_sets, max_folds)):
        score, stop = k, (k + 1) % n_sets
        train = [s for i in range(n_sets) if i not in (score, stop) for s in sets[i]]
        folds.append(
            Fold(
                train=tuple(sorted(train)),
                stop=tuple(sorted(sets[stop])),
                score=tuple(sorted(sets[score])),
                kind="trajectories",
                independent=True,
            )
        )
    return folds


def _by_thirds(
    runs: list[list[Span]], lag: int, slowest: float | None, max_folds: int
) -> list[Fold]:
    smallest = max(_MIN_FRAMES, _MIN_LAGS * lag)
    wide = max(5 * lag, ceil(slowest or 0))
    gap = wide
    fitting = [r for r in runs if (_frames(r) - 2 * gap) // 3 >= smallest]
    independent = bool(fitting)
    if not independent:
        gap, fitting = lag, runs
    thirds: list[list[Span]] = [[], [], []]
    for run in fitting:
        total = _frames(run)
        third = (total - 2 * gap) // 3
        # the last third takes the remainder
        edges = [0, third + gap, 2 * (third + gap)]
        ends = [third, 2 * third + gap, total]
        for part, start, end in zip(thirds, edges, ends, strict=True):
            part.extend(_slice(run, start, end))
    if any(sum(max(s.stop - s.start - lag, 0) for s in t) < 2 for t in thirds):
        longest = max(map(_frames, runs))
        raise InputError(
            f"A lag of {lag} frames leaves no lagged pairs in the thirds of a "
            f"trajectory of {longest} frames; choose at most {max(longest // 12, 1)}."
        )
    roles = [(0, 1, 2), (1, 2, 0), (2, 0, 1)][:max_folds]
    return [
        Fold(
            train=tuple(thirds[a]),
            stop=tuple(thirds[b]),
            score=tuple(thirds[c]),
            kind="thirds",
            independent=independent,
            gap=gap,
        )
        for a, b, c in roles
    ]


def _frames(spans: Sequence[Span]) -> int:
    return sum(s.stop - s.start for s in spans)


def _slice(run: Sequence[Span], start: int, stop: int) -> list[Span]:
    """Return frames ``start:stop`` of the pieces of a run, counted through."""
    out, seen = [], 0
    for piece in run:
        n = piece.stop - piece.start
        low, high = max(start - seen, 0), min(stop - seen, n)
        if high > low:
            out.append(Span(piece.trajectory, piece.start + low, piece.start + high))
        seen += n
    return out
