"""Whether there are data enough, and how many more it would take.

Only facts that a longer simulation would change are weighed: the data in units of the
slowest timescale, how often each state was entered and left, whether the two halves
and the runs agree on the populations, and the Chapman-Kolmogorov test. That all of
them hold does not exclude a state that no run has ever visited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from mdgeomfeat.kinetics.arrays import listed
from mdgeomfeat.kinetics.pcca import cores

if TYPE_CHECKING:
    from mdgeomfeat.kinetics.evidence import Evidence
    from mdgeomfeat.kinetics.states import StateModel

__all__ = ["ENOUGH_CROSSINGS", "ENOUGH_TIMES", "Convergence", "Shortfall", "converged"]

#: Data in units of the slowest timescale from which it is known to some 30 %.
ENOUGH_TIMES = 70
#: Entries and exits of a state from which its rates are known to some 30 %: the
#: relative error of a number of rare events is one over its root.
ENOUGH_CROSSINGS = 10
#: Runs or halves that differ so much happen to a converged simulation one time in 100.
_SURE = 0.99


class Shortfall(StrEnum):
    """What is missing.

    ``BIASED``: of biased runs it cannot be told. ``NOT_ESTABLISHED``: no slow motion is
    established that could be converged. ``DISCONNECTED``: some states were not left and
    entered again. ``NOT_MARKOVIAN``, ``UNTESTED``: the Chapman-Kolmogorov test fails,
    or cannot be decided. ``FEW_TIMES``: the data are too few times the slowest
    timescale. ``FEW_CROSSINGS``: a state was entered or left too seldom. ``HALVES``,
    ``RUNS``: populations of the two halves, or of the runs, differ too much.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import Shortfall, StudySettings, run_study
    >>> rng = np.random.default_rng(0)
    >>> noise = [rng.normal(size=(300, 3)) for _ in range(4)]
    >>> settings = StudySettings(method="tica", n_bootstrap=5)
    >>> study = run_study({"noise": noise}, "noise", settings)
    >>> Shortfall.NOT_ESTABLISHED in study.convergence.shortfalls
    True
    """

    BIASED = "biased"
    NOT_ESTABLISHED = "not_established"
    DISCONNECTED = "disconnected"
    NOT_MARKOVIAN = "not_markovian"
    UNTESTED = "untested"
    FEW_TIMES = "few_times"
    FEW_CROSSINGS = "few_crossings"
    HALVES = "halves"
    RUNS = "runs"


@dataclass(frozen=True, eq=False, kw_only=True)
class Convergence:
    """Whether a study rests on enough data, and on what that verdict rests.

    Attributes
    ----------
    shortfalls : tuple of Shortfall
        What is missing, the gravest first; empty for data that are enough.
    slowest : float or None
        Slowest timescale, frames.
    times : float or None
        All frames in units of it.
    entries, exits : (S,) ndarray of int64
        How often each state was entered and left, from core to core of the states, so
        that a frame on the border is no crossing.
    halves, halves_lower, halves_upper : (2, S) ndarray
        Share of frames in each state, of the first and the second half of every run
        taken together, with 90 % intervals.
    runs, runs_lower, runs_upper : (R, S) ndarray
        The same of every run. Intervals (Wilson) count one independent frame for every
        two slowest timescales.
    factor : float or None
        About how many times as much data it would take; 1 if there are enough, None
        where the data do not tell.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import StudySettings, run_study
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> settings = StudySettings(method="tica", n_bootstrap=5)
    >>> study = run_study({"x": runs}, "x", settings)
    >>> study.convergence.converged, study.convergence.shortfalls
    (True, ())
    >>> study.convergence.runs.shape  # shares of frames, of four runs in two states
    (4, 2)
    """

    shortfalls: tuple[Shortfall, ...]
    slowest: float | None
    times: float | None
    entries: NDArray[np.int64]
    exits: NDArray[np.int64]
    halves: NDArray[np.float64]
    halves_lower: NDArray[np.float64]
    halves_upper: NDArray[np.float64]
    runs: NDArray[np.float64]
    runs_lower: NDArray[np.float64]
    runs_upper: NDArray[np.float64]
    factor: float | None

    @property
    def converged(self) -> bool | None:
        """Whether the data are enough; None where that cannot be told."""
        return None if Shortfall.BIASED in self.shortfalls else not self.shortfalls

    def to_dict(self, frame: float = 1.0) -> dict[str, Any]:
        """Return a JSON-able summary; the timescale times the length of a `frame`."""
        halves = ("halves", "halves_lower", "halves_upper")
        runs = ("runs", "runs_lower", "runs_upper")
        return {
            "converged": self.converged,
            "shortfalls": [s.value for s in self.shortfalls],
            "slowest": None if self.slowest is None else self.slowest * frame,
            "times": self.times,
            "entries": self.entries.tolist(),
            "exits": self.exits.tolist(),
            **{name: listed(getattr(self, name)) for name in (*halves, *runs)},
            "factor": self.factor,
        }


def converged(
    states: StateModel,
    evidence: Evidence,
    slowest: float | None,
    groups: Sequence[int] | None = None,
) -> Convergence:
    """Judge whether the data of a study are enough.

    Parameters
    ----------
    states : StateModel
    evidence : Evidence
        Whether a slow motion is established.
    slowest : float or None
        Slowest timescale that was found, frames.
    groups : sequence of int, optional
        Equal numbers mark pieces of one run.

    Returns
    -------
    Convergence
    """
    n = states.n_states
    # the slowest process of noise, or of a bias, says nothing of what would be needed
    known = None if _hindrance(states, evidence) else slowest
    entries, exits = crossings(states)
    runs = _joined(states.dtrajs, groups)
    halves = [np.concatenate(h) for h in zip(*map(_halved, runs), strict=True)]
    by_half, by_run = _shares(halves, n, known), _shares(runs, n, known)
    n_frames = sum(map(len, states.dtrajs))
    times = None if known is None else n_frames / known
    crossed = int(min(entries.min(), exits.min()))
    short = _hindrance(states, evidence)
    if known is not None and times is not None:
        short += _untested(states)
        if times < ENOUGH_TIMES:
            short.append(Shortfall.FEW_TIMES)
        if crossed < ENOUGH_CROSSINGS:
            short.append(Shortfall.FEW_CROSSINGS)
        if _differ(halves, n, known):
            short.append(Shortfall.HALVES)
        if _differ(runs, n, known):
            short.append(Shortfall.RUNS)
    return Convergence(
        shortfalls=tuple(short),
        slowest=known,
        times=times,
        entries=entries,
        exits=exits,
        halves=by_half[0],
        halves_lower=by_half[1],
        halves_upper=by_half[2],
        runs=by_run[0],
        runs_lower=by_run[1],
        runs_upper=by_run[2],
        factor=_factor(short, times, crossed),
    )


def crossings(
    states: StateModel,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count how often each state was entered and left.

    A run is in the state whose core it was in last, so that it has not crossed where
    it only touches the border.

    Parameters
    ----------
    states : StateModel

    Returns
    -------
    entries, exits : (n_states,) ndarray of int64
    """
    entries, exits = np.zeros((2, states.n_states), dtype=np.int64)
    core_of = np.arange(states.n_micro)
    if states.model is not None:
        core_of = np.full(states.n_micro, -1)
        core_of[states.model.states] = cores(
            states.memberships, states.model.stationary
        )
    for micro, crisp in zip(states.microstates, states.dtrajs, strict=True):
        path = crisp if states.model is None else core_of[micro]
        path = path[path >= 0]
        at = np.flatnonzero(np.diff(path))
        np.add.at(exits, path[at], 1)
        np.add.at(entries, path[at + 1], 1)
    return entries, exits


