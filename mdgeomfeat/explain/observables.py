"""What is compared between states, and by how much two sets of frames differ in it.

Every observable has an effect size between 0, no difference, and 1:

==================  ====================================================================
angles              half the distance of the mean points on the circle: 1 for two sharp
                    values that lie opposite each other
shares              difference of the shares of frames
classes             distance of the shares of each class, over the square root of 2
numbers             Cliff's delta, P(b > a + m) - P(b < a - m) (Cliff, Psychol. Bull.
                    114, 494, 1993), with a margin m below which a difference does not
                    matter
fluctuations        difference over sum
==================  ====================================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.descriptors import superpose

__all__ = [
    "Angles",
    "Classes",
    "Fluctuations",
    "Kind",
    "Numbers",
    "Observable",
    "Shares",
]


class Kind(StrEnum):
    """What an observable is; of equal effects the first is told first.

    Examples
    --------
    >>> from mdgeomfeat.explain import Kind
    >>> Kind("torsion").name, len(Kind)
    ('TORSION', 9)
    """

    LIGAND_DISTANCE = "ligand_distance"
    CONTACT = "contact"
    TORSION = "torsion"
    SECONDARY_STRUCTURE = "secondary_structure"
    SALT_BRIDGE = "salt_bridge"
    HYDROGEN_BOND = "hydrogen_bond"
    SOLVENT_EXPOSURE = "solvent_exposure"
    RADIUS_OF_GYRATION = "radius_of_gyration"
    RMSF = "rmsf"


@dataclass(frozen=True, eq=False, kw_only=True)
class Observable(ABC):
    """M quantities of one kind, over the frames of a sample.

    Attributes
    ----------
    kind : Kind
    names : tuple of str
    tokens : tuple of tuple of int
        The tokens that each concerns.
    scale : float
        What makes the length of a contrast an effect size.
    """

    kind: Kind
    names: tuple[str, ...]
    tokens: tuple[tuple[int, ...], ...]
    scale: ClassVar[float] = 1.0

    @abstractmethod
    def value(
        self, places: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return (M,) or (M, k) values of a set of frames.

        Parameters
        ----------
        places : (n,) ndarray of int64
            Of the frames in the sample.
        weights : (n,) ndarray
            Of these frames; they sum to 1.
        """

    def contrast(
        self,
        a: NDArray[np.int64],
        b: NDArray[np.int64],
        weights_a: NDArray[np.float64],
        weights_b: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return (M, k) vectors from the frames `a` to the frames `b`.

        Their length times :attr:`scale` is the effect size; their direction tells
        which way.

        Parameters
        ----------
        a, b : (n,) ndarrays of int64
            Places in the sample.
        weights_a, weights_b : (n,) ndarrays
            Of these frames; they sum to 1.
        """
        difference = self._point(b, weights_b) - self._point(a, weights_a)
        return difference.reshape(len(self.names), -1)

    def _point(
        self, places: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return self.value(places, weights)


@dataclass(frozen=True, eq=False, kw_only=True)
class Angles(Observable):
    """Angles, of which the mean is taken on the circle.

    Attributes
    ----------
    values : (n, M) ndarray, radians
    folds : (M,) ndarray of int
        2 where half a turn changes nothing but names, as of a phenyl ring.
    """

    values: NDArray[np.floating]
    folds: NDArray[np.int64]
    scale: ClassVar[float] = 0.5

    def value(
        self, places: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the circular means (M,), degrees."""
        x, y = self._point(places, weights).T
        angles: NDArray[np.float64] = np.degrees(np.arctan2(y, x)) / self.folds
        return angles

    def _point(
        self, places: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        phases = self.values[places].astype(np.float64) * self.folds
        return np.stack([weights @ np.cos(phases), weights @ np.sin(phases)], axis=1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Shares(Observable):
    """What is there in a frame or is not.

    Attributes
    ----------
    there : (n, M) ndarray of bool
    """

    there: NDArray[np.bool_]

    def value(
        self, places: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the share of frames (M,) in which each is there."""
        return weights @ self.there[places]


@dataclass(frozen=True, eq=False, kw_only=True)
class Classes(Observable):
    """What is one of k things in every frame.

    Attributes
    ----------
    member : (n, M, k) ndarray of bool
        True for one of the k.
    """

    member: NDArray[np.bool_]
    scale: ClassVar[float] = 0.5**0.5

    def value(
        self, places: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the share of frames (M, k) of each class."""
        means: NDArray[np.float64] = np.einsum(
            "n,nmk->mk", weights, self.member[places]
        )
        return means


@dataclass(frozen=True, eq=False, kw_only=True)
class Numbers(Observable):
    """Numbers, such as distances.

    Attributes
    ----------
    values : (n, M) ndarray
    margin : float
        Differences up to this do not count, however sure they are.
    """

    values: NDArray[np.floating]
    margin: float

    def value(
        self, places: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the means (M,)."""
        return weights @ self.values[places].astype(np.float64)

    def contrast(
        self,
        a: NDArray[np.int64],
        b: NDArray[np.int64],
        weights_a: NDArray[np.float64],
        weights_b: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return Cliff's delta (M, 1), above 0 where `b` has the larger numbers.

        Parameters
        ----------
        a, b, weights_a, weights_b
            As for every observable.
        """
        pairs = zip(self.values[a].T, self.values[b].T, strict=True)
        deltas = [_cliff(x, y, weights_a, weights_b, self.margin) for x, y in pairs]
        return np.array(deltas, dtype=np.float64).reshape(-1, 1)


def _cliff(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    weights_x: NDArray[np.float64],
    weights_y: NDArray[np.float64],
    margin: float,
) -> np.float64:
    """Return P(y > x + margin) - P(y < x - margin) of weighted samples."""
    order = np.argsort(x)
    x = x[order]
    below = np.concatenate([[0.0], np.cumsum(weights_x[order])])
    smaller = below[np.searchsorted(x, y - margin, side="left")]
    larger = below[-1] - below[np.searchsorted(x, y + margin, side="right")]
    delta: np.float64 = weights_y @ (smaller - larger)
    return delta


@dataclass(frozen=True, eq=False, kw_only=True)
class Fluctuations(Observable):
    """Root-mean-square fluctuations of points about their mean in a set of frames.

    Attributes
    ----------
    points : (n, M, 3) ndarray, Å
    fitted : (M,) ndarray
        Weight of each point when the frames are superposed on their mean.
    """

    points: NDArray[np.floating]
    fitted: NDArray[np.float64]

    def value(
        self, places: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the fluctuations (M,), Å."""
        frames = self.points[places]
        mean = frames[0]
        for _ in range(2):  # the mean of frames on the first is a better reference
            moved = superpose(frames, mean, self.fitted)
            mean = np.einsum("n,nmx->mx", weights, moved)
        deviation: NDArray[np.float64] = np.sqrt(
            np.einsum("n,nmx->m", weights, (moved - mean) ** 2)
        )
        return deviation

    def contrast(
        self,
        a: NDArray[np.int64],
        b: NDArray[np.int64],
        weights_a: NDArray[np.float64],
        weights_b: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return (b - a) / (a + b) of the fluctuations, (M, 1).

        Parameters
        ----------
        a, b, weights_a, weights_b
            As for every observable.
        """
        before, after = self.value(a, weights_a), self.value(b, weights_b)
        total = np.maximum(before + after, 1e-12)
        return ((after - before) / total)[:, None]
