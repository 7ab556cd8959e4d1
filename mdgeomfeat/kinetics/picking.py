"""Where to simulate next: frames from which new runs find most that is new.

References
----------
G. R. Bowman, D. L. Ensign & V. S. Pande, J. Chem. Theory Comput. 6, 787 (2010), and
S. Doerr & G. De Fabritiis, J. Chem. Theory Comput. 10, 2064 (2014), for starts from
where there are fewest counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from deeptime.clustering import RegularSpace
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mdgeomfeat.errors import InputError

__all__ = ["Pick", "Why", "pick_frames"]

#: Cells for every pick, and at most.
_CELLS_PER_PICK: Final = 20
_MOST_CELLS: Final = 1000
#: Frames that cells are laid out by.
_SAMPLE: Final = 20_000
#: Share of a variable's range that is its end, and of the frames that an end would
#: hold if the variable were evenly sampled.
_END: Final = 0.05
#: At most this share of the picks is for ends.
_FOR_ENDS: Final = 0.25


class Why(StrEnum):
    """What a frame was picked for.

    ``SEEN_ONCE``: its state was visited once. ``END``: it is at an end of a variable
    where few frames are. ``RARE``: few frames are like it.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import Why, pick_frames
    >>> cvs = [np.random.default_rng(0).normal(size=(300, 2))]
    >>> states = [np.where(np.arange(300) == 7, 1, 0)]  # state 1 in frame 7 only
    >>> pick = pick_frames(cvs, 1, states=states)[0]
    >>> pick.why is Why.SEEN_ONCE, pick.row
    (True, 7)
    """

    SEEN_ONCE = "seen_once"
    END = "end"
    RARE = "rare"


@dataclass(frozen=True, kw_only=True)
class Pick:
    """A frame to start from.

    Attributes
    ----------
    row : int
        Of all frames, trajectories one after another.
    why : Why
    which : int
        The state, the variable or the cell that it was picked for, from 0.
    n_alike : int
        Frames in that state, at that end or in that cell.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import pick_frames
    >>> runs = [np.random.default_rng(i).normal(size=(300, 2)) for i in range(2)]
    >>> pick = pick_frames(runs, 4)[0]
    >>> trajectory, frame = divmod(pick.row, 300)
    >>> pick.n_alike < 20, trajectory in (0, 1)
    (True, True)
    """

    row: int
    why: Why
    which: int
    n_alike: int


def pick_frames(
    cvs: Sequence[NDArray[np.floating]],
    n: int,
    *,
    states: Sequence[NDArray[np.integer]] | None = None,
    n_variables: int = 2,
) -> tuple[Pick, ...]:
    """Pick frames from which new runs should be started.

    First one frame of every state that was visited only once, then the ends of the
    slow variables that hold fewer frames than an even sampling would put there, then
    the cells of equal size, over all variables, that hold the fewest frames. No two
    picks are of one cell.

    Parameters
    ----------
    cvs : list of (F_i, d) ndarray
        Collective variables, slowest first, one array for each unbroken trajectory.
    n : int
        Number of frames.
    states : list of (F_i,) ndarray of int, optional
        State of every frame, below 0 where it has none.
    n_variables : int
        Variables whose ends are looked at.

    Returns
    -------
    tuple of Pick
        Of different frames, those most wanted first.

    Raises
    ------
    InputError
        If there are fewer different frames than picks, or arrays do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import pick_frames
    >>> runs = [np.random.default_rng(i).normal(size=(300, 2)) for i in range(2)]
    >>> picks = pick_frames(runs, 4)
    >>> len({pick.row for pick in picks}), picks[0].why.value
    (4, 'end')
    """
    points = _points(cvs, n)
    cells, nearest = _cells(points, n)
    counts = np.bincount(cells, minlength=len(nearest))
    picks: list[Pick] = []
    taken: set[int] = set()
    wanted = [
        *_seen_once(states, cells, counts),
        *_ends(points, n_variables)[: max(1, int(_FOR_ENDS * n))],
    ]
    for pick in wanted:
        if len(picks) < n and int(cells[pick.row]) not in taken:
            picks.append(pick)
            taken.add(int(cells[pick.row]))
    rare = _rarest_first(points, nearest, counts, taken, n - len(picks))
    picks += [
        Pick(row=int(nearest[c]), why=Why.RARE, which=c, n_alike=int(counts[c]))
        for c in rare
    ]
    return tuple(picks)


def _points(cvs: Sequence[NDArray[np.floating]], n: int) -> NDArray[np.float64]:
    """Return all frames' variables, each in units of its standard deviation."""
    if not cvs or any(c.ndim != 2 or c.shape[1] != cvs[0].shape[1] for c in cvs):
        raise InputError(
            "The variables must be one (frames, d) array for each trajectory, with the "
            "same d."
        )
    points = np.concatenate(cvs).astype(np.float64)
    if not np.isfinite(points).all():
        raise InputError("The variables contain numbers that are not finite.")
    different = len(np.unique(points, axis=0))
    if not 1 <= n <= different:
        raise InputError(
            f"{n} picks out of {different} different frames are not possible; ask for "
            f"1 to {different}."
        )
    spread = points.std(axis=0)
    return points / np.where(spread > 0, spread, 1.0)