def _hindrance(states: StateModel, evidence: Evidence) -> list[Shortfall]:
    """Return what makes all further questions pointless, if there is such a thing."""
    if states.weighted:
        return [Shortfall.BIASED]
    if not states.connected:
        return [Shortfall.DISCONNECTED]
    return [] if evidence.established else [Shortfall.NOT_ESTABLISHED]


def _untested(states: StateModel) -> list[Shortfall]:
    if states.ck is None or states.ck.passed is None:
        return [Shortfall.UNTESTED]
    return [] if states.ck.passed else [Shortfall.NOT_MARKOVIAN]


def _joined(
    dtrajs: Sequence[NDArray[np.int64]], groups: Sequence[int] | None
) -> list[NDArray[np.int64]]:
    """Return the states of every run, its pieces one after another."""
    runs: dict[int, list[NDArray[np.int64]]] = {}
    for i, dtraj in enumerate(dtrajs):
        runs.setdefault(i if groups is None else groups[i], []).append(dtraj)
    return [np.concatenate(pieces) for pieces in runs.values()]


def _halved(
    run: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return run[: len(run) // 2], run[len(run) // 2 :]


def _shares(
    parts: Sequence[NDArray[np.int64]], n_states: int, slowest: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return (P, S) shares of frames in each state, and their Wilson interval."""
    share = np.stack([_share(part, n_states) for part in parts])
    if slowest is None:
        unknown = np.full_like(share, np.nan)
        return share, unknown, unknown
    size = _independent(parts, slowest)[:, None]
    z = norm.ppf(0.95)
    middle = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2))
    half *= z / (1 + z**2 / size)
    return share, np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def _share(part: NDArray[np.int64], n_states: int) -> NDArray[np.float64]:
    return np.bincount(part[part >= 0], minlength=n_states) / max(len(part), 1)


def _independent(
    parts: Sequence[NDArray[np.int64]], slowest: float
) -> NDArray[np.float64]:
    """Return the independent frames of each part.

    A mean over correlated frames is as uncertain as one over a frame for every two
    correlation times, and none is longer than the slowest timescale.
    """
    return np.array([max(len(p) / max(2 * slowest, 1.0), 1e-9) for p in parts])


def _differ(parts: Sequence[NDArray[np.int64]], n_states: int, slowest: float) -> bool:
    """Whether the populations of some state differ between parts, by chi-square.

    One test for each state, at a level that is divided by their number (Bonferroni).
    """
    if len(parts) < 2:
        return False
    share = np.stack([_share(part, n_states) for part in parts])
    size = _independent(parts, slowest)[:, None]
    mean = (size * share).sum(axis=0) / size.sum()
    spread = np.maximum(mean * (1 - mean), 1e-12)
    statistic = (size * (share - mean) ** 2).sum(axis=0) / spread
    level = chi2.ppf(1 - (1 - _SURE) / n_states, len(parts) - 1)
    return bool((statistic > level).any())


def _factor(
    short: Sequence[Shortfall], times: float | None, crossed: int
) -> float | None:
    """Return about how many times as much data it would take, if that is known."""
    if not short:
        return 1.0
    known = {Shortfall.NOT_MARKOVIAN, Shortfall.DISCONNECTED}.isdisjoint(short)
    if times is None or crossed == 0 or not known:
        return None
    found = max(ENOUGH_TIMES / times, ENOUGH_CROSSINGS / crossed)
    return found if found > 1 else None
