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


def nearest_family(features: ArrayLike, families: Sequence[str]) -> Retrieval:
    """Ask of every protein whether its nearest neighbour is of its family.

    Columns are given zero mean and unit variance over all proteins, without a look at
    families; those that do not vary are left out. Distances are Euclidean. Proteins
    that are alone in their family are among the neighbours, but are not asked for.

    Parameters
    ----------
    features : (P, K) array_like
    families : sequence of str
        Of the P proteins.

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
    if x.ndim != 2 or names.shape != x.shape[:1]:
        raise InputError(
            f"Features have the shape {x.shape} and there are {names.size} families; "
            "give (proteins, features) and one family for each protein."
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
    _, member, sizes = np.unique(names, return_inverse=True, return_counts=True)
    queries = np.flatnonzero(sizes[member] > 1)
    if not len(queries):
        raise InputError(
            f"None of {len(sizes)} families has two members; give more proteins."
        )
    x = (x[:, varies] - x[:, varies].mean(axis=0)) / spread[varies]
    squares = ((x[queries, None] - x[None]) ** 2).sum(axis=2)
    squares[np.arange(len(queries)), queries] = np.inf
    nearest = squares.argmin(axis=1)
    return Retrieval(queries, nearest, member[nearest] == member[queries])
