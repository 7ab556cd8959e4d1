"""Which tokens differ between two sets of runs, tested by exchanging whole runs.

Frames of one run are alike, so that a run is one observation, however long it is. With
D_ij the mean distance between a token's features in frames of the runs i and j, the
energy distance of both sets (G. J. Szekely and M. L. Rizzo, J. Stat. Plann. Inference
143, 1249 (2013), equation 2) is estimated from pairs of different runs only::

    E = 2 mean(D_ab) - mean(D_aa') - mean(D_bb'),  a != a' in A, b != b' in B

Its mean over repetitions is 0 where both sets come from one process, however slowly the
runs move. The effect is E / 2 mean(D_ab), the coefficient of inhomogeneity of the same
paper: 0 for the same distribution, 1 for two points.

Tested is the ratio of the dispersion between the sets to that between runs of a set
(M. J. Anderson, Austral Ecol. 26, 32 (2001)), over the divisions of all runs into sets
of these sizes. Of many tokens some differ by chance, so that p is corrected by the
largest ratio of any token in each division (P. H. Westfall and S. S. Young,
Resampling-Based Multiple Testing, Wiley (1993)): it is the chance that any token at all
would reach the ratio if nothing differed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.arrays import listed

__all__ = ["LEVEL", "EnsembleTest", "compare_ensembles", "run_distances"]

#: Chance of calling any token different where none is.
LEVEL: Final = 0.05
#: Divisions up to which all are looked at, else as many are drawn.
MAX_DIVISIONS: Final = 10_000
#: A smaller spread of a feature, relative to its mean, is rounding.
_ROUNDING: Final = 1e-6

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class EnsembleTest:
    """How far two sets of runs differ in each of N tokens.

    Attributes
    ----------
    effects : (N,) ndarray
        0 for the same distribution, 1 for two points; below 0 where the sets differ by
        less than runs of one set do.
    p_values : (N,) ndarray or None
        Chance of such a ratio if nothing differed, of each token by itself; None where
        a set has one run.
    corrected : (N,) ndarray or None
        The same for the largest ratio among all tested tokens; NaN for the others.
    tested : (N,) ndarray of bool
        Tokens that were counted among those that can differ.
    n_runs : tuple of int
        Runs of both sets.
    n_divisions : int
        Ways to divide the runs that were looked at, the true one among them.
    exact : bool
        Whether these are all there are.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.explain import compare_ensembles, run_distances
    >>> rng = np.random.default_rng(0)
    >>> runs = [rng.normal(size=(50, 3, 4)) for _ in range(4)]
    >>> test = compare_ensembles(run_distances(runs), np.arange(4) >= 2)
    >>> test.decidable, round(test.smallest, 3)  # two runs each are too few
    (False, 0.333)
    """

    effects: Array
    p_values: Array | None
    corrected: Array | None
    tested: NDArray[np.bool_]
    n_runs: tuple[int, int]
    n_divisions: int
    exact: bool

    @property
    def smallest(self) -> float | None:
        """The smallest p that is possible; None without p."""
        return None if self.p_values is None else 1 / self.n_divisions

    @property
    def decidable(self) -> bool:
        """Whether p can be as small as the level."""
        return self.smallest is not None and self.smallest <= LEVEL

    @property
    def different(self) -> NDArray[np.int64]:
        """(n,) tokens that surely differ, largest effect first; none if undecidable."""
        if self.corrected is None or not self.decidable:
            return np.empty(0, dtype=np.int64)
        sure = np.flatnonzero(np.nan_to_num(self.corrected, nan=1.0) <= LEVEL)
        return sure[np.argsort(-self.effects[sure], kind="stable")]

    @property
    def shown(self) -> Array:
        """What a structure is coloured by, (N,): 100 for the largest effect.

        Of the tokens that surely differ; of all where that cannot be decided.
        """
        effects = np.clip(self.effects, 0, None)
        if self.decidable:
            effects[np.setdiff1d(np.arange(len(effects)), self.different)] = 0
        shares: Array = 100 * effects / max(effects.max(), np.finfo(float).tiny)
        return shares

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able record, with tokens counted from 1."""
        return {
            "n_runs": list(self.n_runs),
            "effects": listed(self.effects),
            "p": None if self.p_values is None else listed(self.p_values),
            "p_corrected": None if self.corrected is None else listed(self.corrected),
            "tested": self.tested.tolist(),
            "n_divisions": self.n_divisions,
            "exact": self.exact,
            "smallest_p": self.smallest,
            "decidable": self.decidable,
            "different": (self.different + 1).tolist(),
        }


def run_distances(runs: Sequence[NDArray[np.floating]]) -> Array:
    """Return the mean distance of a token's features between frames of every two runs.

    Features are divided by their standard deviation over all runs, of which each
    counts the same.

    Parameters
    ----------
    runs : sequence of R (F_i, N, K) arrays

    Returns
    -------
    (N, R, R) ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.explain import run_distances
    >>> rng = np.random.default_rng(0)
    >>> runs = [rng.normal(size=(50, 3, 4)) for _ in range(4)]
    >>> run_distances(runs).shape
    (3, 4, 4)
    """
    lengths = np.array([len(run) for run in runs])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    weights = np.repeat(1 / (len(runs) * lengths), lengths)
    area = lengths[:, None] * lengths
    n_tokens = runs[0].shape[1]
    out = np.empty((n_tokens, len(runs), len(runs)))
    distances = np.empty((lengths.sum(), lengths.sum()))  # the one large array
    for token in range(n_tokens):
        x = np.concatenate([run[:, token] for run in runs]).astype(np.float64)
        mean = weights @ x
        x -= mean
        spread = np.sqrt(weights @ x**2)
        varies = spread > _ROUNDING * np.maximum(np.abs(mean), _ROUNDING)
        x = x[:, varies] / spread[varies]
        squares = (x**2).sum(axis=1)
        np.matmul(-2 * x, x.T, out=distances)
        distances += squares[:, None]
        distances += squares
        np.fill_diagonal(distances, 0)
        np.maximum(distances, 0, out=distances)
        np.sqrt(distances, out=distances)
        sums = np.add.reduceat(np.add.reduceat(distances, starts, 0), starts, 1)
        out[token] = sums / area
    return out


