"""Where a variable may go, and how fine the bias on it is: from training data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from mdgeomfeat.errors import InputError
from mdgeomfeat.variables.training import LEVELS

if TYPE_CHECKING:
    from mdgeomfeat.variables import TrainingRecord

__all__ = ["BiasRange", "propose_ranges"]

_LEAST_WIDTH = 0.02  # of the training data's range
_FREE = 0.05  # of the training data's range beyond its ends before a wall begins
_GRID = 0.25  # of that range beyond its ends to the end of the grid
_AT_THE_END = 200.0  # kJ/mol, height of a wall where the grid ends
_FINENESS = 3  # grid points per width
_MOST_POINTS: Final = {1: 2001, 2: 301, 3: 61}  # of a variable, by their number


@dataclass(frozen=True, kw_only=True)
class BiasRange:
    """What a bias needs to know of a variable.

    Attributes
    ----------
    width : float
        Standard deviation within a state, and of the bias's Gaussians.
    lower, upper : float
        Where walls begin.
    grid : (float, float)
        Ends of the grid, outside of the walls.
    periodic : bool
        Whether the ends are one point, as of an angle; then there are no walls.

    Raises
    ------
    InputError
        If the numbers are not in order.

    Examples
    --------
    >>> from mdgeomfeat.bias import BiasRange
    >>> space = BiasRange(width=0.1, lower=-1.0, upper=1.0, grid=(-1.5, 1.5))
    >>> space.points(1), space.stiffness()
    (91, (1600.0, 1600.0))
    >>> BiasRange(width=0.1, lower=1.0, upper=-1.0, grid=(-1.5, 1.5))
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: A width of 0.1, walls at 1 and -1 and a grid from ...
    """

    width: float
    lower: float
    upper: float
    grid: tuple[float, float]
    periodic: bool = False

    def __post_init__(self) -> None:
        # numpy's numbers write themselves as no expression that OpenMM can read
        for name in ("width", "lower", "upper"):
            object.__setattr__(self, name, float(getattr(self, name)))
        object.__setattr__(self, "grid", (float(self.grid[0]), float(self.grid[1])))
        numbers = (self.width, self.lower, self.upper, *self.grid)
        ordered = self.grid[0] <= self.lower < self.upper <= self.grid[1]
        if not all(map(math.isfinite, numbers)) or self.width <= 0 or not ordered:
            raise InputError(
                f"A width of {self.width:g}, walls at {self.lower:g} and "
                f"{self.upper:g} and a grid from {self.grid[0]:g} to {self.grid[1]:g} "
                "do not fit together; the width is above 0 and the walls lie inside "
                "the grid."
            )

    def stiffness(self) -> tuple[float, float]:
        """Return the walls' force constants, kJ/mol, such that the grid is not left."""
        lower, upper = self.lower - self.grid[0], self.grid[1] - self.upper
        return tuple(  # type: ignore[return-value]
            2 * _AT_THE_END / gap**2 if gap > 0 else 0.0 for gap in (lower, upper)
        )

    def points(self, n_variables: int) -> int:
        """Return how many points the grid has, beside `n_variables` - 1 others.

        Raises
        ------
        InputError
            If so many cannot be tabulated.
        """
        if n_variables not in _MOST_POINTS:
            raise InputError(
                f"{n_variables} variables are too many for a bias; choose one to three."
            )
        wanted = _FINENESS * (self.grid[1] - self.grid[0]) / self.width
        return min(max(math.ceil(wanted) + 1, 31), _MOST_POINTS[n_variables])


def propose_ranges(
    record: TrainingRecord, outputs: Sequence[int]
) -> tuple[BiasRange, ...]:
    """Propose widths, walls and grids from the training data's quantiles.

    The width is half of what holds two thirds of a state's frames, of the state where
    that is least, but not below a fiftieth of the training data's range: a slow
    variable hardly moves within a state, and Gaussians as narrow as that are steeper
    than bonds. Walls begin a little beyond the extremes of the training data, as
    there is nothing to be learnt farther out.

    Parameters
    ----------
    record : TrainingRecord
    outputs : sequence of int
        Which variables, from 0.

    Returns
    -------
    tuple of BiasRange

    Examples
    --------
    >>> from mdgeomfeat.bias import propose_ranges
    >>> from mdgeomfeat.variables import read_training
    >>> (found,) = propose_ranges(read_training("report"), [0])
    >>> found.grid[0] < found.lower < found.upper < found.grid[1]
    True
    """
    low, high = LEVELS.index(0.16), LEVELS.index(0.84)
    ranges = []
    for k in outputs:
        all_frames = record.quantiles[k]
        spreads = record.by_state[:, k, high] - record.by_state[:, k, low]
        spreads = spreads[np.isfinite(spreads) & (spreads > 0)]
        whole = all_frames[high] - all_frames[low]
        width = (spreads.min() if len(spreads) else whole) / 2
        least, most = all_frames[0], all_frames[-1]
        extent = most - least
        ranges.append(
            BiasRange(
                width=float(max(width, _LEAST_WIDTH * extent)),
                lower=float(least - _FREE * extent),
                upper=float(most + _FREE * extent),
                grid=(float(least - _GRID * extent), float(most + _GRID * extent)),
            )
        )
    return tuple(ranges)
