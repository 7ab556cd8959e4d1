"""What residues can matter for: the score, each variable, each boundary of states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Quantity", "QuantityKind", "quantities_of"]

#: Boundaries that are looked at, and boundaries times tokens from which it is fewer.
MAX_BOUNDARIES, _MANY = 6, 600


class QuantityKind(StrEnum):
    """What a :class:`Quantity` is.

    Examples
    --------
    >>> from mdgeomfeat.explain import QuantityKind
    >>> [kind.value for kind in QuantityKind]
    ['score', 'variable', 'boundary']
    """

    SCORE = "score"
    VARIABLE = "variable"
    BOUNDARY = "boundary"


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantity:
    """One thing that residues can matter for.

    Attributes
    ----------
    kind : QuantityKind
    numbers : tuple of int
        The variable, or the two states that a boundary lies between, from 0; empty for
        the score.
    direction : (d,) ndarray
        A variable, or the difference between two states, as a combination of the d
        variables; zeros for the score.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.explain import Quantity, QuantityKind
    >>> border = Quantity(
    ...     kind=QuantityKind.BOUNDARY, numbers=(0, 1), direction=np.array([1.0, 0.0])
    ... )
    >>> border.name, border.inside(np.array([0, 1, 2])).tolist()
    ('states 1-2', [True, True, False])
    """

    kind: QuantityKind
    numbers: tuple[int, ...]
    direction: NDArray[np.float64]

    @property
    def name(self) -> str:
        """``score``, ``cv1`` or ``states 1-2``, counted from 1."""
        if self.kind is QuantityKind.SCORE:
            return "score"
        counted = [str(k + 1) for k in self.numbers]
        if self.kind is QuantityKind.VARIABLE:
            return f"cv{counted[0]}"
        return f"states {counted[0]}-{counted[1]}"

    def inside(self, states: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return which frames (F,) belong to it: of a boundary those of its states."""
        if self.kind is not QuantityKind.BOUNDARY:
            return np.ones(len(states), dtype=bool)
        return np.isin(states, self.numbers)


def quantities_of(
    variables: Sequence[NDArray[np.floating]],
    states: Sequence[NDArray[np.integer]],
    n_states: int,
    lag: int,
    n_tokens: int = 1,
) -> list[Quantity]:
    """Return the score, every variable, and the boundaries that frames cross.

    Parameters
    ----------
    variables : list of (F, d) arrays
        Collective variables of every run.
    states : list of (F,) arrays of int
        State of every frame, -1 where it belongs to none.
    n_states : int
    lag : int
        Frames; a boundary is crossed where the state is another one lag later.
    n_tokens : int
        Tokens, of which many make every boundary costly.

    Returns
    -------
    list of Quantity
        Of boundaries the six at most that are crossed most often; fewer where there
        are more than a hundred tokens.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> from mdgeomfeat.explain import quantities_of
    >>> states = [(run[:, 0] > 0).astype(int) for run in runs]
    >>> [quantity.name for quantity in quantities_of(runs, states, 2, lag=5)]
    ['score', 'cv1', 'states 1-2']
    """
    d = variables[0].shape[1]
    found = [Quantity(kind=QuantityKind.SCORE, numbers=(), direction=np.zeros(d))]
    found += [
        Quantity(kind=QuantityKind.VARIABLE, numbers=(k,), direction=np.eye(d)[k])
        for k in range(d)
    ]
    crossings = np.zeros((n_states, n_states), dtype=np.int64)
    for own in states:
        before, after = own[:-lag], own[lag:]
        known = (before >= 0) & (after >= 0)
        np.add.at(crossings, (before[known], after[known]), 1)
    crossings += crossings.T
    pairs = [p for p in combinations(range(n_states), 2) if crossings[p]]
    pairs.sort(key=lambda p: -crossings[p])
    s, labels = np.concatenate(variables), np.concatenate(states)
    most = min(MAX_BOUNDARIES, max(_MANY // n_tokens, 1))
    for a, b in sorted(pairs[:most]):
        direction = s[labels == b].mean(axis=0) - s[labels == a].mean(axis=0)
        found.append(
            Quantity(kind=QuantityKind.BOUNDARY, numbers=(a, b), direction=direction)
        )
    return found