def compare_ensembles(
    distances: NDArray[np.floating],
    second: NDArray[np.bool_],
    *,
    tested: NDArray[np.bool_] | None = None,
    independent: bool = True,
    seed: int = 0,
) -> EnsembleTest:
    """Tell how far two sets of runs differ, token by token, and how surely.

    Parameters
    ----------
    distances : (N, R, R) array
        Of :func:`run_distances`.
    second : (R,) ndarray of bool
        Which runs are of the second set.
    tested : (N,) ndarray of bool, optional
        Tokens that can differ; the others get an effect but no corrected p.
    independent : bool
        Whether the runs are; parts of one run give effects, but no p.
    seed : int
        Of the divisions that are drawn where there are many.

    Returns
    -------
    EnsembleTest

    Raises
    ------
    InputError
        If a set has fewer than two runs.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.explain import compare_ensembles, run_distances
    >>> rng = np.random.default_rng(0)
    >>> runs = [rng.normal(size=(50, 3, 4)) for _ in range(8)]
    >>> for run in runs[4:]:
    ...     run[:, 1] += 2.0  # the second of three tokens differs
    >>> test = compare_ensembles(run_distances(runs), np.arange(8) >= 4)
    >>> test.different.tolist(), test.n_divisions
    ([1], 35)
    """
    second = np.asarray(second, dtype=bool)
    d: Array = np.asarray(distances, np.float64)
    n_tokens = len(d)
    sizes = (int((~second).sum()), int(second.sum()))
    if min(sizes) < 2:
        raise InputError(
            f"The sets have {sizes[0]} and {sizes[1]} runs, and how runs of one set "
            "differ needs at least two of each; cut a single run into parts."
        )
    tested = np.ones(n_tokens, bool) if tested is None else np.asarray(tested, bool)
    effects = _effects(d, second)
    if not independent:
        return EnsembleTest(
            effects=effects,
            p_values=None,
            corrected=None,
            tested=tested,
            n_runs=sizes,
            n_divisions=0,
            exact=False,
        )
    divisions, exact = _divisions(second, seed)
    ratios = _ratios(d, divisions)
    # sums of the same numbers in another order may differ in the last digit
    reached = ratios[:, :1] * (1 - 1e-9)
    corrected = np.full(n_tokens, np.nan)
    if tested.any():
        largest = ratios[tested].max(axis=0)
        corrected[tested] = (largest >= reached[tested]).mean(axis=1)
    return EnsembleTest(
        effects=effects,
        p_values=(ratios >= reached).mean(axis=1),
        corrected=corrected,
        tested=tested,
        n_runs=sizes,
        n_divisions=len(divisions),
        exact=exact,
    )


def _effects(distances: Array, second: NDArray[np.bool_]) -> Array:
    """Return the coefficients of inhomogeneity (N,) from pairs of different runs."""
    between = distances[:, ~second][:, :, second].mean(axis=(1, 2))
    within = np.zeros(len(distances))
    for side in (~second, second):
        own = distances[:, side][:, :, side]
        n = own.shape[1]
        same = np.trace(own, axis1=1, axis2=2)
        within += (own.sum(axis=(1, 2)) - same) / (n * (n - 1))
    energy = 2 * between - within
    effects: Array = energy / (2 * np.maximum(between, np.finfo(float).tiny))
    return effects


def _divisions(second: NDArray[np.bool_], seed: int) -> tuple[NDArray[np.bool_], bool]:
    """Return divisions (P, R) of the runs, the true one first, and if that is all."""
    n, k = len(second), int(second.sum())
    alike = 2 * k == n  # either half may be called the second
    total = comb(n, k) // (2 if alike else 1)
    if total > MAX_DIVISIONS:
        rng = np.random.default_rng(seed)
        drawn = rng.permuted(np.tile(second, (MAX_DIVISIONS - 1, 1)), axis=1)
        return np.concatenate([second[None], drawn]), False
    chosen = np.array(
        [c for c in combinations(range(n), k) if not alike or 0 in c], dtype=np.int64
    )
    every = np.zeros((len(chosen), n), dtype=bool)
    np.put_along_axis(every, chosen, values=True, axis=1)
    true = ~second if alike and not second[0] else second
    others = every[(every != true).any(axis=1)]
    return np.concatenate([true[None], others]), True


def _ratios(distances: Array, divisions: NDArray[np.bool_]) -> Array:
    """Return dispersion between sets over that within them, (N, P)."""
    own = np.einsum("nii->ni", distances)
    squares = 2 * distances - own[:, :, None] - own[:, None, :]
    n = divisions.shape[1]
    total = squares.sum(axis=(1, 2)) / (2 * n)
    within = np.zeros((len(distances), len(divisions)))
    for side in (divisions, ~divisions):
        z = side.astype(np.float64)
        size = z[0].sum()
        for token, square in enumerate(squares):
            within[token] += ((z @ square) * z).sum(axis=1) / (2 * size)
    between = np.maximum(total[:, None] - within, 0)
    smallest = np.finfo(float).eps * np.maximum(total[:, None], np.finfo(float).tiny)
    ratio: Array = (n - 2) * between / np.maximum(within, smallest)
    return ratio