def _cells(
    points: NDArray[np.float64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide frames among cells of equal size.

    Returns
    -------
    cells : (F,) ndarray of int64
    nearest : (C,) ndarray of int64
        The frame nearest to each cell's centre.
    """
    step = max(1, len(points) // _SAMPLE)
    # extremes belong to the sample: that is where cells with few frames are
    outer = [f(axis=0) for f in (points.argmin, points.argmax)]
    rows = np.unique(np.concatenate([np.arange(0, len(points), step), *outer]))
    most = min(_CELLS_PER_PICK * n, _MOST_CELLS)
    large = float(np.linalg.norm(np.ptp(points, axis=0)))
    small, centres = 0.0, points[:1]
    for _ in range(30):
        size = (small + large) / 2
        found = _regular(points[rows], size, most)
        if found is None:
            small = size
            continue
        centres, large = found, size
        if len(centres) > 0.8 * most:
            break
    if len(centres) < n:
        # fewer than n places that far apart: every different frame is its own
        centres = np.unique(points, axis=0)
    cells = np.asarray(cKDTree(centres).query(points)[1], np.int64)
    # a centre that is equally near to others may have no frame of its own
    occupied, cells = np.unique(cells, return_inverse=True)
    nearest = cKDTree(points).query(centres[occupied])[1]
    return cells.astype(np.int64), np.asarray(nearest, np.int64)


def _regular(
    points: NDArray[np.float64], size: float, most: int
) -> NDArray[np.float64] | None:
    """Return centres that are farther apart than `size`, None if more than `most`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it stopped at the most is seen below
        model = RegularSpace(dmin=size, max_centers=most + 1, n_jobs=1).fit(points)
    centres = np.asarray(model.fetch_model().cluster_centers, np.float64)
    return centres if len(centres) <= most else None


def _seen_once(
    states: Sequence[NDArray[np.integer]] | None,
    cells: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> list[Pick]:
    """Pick the frame of the rarest cell of each state that was visited once."""
    if states is None:
        return []
    labels = np.concatenate(states)
    if len(labels) != len(cells):
        raise InputError(
            f"There are {len(labels)} states for {len(cells)} frames; give one for "
            "every frame."
        )
    visits: dict[int, int] = {}
    for own in states:
        begins = np.flatnonzero(np.diff(own, prepend=-1) != 0)
        for state in own[begins].tolist():
            visits[state] = visits.get(state, 0) + 1
    picks = []
    for state in sorted(s for s, times in visits.items() if times == 1 and s >= 0):
        rows = np.flatnonzero(labels == state)
        row = rows[counts[cells[rows]].argmin()]
        picks.append(
            Pick(row=int(row), why=Why.SEEN_ONCE, which=state, n_alike=len(rows))
        )
    return picks


def _ends(points: NDArray[np.float64], n_variables: int) -> list[Pick]:
    """Pick the extreme frame of every end with too few frames, the emptiest first."""
    picks = []
    for k in range(min(n_variables, points.shape[1])):
        x = points[:, k]
        margin = _END * np.ptp(x)
        for row, there in (
            (x.argmin(), x <= x.min() + margin),
            (x.argmax(), x >= x.max() - margin),
        ):
            n_alike = int(there.sum())
            if n_alike < _END * len(x):
                picks.append(Pick(row=int(row), why=Why.END, which=k, n_alike=n_alike))
    return sorted(picks, key=lambda pick: pick.n_alike)


def _rarest_first(
    points: NDArray[np.float64],
    nearest: NDArray[np.int64],
    counts: NDArray[np.int64],
    taken: set[int],
    n: int,
) -> list[int]:
    """Return n cells by their frames, of equal ones that farthest from all others."""
    places = points[nearest]
    chosen = [places[sorted(taken)]] if taken else [points.mean(axis=0)[None]]
    distance = cKDTree(np.concatenate(chosen)).query(places)[0]
    free = np.ones(len(counts), dtype=bool)
    free[sorted(taken)] = False
    cells: list[int] = []
    for _ in range(n):
        fewest = counts[free].min()
        candidates = np.flatnonzero(free & (counts == fewest))
        cell = int(candidates[distance[candidates].argmax()])
        cells.append(cell)
        free[cell] = False
        away = np.linalg.norm(places - places[cell], axis=1)
        distance = np.minimum(distance, away)
    return cells
