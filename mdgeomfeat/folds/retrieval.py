"""Families of proteins from residue tokens, without training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .graphs import AMINO_ACIDS, amino_numbers

__all__ = ["Retrieval", "composition", "nearest_family", "pooled_tokens"]


class Retrieval(NamedTuple):
    """Which protein is the nearest, and whether it is of the same family."""

    queries: NDArray[np.int64]  #: (Q,) proteins whose family has another member
    nearest: NDArray[np.int64]  #: (Q,) the protein that is nearest to each
    correct: NDArray[np.bool_]  #: (Q,)

    @property
    def accuracy(self) -> float:
        """Share of the queries whose nearest protein is of their family."""
        return float(self.correct.mean())


def pooled_tokens(scalars: ArrayLike) -> NDArray[np.float64]:
    """Return mean and standard deviation (2 C,) over the residues of a protein.

    Parameters
    ----------
    scalars : (T, C) array_like

    Examples
    --------
    >>> from mdgeomfeat.folds import pooled_tokens
    >>> pooled_tokens([[1.0, 2.0], [3.0, 2.0]]).tolist()
    [2.0, 2.0, 1.0, 0.0]
    """
    values = np.asarray(scalars, np.float64)
    return np.concatenate([values.mean(axis=0), values.std(axis=0)])


def composition(residues: Sequence[str]) -> NDArray[np.float64]:
    """Return the share (21,) of each amino acid, the last one of all others.

    Parameters
    ----------
    residues : sequence of str
        Residue names.
    """
    numbers = amino_numbers(residues)
    return np.bincount(numbers, minlength=len(AMINO_ACIDS) + 1) / len(numbers)


def nearest_family(
    features: ArrayLike,
    families: Sequence[str],
    groups: Sequence[str] | None = None,
) -> Retrieval:
    """Ask of every protein whether its nearest neighbour is of its family.

    Columns are given zero mean and unit variance over all proteins, without a look at
    families; those that do not vary are left out. Distances are Euclidean. Proteins
    that have no other member of their family to find are among the neighbours, but are
    not asked for.

    Parameters
    ----------
    features : (P, K) array_like
    families : sequence of str
        Of the P proteins.
    groups : sequence of str, optional
        Where the P proteins are from, such as an entry. Neighbours from the same place
        are not looked at. By default each is from a place of its own.

    Returns
    -------
    Retrieval

    Raises
    ------
    InputError
        If shapes do not fit, a feature is not finite, no feature varies, or no family
        has two members.

    Examples
    --------
    >>> from mdgeomfeat.folds import nearest_family
    >>> found = nearest_family([[0.0], [0.1], [5.0], [5.2], [9.0]], list("aabbc"))
    >>> found.nearest.tolist(), found.accuracy
    ([1, 0, 3, 2], 1.0)
    """
    x, names = np.asarray(features, np.float64), np.asarray(families)
    places = np.arange(len(x)) if groups is None else np.asarray(groups)
    if x.ndim != 2 or names.shape != x.shape[:1] or places.shape != x.shape[:1]:
        raise InputError(
            f"Features have the shape {x.shape}, and there are {names.size} families "
            f"and {places.size} groups; give (proteins, features), and one family and "
            "one group for each protein."
        )
    if not np.isfinite(x).all():
        protein = int(np.argmin(np.isfinite(x).all(axis=1)))
        raise InputError(
            f"The features of protein {protein} are not finite; leave it out."
        )
    spread = x.std(axis=0)
    varies = spread > 1e-12 * np.abs(x).max(axis=0, initial=0)
    if not varies.any():
        raise InputError("No feature varies; give proteins that differ.")
    own = places[:, None] == places
    related = (names[:, None] == names) & ~own
    queries = np.flatnonzero(related.any(axis=1))
    if not len(queries):
        raise InputError(
            f"None of {len(set(families))} families has two members (from two groups); "
            "give more proteins."
        )
    x = (x[:, varies] - x[:, varies].mean(axis=0)) / spread[varies]
    squares = ((x[queries, None] - x[None]) ** 2).sum(axis=2)
    squares[own[queries]] = np.inf
    nearest = squares.argmin(axis=1)
    return Retrieval(queries, nearest, related[queries, nearest])
