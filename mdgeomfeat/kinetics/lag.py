"""Choosing the lag and the number of outputs from training data.

TICA on few frames finds slow motions in noise. So the directions come from one half
of the training data and their timescales from the other, and the eigenvalues of both
ways are averaged. Between halves of the same runs a shift of the mean is drift, a slow
motion, and counts; between different runs it is where they happened to start, and does
not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from deeptime.covariance import Covariance
from deeptime.decomposition import TICA
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.arrays import Arrays, cut, n_pairs
from mdgeomfeat.kinetics.reasons import LagReason
from mdgeomfeat.kinetics.scores import ScoreError
from mdgeomfeat.kinetics.splits import make_folds
from mdgeomfeat.kinetics.tica import fit_tica
from mdgeomfeat.kinetics.timescales import CONSTANT, lag_series

__all__ = ["CAP", "LagScan", "choose_lag", "constant_from", "lag_cap"]

#: Processes that are looked for.
MAX_PROCESSES = 5

#: The lag never exceeds one part in this many of the shortest trajectory.
CAP = 20

#: Components of wide inputs in the scan, and pairs that each of them needs.
_MAX_COMPONENTS = 300
_PAIRS_PER_COMPONENT = 10

#: A lag chosen for want of a constant timescale is at most this share of it.
_SHARE = 1 / 3


@dataclass(frozen=True, eq=False)
class LagScan:
    """TICA timescales over lags, and what follows from them.

    Attributes
    ----------
    lags : (L,) ndarray of int64
        Frames.
    timescales : (L, 5) ndarray
        Cross-validated timescales, frames; NaN where there is none.
    lag : int
        Chosen lag, frames.
    n_slow : int
        Processes found that are slower than that lag, 0 to 5.
    slowest : float or None
        Slowest timescale at that lag, frames.
    converged : bool
        Whether the slowest timescale is constant from the chosen lag on.
    levels_off : bool
        Whether it is from any of the lags on; a given lag may be shorter.
    reason : LagReason
        Why this lag.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> from mdgeomfeat.kinetics import choose_lag
    >>> scan = choose_lag(runs)
    >>> scan.lags.tolist(), scan.timescales.shape, scan.n_slow
    ([1, 2, 4, 8, 16, 32, 64], (7, 5), 1)
    """

    lags: NDArray[np.int64]
    timescales: NDArray[np.float64]
    lag: int
    n_slow: int
    slowest: float | None
    converged: bool
    levels_off: bool
    reason: LagReason

    @property
    def dim(self) -> int:
        """Number of outputs that follows, 1 to 5; one is made even of nothing slow."""
        return max(self.n_slow, 1)

    def without_timescales(self) -> LagScan:
        """Return the choice without the timescales behind it, of biased dynamics."""
        return replace(
            self, timescales=np.full_like(self.timescales, np.nan), slowest=None
        )


def choose_lag(
    arrays: Arrays,
    *,
    groups: Sequence[int] | None = None,
    lag: int | None = None,
) -> LagScan:
    """Choose the lag, and the number of processes above it.

    The lag is the smallest of 1, 2, 4, 8, … frames at which the slowest timescale is
    within 10 % of its value at the next two lags, and never above 1/20 of the
    shortest trajectory (of a run in pieces, its longest piece). If there is none, it
    is the largest of them that is not above a third of the slowest timescale, since
    later nothing is left to see. Only the training and stopping parts of the first
    fold are looked at.

    Parameters
    ----------
    arrays : list of (F, ...) ndarrays
        Features of every unbroken trajectory.
    groups : sequence of int, optional
        Equal numbers mark pieces of one run.
    lag : int, optional
        A lag that was given; then only the processes are counted.

    Returns
    -------
    LagScan

    Raises
    ------
    InputError
        If the trajectories are too short for any lag.
    ScoreError
        If TICA fails at every lag.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> from mdgeomfeat.kinetics import choose_lag
    >>> scan = choose_lag(runs, lag=10)
    >>> scan.lag, scan.reason.value, scan.n_slow
    (10, 'given', 1)
    """
    if lag is not None and lag < 1:
        raise InputError(f"A lag of {lag} frames is below 1; choose 1 or more.")
    lengths = [len(a) for a in arrays]
    fold = make_folds(lengths, lag or 1, groups=groups)[0]
    candidates = lag_series(lag_cap(lengths, groups))
    lags = lag_series(max(_shortest_run(lengths, groups) // 4, 1))
    # two lags beyond the largest candidate are enough
    lags = lags[: len(candidates) + 2]
    if lag is not None:
        lags = sorted({*lags, lag})
    halves = cut(arrays, fold.train), cut(arrays, fold.stop)
    centred = fold.kind == "trajectories"
    timescales = np.stack([_timescales(*halves, tau, centred) for tau in lags])
    if not np.isfinite(timescales).any():
        # raises the reason, if there is one beyond fast motions
        fit_tica(halves[0], lag or 1, 1)
    constant = constant_from(lags, timescales[:, 0])
    chosen, reason = _choose(lags, timescales[:, 0], constant, candidates, lag)
    slow = timescales[lags.index(chosen)]
    above = slow > chosen
    n = int(np.argmin(above)) if not above.all() else len(above)
    return LagScan(
        lags=np.asarray(lags, dtype=np.int64),
        timescales=timescales,
        lag=chosen,
        n_slow=n,
        slowest=float(slow[0]) if np.isfinite(slow[0]) else None,
        # a process that was not found has no timescale that could be constant
        converged=n > 0 and constant[lags.index(chosen)],
        levels_off=n > 0 and any(constant),
        reason=reason,
    )


def lag_cap(lengths: Sequence[int], groups: Sequence[int] | None = None) -> int:
    """Return the longest lag that is chosen: 1/20 of the shortest run, at least 1."""
    return max(_shortest_run(lengths, groups) // CAP, 1)


def _shortest_run(lengths: Sequence[int], groups: Sequence[int] | None) -> int:
    """Return the frames of the shortest run: the longest piece of each counts.

    A bad frame near the end of a run cuts off a short piece, and says nothing of lags.
    """
    longest: dict[int, int] = {}
    for group, length in zip(groups or range(len(lengths)), lengths, strict=True):
        longest[group] = max(longest.get(group, 0), length)
    return min(longest.values())


def constant_from(lags: Sequence[int], slowest: NDArray[np.float64]) -> list[bool]:
    """Return at which lags the slowest timescale is that at the next two lags.

    Parameters
    ----------
    lags : sequence of int
        Frames, each twice the one before.
    slowest : (L,) ndarray
        Slowest timescale at each, frames.
    """
    found = []
    for i, lag in enumerate(lags):
        after = slowest[i + 1 : i + 3]
        near = np.abs(after - slowest[i]) <= CONSTANT * after
        found.append(len(after) == 2 and bool(slowest[i] > lag) and bool(near.all()))
    return found


def _choose(
    lags: list[int],
    slowest: NDArray[np.float64],
    constant: list[bool],
    candidates: list[int],
    given: int | None,
) -> tuple[int, LagReason]:
    if given is not None:
        return given, LagReason.GIVEN
    usable = [i for i, lag in enumerate(lags) if lag in candidates]
    for i in usable:
        if constant[i]:
            return lags[i], LagReason.CONSTANT
    below = [i for i in usable if lags[i] <= slowest[i] * _SHARE]
    i = below[-1] if below else usable[0]
    return lags[i], LagReason.LARGEST if i == usable[-1] else LagReason.SHARE


def _timescales(
    first: Arrays, second: Arrays, lag: int, centred: bool
) -> NDArray[np.float64]:
    """Return cross-validated timescales at one lag."""
    eigenvalues = []
    for fit, test in ((first, second), (second, first)):
        try:
            eigenvalues.append(_validated(fit, test, lag, centred))
        except (ScoreError, np.linalg.LinAlgError):
            # a half that is too short or does not move says nothing
            continue
    out = np.full(MAX_PROCESSES, np.nan)
    if eigenvalues:
        mean = np.mean(eigenvalues, axis=0)
        good = (mean > 0) & (mean < 1)
        out[good] = -lag / np.log(mean[good])
    return out


def _validated(
    fit: Arrays, test: Arrays, lag: int, centred: bool
) -> NDArray[np.float64]:
    """Return eigenvalues in `test` of directions found in `fit`."""
    pairs = n_pairs(fit, lag)
    width = int(np.prod(fit[0].shape[1:]))
    limit = int(np.clip(pairs // _PAIRS_PER_COMPONENT, MAX_PROCESSES, _MAX_COMPONENTS))
    n_components = limit if width > limit else None
    outputs = fit_tica(fit, lag, MAX_PROCESSES, n_components=n_components).transform(
        test
    )
    usable = [o for o in outputs if len(o) > lag]
    if n_pairs(usable, lag) < 2 * MAX_PROCESSES:
        raise ScoreError("There are too few pairs.")
    estimator = Covariance(
        lagtime=lag,
        compute_c00=True,
        compute_c0t=True,
        reversible=True,
        remove_data_mean=centred,
    )
    for o in usable:
        estimator.partial_fit((o[: len(o) - lag], o[lag:]))
    model = TICA(lagtime=lag, epsilon=1e-8, scaling=None)
    values = model.fit_from_covariances(estimator).fetch_model().singular_values
    out = np.zeros(MAX_PROCESSES)
    values = np.sort(np.real(values))[::-1]
    out[: len(values)] = np.clip(values, 0, 1 - 1e-9)
    return out
