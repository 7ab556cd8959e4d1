"""How much of the classical descriptors can be read off features, held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.store import RowArray, Rows, cut_rows

__all__ = ["Agreement", "agreement"]

#: Penalties tried, relative to the mean eigenvalue of the features' covariance.
ALPHAS: Final = np.logspace(-7, 2, 19)
#: A third of the data is held out, and a third of the rest chooses the penalty.
_HELD_OUT: Final = 1.0 / 3.0
#: Whole trajectories are held out only if either part has this share of the other;
#: a fragment beside a long run tells nothing.
BALANCE: Final = 0.1
#: Frames that are looked through at a time.
_BLOCK: Final = 1000


@dataclass(frozen=True, eq=False, kw_only=True)
class Agreement:
    """Held-out R² of targets predicted linearly from features.

    Attributes
    ----------
    r2 : (T,) ndarray of float64
        R² of each target; NaN where it does not vary in the part that it needs.
    names : list of str
        T names of the targets.
    n_train, n_test : int
        Frames used.
    independent : bool
        Whether the test frames are from other trajectories than the training frames.
    note : str
        The split in words.
    """

    r2: NDArray[np.float64]
    names: list[str]
    n_train: int
    n_test: int
    independent: bool
    note: str

    @property
    def mean(self) -> float:
        """Mean R² over the targets that vary; NaN if none does."""
        found = self.r2[np.isfinite(self.r2)]
        return float(found.mean()) if len(found) else float("nan")

    @property
    def median(self) -> float:
        """Median R² over the targets that vary; NaN if none does."""
        found = self.r2[np.isfinite(self.r2)]
        return float(np.median(found)) if len(found) else float("nan")


def agreement(
    features: Sequence[Rows],
    targets: Sequence[Rows],
    names: Sequence[str] | None = None,
    *,
    max_frames: int = 3000,
) -> Agreement:
    """Predict descriptors from features by ridge regression on held-out frames.

    Trained on the first trajectories, tested on the last third of them (at least
    one); with a single trajectory, or where one part would have less than a tenth of
    the other's frames, on the first and last parts of the longest, which is not
    independent. Features and targets are standardised with the training part's
    statistics. Each target's penalty is chosen on the last third of the training
    part and the fit then repeated on all of it.

    Parameters
    ----------
    features : sequence of (F, D) ndarrays
        One array per trajectory; they may be lazy, as those of a store.
    targets : sequence of (F, T) ndarrays
        The same frames; angles as sine and cosine columns.
    names : sequence of str, optional
        Names of the targets; ``0``, ``1`` … if None.
    max_frames : int
        Each part is thinned evenly in time to this many frames.

    Returns
    -------
    Agreement
        R² of each target: 1 - sum (y - y')² / sum (y - mean)², means over the test
        part.

    Raises
    ------
    InputError
        If frames do not correspond, are too few, or a number is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.projection import agreement
    >>> rng = np.random.default_rng(0)
    >>> runs = [rng.normal(size=(200, 4)) for _ in range(3)]
    >>> targets = [run[:, :1] - 2 * run[:, 1:2] for run in runs]
    >>> found = agreement(runs, targets)
    >>> found.independent, round(float(found.r2[0]), 3)
    (True, 1.0)
    """
    x_parts, y_parts = _readable(features), _readable(targets)
    _check(x_parts, y_parts)
    n_targets = y_parts[0].shape[1]
    labels = [str(i) for i in range(n_targets)] if names is None else list(names)
    if len(labels) != n_targets:
        raise InputError(
            f"{len(labels)} names were given for {n_targets} targets; give one each."
        )
    lengths = [len(x) for x in x_parts]
    n_held = _trajectories_held_out(lengths)
    tested = sum(lengths[len(lengths) - n_held :])
    few, many = sorted((tested, sum(lengths) - tested))
    if few < BALANCE * many:
        n_held = 0
    if n_held:
        train, test = (
            (_thin(x_parts[part], max_frames), _thin(y_parts[part], max_frames))
            for part in (slice(None, -n_held), slice(-n_held, None))
        )
        note = (
            f"trained on {len(x_parts) - n_held} trajectories, tested on the last "
            f"{n_held}"
        )
    else:
        longest = int(np.argmax(lengths))
        x, y = x_parts[longest], y_parts[longest]
        cut = round((1.0 - _HELD_OUT) * len(x))
        # A gap between the parts: neighbouring frames are nearly the same.
        gap = min(max(1, len(x) // 20), cut - 1)
        train, test = (
            (_thin([cut_rows(x, *r)], max_frames), _thin([cut_rows(y, *r)], max_frames))
            for r in ((0, cut - gap), (cut, len(x)))
        )
        note = "trained and tested on parts of one trajectory (not independent)"
    if len(train[0]) < 10 or len(test[0]) < 5:
        raise InputError(
            f"{len(train[0])} training and {len(test[0])} test frames are too few to "
            "measure agreement; give at least 10 and 5."
        )
    return Agreement(
        r2=_held_out_r2(*train, *test),
        names=labels,
        n_train=len(train[0]),
        n_test=len(test[0]),
        independent=bool(n_held),
        note=note,
    )


def _check(x_parts: list[Rows], y_parts: list[Rows]) -> None:
    shapes = [(x.shape, y.shape) for x, y in zip(x_parts, y_parts, strict=False)]
    if (
        not x_parts
        or len(x_parts) != len(y_parts)
        or any(len(a) != 2 or len(b) != 2 or a[0] != b[0] for a, b in shapes)
        or len({(a[1], b[1]) for a, b in shapes}) != 1
    ):
        raise InputError(
            "Features and targets must be lists of arrays (frames, columns) with the "
            f"same frames, got {[x.shape for x in x_parts]} and "
            f"{[y.shape for y in y_parts]}."
        )
    for what, parts in (("features", x_parts), ("targets", y_parts)):
        for i, part in enumerate(parts):
            if not _is_finite(part):
                raise InputError(
                    f"The {what} of trajectory {i} hold a number that is not finite; "
                    "leave that frame out."
                )


def _readable(arrays: Sequence[Rows]) -> list[Rows]:
    return [a if isinstance(a, RowArray) else np.asarray(a) for a in arrays]


def _is_finite(part: Rows) -> bool:
    """Tell it block by block, since an array may be larger than the memory."""
    blocks = (part[i : i + _BLOCK] for i in range(0, len(part), _BLOCK))
    return all(np.isfinite(block.sum(dtype=np.float64)) for block in blocks)


def _trajectories_held_out(lengths: list[int]) -> int:
    """Return how many of the last trajectories hold about a third of the frames."""
    if len(lengths) < 2:
        return 0
    share = np.cumsum(lengths[::-1]) / sum(lengths)
    best = int(np.argmin(np.abs(share[:-1] - _HELD_OUT)))
    return best + 1


def _thin(parts: Sequence[Rows], max_frames: int) -> NDArray[np.float64]:
    """Join parts, keeping evenly spaced rows without copying the others."""
    step = max(1, -(-sum(map(len, parts)) // max_frames))
    return np.concatenate([part[::step] for part in parts], dtype=np.float64)


def _held_out_r2(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    x_test: NDArray[np.float64],
    y_test: NDArray[np.float64],
) -> NDArray[np.float64]:
    cut = round((1.0 - _HELD_OUT) * len(x))
    inner = _ridge_r2(x[:cut], y[:cut], x[cut:], y[cut:], ALPHAS)
    best = np.argmax(np.nan_to_num(inner, nan=-np.inf), axis=0)
    outer = _ridge_r2(x, y, x_test, y_test, ALPHAS)
    best_of: NDArray[np.float64] = outer[best, np.arange(y.shape[1])]
    return best_of


def _ridge_r2(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    x_test: NDArray[np.float64],
    y_test: NDArray[np.float64],
    alphas: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return (n_alphas, T) R² of ridge regressions that share one decomposition."""
    x, x_test = _standardised(x, x_test)
    y, y_test = _standardised(y, y_test)
    # The smaller of the two Gram matrices gives the same fit (primal or dual form).
    if x.shape[1] <= len(x):
        values, basis = np.linalg.eigh(x.T @ x)
        left, right = x_test @ basis, basis.T @ (x.T @ y)
    else:
        values, basis = np.linalg.eigh(x @ x.T)
        left, right = (x_test @ x.T) @ basis, basis.T @ y
    values = np.maximum(values, 0.0)
    penalties = alphas * max(values.sum() / min(x.shape), np.finfo(float).tiny)
    total = np.square(y_test - y_test.mean(axis=0)).sum(axis=0)
    varies = (total > 1e-12 * len(y_test)) & (np.square(y).sum(axis=0) > 0)
    scores = np.full((len(alphas), y.shape[1]), np.nan)
    for row, penalty in zip(scores, penalties, strict=True):
        predicted = left @ (right / (values + penalty)[:, None])
        residual = np.square(y_test - predicted).sum(axis=0)
        row[varies] = 1.0 - residual[varies] / total[varies]
    return scores


def _standardised(
    train: NDArray[np.float64], test: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both in units of the training part; 0 for columns of mere rounding.

    One copy of each: features of a protein fill much of a small machine's memory.
    """
    mean = train.mean(axis=0)
    train, test = train - mean, test - mean
    deviation = np.sqrt(np.einsum("ij,ij->j", train, train) / len(train))
    floor = 1e-6 * np.maximum(np.abs(mean), 1e-6)
    scale = np.where(deviation > floor, deviation, np.inf)
    train /= scale
    test /= scale
    return train, test
