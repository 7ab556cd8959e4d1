r"""Stopped processes: how a region is left, and where to.

A process that is killed when it leaves a region D has the operator
:math:`\mathcal{K} f(x) = E_x[f(X_\tau) 1_{\tau < T}]`, with T the time of the first
exit. Its largest eigenvalue tells how long a quasi-stationary density in D lasts, and
its singular functions are found by VAMP if a pair counts only while the run stays in D,
and no mean is removed: the constant is not preserved. Stopped rather than killed, the
same pairs give committors.

References
----------
Strahan, Guo, Lorpaiboon, Dinner & Weare, J. Chem. Phys. 159, 014110 (2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.arrays import Arrays, as_arrays
from mdgeomfeat.kinetics.standardize import flat_features

__all__ = ["Committor", "StoppedVamp", "fit_committor", "fit_stopped_vamp"]

#: Directions of the basis with less than this share of the largest second moment are
#: dropped.
_RANK_CUTOFF = 1e-10


@dataclass(frozen=True, eq=False)
class StoppedVamp:
    """A linear model of a process that is killed when it leaves a region.

    Attributes
    ----------
    lag : int
        Frames.
    left, right : (D, d) ndarray
        Singular functions, of earlier and of later frames: coefficients of the basis.
        Their second moments are 1: over all earlier, and all later frames of pairs
        that are in the region, in units of the number of pairs that start there.
    singular_values : (d,) ndarray
        Largest first.
    eigenvalues : (d,) ndarray of complex128
        Of the operator in the basis, the largest first; real for reversible dynamics,
        but for noise.
    n_pairs, n_survived : int
        Pairs that start in the region, and how many of them stay there.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> from mdgeomfeat.kinetics import fit_stopped_vamp
    >>> basis = [np.ones((len(run), 1)) for run in runs]
    >>> inside = [run[:, 0] > 0 for run in runs]
    >>> fit = fit_stopped_vamp(basis, inside, lag=5, dim=1)
    >>> 20 < float(fit.lifetimes[0]) < 100  # frames; 1 frame in 50 leaves
    True
    """

    lag: int
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    singular_values: NDArray[np.float64]
    eigenvalues: NDArray[np.complex128]
    n_pairs: int
    n_survived: int

    @property
    def score(self) -> float:
        """VAMP-2 of the killed process; it has no constant, so nothing is added."""
        return float(np.sum(self.singular_values**2))

    @property
    def lifetimes(self) -> NDArray[np.float64]:
        """(d,) ndarray: -lag / ln of the eigenvalues in frames, NaN where none is."""
        values = np.where(
            np.abs(self.eigenvalues.imag) < 1e-9, self.eigenvalues.real, 0
        )
        out = np.full(len(values), np.nan)
        good = (values > 0) & (values < 1)
        out[good] = -self.lag / np.log(values[good])
        return out

    def transform(
        self, arrays: Arrays, inside: Sequence[ArrayLike]
    ) -> list[NDArray[np.float64]]:
        """Return the left singular functions (F, d), which are 0 outside the region.

        Parameters
        ----------
        arrays : list of (F, ...) ndarrays
            The basis.
        inside : list of (F,) arrays of bool
            Whether each frame is in the region.
        """
        basis, masks = _checked(arrays, inside)
        return [(x * m[:, None]) @ self.left for x, m in zip(basis, masks, strict=True)]


@dataclass(frozen=True, eq=False)
class Committor:
    """The probability to reach a target before a source, linear in a basis.

    Attributes
    ----------
    lag : int
        Frames.
    coefficients : (D,) ndarray
        Of the basis, between source and target.
    n_pairs, n_source, n_target : int
        Pairs that start between source and target; of these, how many reach the
        source, and the target, within a lag.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import fit_committor
    >>> path = np.array([0, 1, 2, 1] * 100)  # from the source to the target and back
    >>> basis = [np.eye(3)[path]]
    >>> source, target = [path == 0], [path == 2]
    >>> fit = fit_committor(basis, source, target, lag=1)
    >>> fit.transform(basis, source, target)[0][:4].round(2).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """

    lag: int
    coefficients: NDArray[np.float64]
    n_pairs: int
    n_source: int
    n_target: int

    def transform(
        self, arrays: Arrays, source: Sequence[ArrayLike], target: Sequence[ArrayLike]
    ) -> list[NDArray[np.float64]]:
        """Return the committor (F,): 0 in the source, 1 in the target.

        Parameters
        ----------
        arrays : list of (F, ...) ndarrays
            The basis.
        source, target : list of (F,) arrays of bool
            Whether each frame is in the source, and in the target.
        """
        basis, at_source = _checked(arrays, source)
        _, at_target = _checked(arrays, target)
        return [
            np.where(b, 1.0, np.where(a, 0.0, x @ self.coefficients))
            for x, a, b in zip(basis, at_source, at_target, strict=True)
        ]


def fit_stopped_vamp(
    arrays: Arrays, inside: Sequence[ArrayLike], lag: int, dim: int
) -> StoppedVamp:
    """Fit the slowest functions of a process that is killed outside a region.

    Parameters
    ----------
    arrays : list of (F, ...) ndarrays
        A basis for every unbroken trajectory: features, outputs of networks or
        indicators. A constant in it is of use, and none is added.
    inside : list of (F,) arrays of bool
        Whether each frame is in the region.
    lag : int
        Frames. A pair survives if no frame from its earlier to its later one is
        outside.
    dim : int
        Number of functions.

    Returns
    -------
    StoppedVamp

    Raises
    ------
    InputError
        If shapes do not match, or no pair starts in the region and survives.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> from mdgeomfeat.kinetics import fit_stopped_vamp
    >>> basis = [np.c_[np.ones(len(run)), run] for run in runs]
    >>> inside = [run[:, 0] > 0 for run in runs]
    >>> fit = fit_stopped_vamp(basis, inside, lag=5, dim=1)
    >>> fit.n_survived < fit.n_pairs
    True
    """
    basis, masks = _checked(arrays, inside)
    _check_lag(lag)
    width = basis[0].shape[1]
    c00, c0t, ctt = (np.zeros((width, width)) for _ in range(3))
    starts = survived = 0
    for x, mask in zip(basis, masks, strict=True):
        first = np.flatnonzero(mask[: max(len(x) - lag, 0)])
        alive = _next_exit(mask)[first] > first + lag
        early, late = x[first], x[first + lag]
        # later frames of all pairs, wherever they started: their density in the region
        later = x[lag:][mask[lag:]]
        c00 += early.T @ early
        c0t += early[alive].T @ late[alive]
        ctt += later.T @ later
        starts, survived = starts + len(first), survived + int(alive.sum())
    if not survived:
        raise InputError(
            f"No pair stays in the region for a lag of {lag} frames; choose a shorter "
            "lag or a larger region."
        )
    white0, white1 = _whitener(c00 / starts), _whitener(ctt / starts)
    u, values, vt = np.linalg.svd(white0.T @ (c0t / starts) @ white1)
    d = min(dim, len(values))
    operator = white0.T @ (c0t / starts) @ white0
    eigenvalues = np.linalg.eigvals(operator).astype(np.complex128)
    order = np.argsort(-eigenvalues.real)[:d]
    return StoppedVamp(
        lag=lag,
        left=white0 @ u[:, :d],
        right=white1 @ vt[:d].T,
        singular_values=values[:d],
        eigenvalues=eigenvalues[order],
        n_pairs=starts,
        n_survived=survived,
    )


def fit_committor(
    arrays: Arrays,
    source: Sequence[ArrayLike],
    target: Sequence[ArrayLike],
    lag: int,
) -> Committor:
    """Fit the committor between two sets from pairs that stop where they arrive.

    Between the sets it equals its own mean one lag later, or where the run has
    arrived by then; the equation is projected on the basis.

    Parameters
    ----------
    arrays : list of (F, ...) ndarrays
        A basis for every unbroken trajectory, best with a constant in it.
    source, target : list of (F,) arrays of bool
        Whether each frame is in the source, and in the target.
    lag : int
        Frames.

    Returns
    -------
    Committor

    Raises
    ------
    InputError
        If the sets overlap, shapes do not match, or one of the sets is never
        reached from between them.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import fit_committor
    >>> path = np.array([0, 1, 2, 1] * 100)  # from the source to the target and back
    >>> basis = [np.eye(3)[path]]
    >>> fit = fit_committor(basis, [path == 0], [path == 2], lag=1)
    >>> fit.n_pairs, fit.n_source, fit.n_target
    (199, 99, 100)
    """
    basis, at_source = _checked(arrays, source)
    _, at_target = _checked(arrays, target)
    _check_lag(lag)
    width = basis[0].shape[1]
    matrix, right = np.zeros((width, width)), np.zeros(width)
    starts = n_source = n_target = 0
    for i, (x, a, b) in enumerate(zip(basis, at_source, at_target, strict=True)):
        if (a & b).any():
            raise InputError(
                f"Frame {int(np.argmax(a & b))} of trajectory {i} is in the source and "
                "in the target; choose sets that do not overlap."
            )
        between = ~(a | b)
        first = np.flatnonzero(between[: max(len(x) - lag, 0)])
        leaves = _next_exit(between)[first]
        arrived = leaves <= first + lag
        hits = np.zeros(len(first))
        hits[arrived] = b[leaves[arrived]]
        late = x[first + lag] * ~arrived[:, None]
        matrix += x[first].T @ (x[first] - late)
        right += x[first].T @ hits
        starts += len(first)
        n_target += int(hits.sum())
        n_source += int(arrived.sum() - hits.sum())
    if not (n_source and n_target):
        never = "target" if n_source else "source"
        raise InputError(
            f"No run reaches the {never} from between the sets within a lag of {lag} "
            "frames; use more data, a longer lag or larger sets."
        )
    solution = np.linalg.lstsq(matrix, right, rcond=_RANK_CUTOFF)[0]
    found = np.asarray(solution, dtype=np.float64)
    return Committor(lag, found, starts, n_source, n_target)


def _checked(
    arrays: Arrays, masks: Sequence[ArrayLike]
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.bool_]]]:
    """Return flat features and masks of the same frames."""
    basis = [
        np.asarray(flat_features(np.asarray(a)), dtype=np.float64)
        for a in as_arrays(arrays)
    ]
    marked = [np.asarray(m, dtype=bool) for m in masks]
    if [m.shape for m in marked] != [(len(x),) for x in basis]:
        raise InputError(
            f"The sets are given for {[len(m) for m in marked]} frames, but the "
            f"trajectories have {[len(x) for x in basis]}; give one value per frame."
        )
    return basis, marked


def _check_lag(lag: int) -> None:
    if lag < 1:
        raise InputError(f"A lag of {lag} frames is below 1; choose 1 or more.")


def _next_exit(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the first frame at or after each one that is outside; far off if none."""
    never = np.iinfo(np.int64).max
    frames = np.where(inside, never, np.arange(len(inside)))
    return np.minimum.accumulate(frames[::-1])[::-1]


def _whitener(moment: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return W with Wᵀ M W = 1 for a second moment M, of full rank only."""
    values, vectors = np.linalg.eigh(moment)
    keep = values > _RANK_CUTOFF * values[-1]
    whitening: NDArray[np.float64] = vectors[:, keep] / np.sqrt(values[keep])
    return whitening
