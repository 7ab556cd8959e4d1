r"""Statistical weights of frames, of biased runs or of runs that start off equilibrium.

A static (or quasi-static) bias V makes the density :math:`\pi e^{-\beta V}`, so frames
with the weights :math:`e^{\beta V}` have the density of the unbiased system: averages,
populations and free energies follow. How fast the system moves is still decided by the
biased forces, and no weight of a frame corrects that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.energy import GAS_CONSTANT

__all__ = [
    "MIN_EFFECTIVE",
    "FrameWeights",
    "WeightKind",
    "WeightOrigin",
    "effective_size",
]

#: Fewer effective frames than this are refused: even if they were independent, a state
#: that holds half of the population would be known to 0.07 only.
MIN_EFFECTIVE = 50


class WeightKind(StrEnum):
    """What numbers that are given for frames mean.

    ``LOG``: natural logarithms of weights. ``PLAIN``: the weights. ``BIAS``: the bias
    V in kJ/mol that acted on the frame, whose weight is exp(V / RT).

    Examples
    --------
    >>> from mdgeomfeat.kinetics import WeightKind
    >>> WeightKind("bias"), [kind.value for kind in WeightKind]
    (<WeightKind.BIAS: 'bias'>, ['log', 'plain', 'bias'])
    """

    LOG = "log"
    PLAIN = "plain"
    BIAS = "bias"


class WeightOrigin(StrEnum):
    """Where weights are from.

    ``BIAS``: the runs were biased, so their dynamics is not that of the system.
    ``KOOPMAN``: the runs were not biased, but started off equilibrium.

    Examples
    --------
    >>> from mdgeomfeat.kinetics import FrameWeights, WeightOrigin
    >>> FrameWeights.from_plain([[1.0, 3.0]]).origin is WeightOrigin.BIAS
    True
    """

    BIAS = "bias"
    KOOPMAN = "koopman"


@dataclass(frozen=True, eq=False)
class FrameWeights:
    """Weights of the frames of several runs, normalised over all runs together.

    Made by :meth:`from_log`, :meth:`from_plain` and :meth:`from_bias`.

    Attributes
    ----------
    values : tuple of (F,) ndarray of float64
        One array for every unbroken trajectory; they sum to 1 over all frames. A run
        whose frames are less likely than another's has a smaller sum.
    origin : WeightOrigin
        Whether the runs were biased.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import FrameWeights
    >>> weights = FrameWeights.from_plain([[1.0, 1.0], [2.0, 0.0]])
    >>> [values.tolist() for values in weights.values]
    [[0.25, 0.25], [0.5, 0.0]]
    >>> round(weights.effective_size, 2)
    2.67
    >>> FrameWeights.from_log([[np.nan, 0.0]])
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: The weight of frame 0 of trajectory 0 is nan; ...
    """

    values: tuple[NDArray[np.float64], ...]
    origin: WeightOrigin = WeightOrigin.BIAS

    @classmethod
    def from_log(cls, runs: Sequence[ArrayLike]) -> FrameWeights:
        """Take natural logarithms of weights, such as V / RT.

        Parameters
        ----------
        runs : list of (F,) arrays
            One for every unbroken trajectory. A constant that is the same for all
            runs does not matter; minus infinity is a weight of 0.

        Raises
        ------
        InputError
            If there is none, or a value is NaN or plus infinity, or no frame has a
            weight.
        """
        logs = _columns(runs, lambda x: np.isfinite(x) | (x == -np.inf))
        top = max((float(x.max()) for x in logs if len(x)), default=-np.inf)
        if top == -np.inf:
            raise InputError(
                "All weights are zero; check that the column holds the logarithms of "
                "weights."
            )
        return cls.normalised([np.exp(x - top) for x in logs])

    @classmethod
    def from_plain(cls, runs: Sequence[ArrayLike]) -> FrameWeights:
        """Take weights as they are.

        Parameters
        ----------
        runs : list of (F,) arrays
            One for every unbroken trajectory; 0 or more.

        Raises
        ------
        InputError
            If there is none, or a value is negative or not finite, or all are 0.
        """
        plain = _columns(runs, np.isfinite)
        for i, x in enumerate(plain):
            if (x < 0).any():
                frame = int(np.argmax(x < 0))
                raise InputError(
                    f"The weight of frame {frame} of trajectory {i} is {x[frame]:g}, "
                    "and weights are 0 or more; if these are logarithms of weights, "
                    "say so."
                )
        return cls.normalised(plain)

    @classmethod
    def from_bias(cls, runs: Sequence[ArrayLike], temperature: float) -> FrameWeights:
        """Take the bias that acted on every frame.

        Parameters
        ----------
        runs : list of (F,) arrays
            kJ/mol, one for every unbroken trajectory. What has to be subtracted from
            a bias that grows (such as c(t) of metadynamics) is subtracted already.
        temperature : float
            Of the runs, kelvin.

        Raises
        ------
        InputError
            If the temperature is not positive, or a value is not finite.
        """
        if not 0 < temperature < np.inf:
            raise InputError(f"A temperature of {temperature} K is not above 0 K.")
        biases = _columns(runs, np.isfinite)
        return cls.from_log([x / (GAS_CONSTANT * temperature) for x in biases])

    @classmethod
    def made(
        cls,
        kind: WeightKind,
        runs: Sequence[ArrayLike],
        temperature: float | None = None,
    ) -> FrameWeights:
        """Take numbers of a kind that is named.

        Parameters
        ----------
        kind : WeightKind
        runs : list of (F,) arrays
            One for every unbroken trajectory.
        temperature : float, optional
            Kelvin; needed for a bias.

        Raises
        ------
        InputError
            As the method for the kind does, or if a bias has no temperature.
        """
        if kind is WeightKind.LOG:
            return cls.from_log(runs)
        if kind is WeightKind.PLAIN:
            return cls.from_plain(runs)
        if temperature is None:
            raise InputError(
                "A bias in kJ/mol becomes a weight at a temperature; give the "
                "temperature of the runs."
            )
        return cls.from_bias(runs, temperature)

    @classmethod
    def normalised(
        cls,
        weights: Sequence[NDArray[np.float64]],
        origin: WeightOrigin = WeightOrigin.BIAS,
    ) -> FrameWeights:
        """Divide weights, 0 or more, by their sum over all runs.

        Parameters
        ----------
        weights : list of (F,) ndarrays
            One for every unbroken trajectory.
        origin : WeightOrigin

        Raises
        ------
        InputError
            If all are 0.
        """
        # the largest first: a sum of large plain weights could overflow
        top = max((float(w.max()) for w in weights if len(w)), default=0.0)
        if not top > 0:
            raise InputError("All weights are zero, so that no frame counts.")
        scaled = [w / top for w in weights]
        total = sum(float(w.sum()) for w in scaled)
        return cls(tuple(w / total for w in scaled), origin)

    @property
    def n_frames(self) -> int:
        """Number of frames of all runs."""
        return sum(map(len, self.values))

    @property
    def effective_size(self) -> float:
        """Kish's effective sample size, 1 to the number of frames.

        So many frames of equal weight would give averages as sure as these do, were
        all frames independent.
        """
        return effective_size(np.concatenate(self.values))

    def require(self, lengths: Sequence[int]) -> None:
        """Refuse trajectories of other lengths, and weights that rest on few frames.

        Parameters
        ----------
        lengths : sequence of int
            Frames of every trajectory.

        Raises
        ------
        InputError
            Naming both lengths, or the effective sample size.
        """
        own = [len(w) for w in self.values]
        if own != list(lengths):
            raise InputError(
                f"There are weights for trajectories of {own} frames, but these have "
                f"{list(lengths)}; give one weight for every analysed frame."
            )
        if self.effective_size < MIN_EFFECTIVE:
            raise InputError(
                f"The weights of {self.n_frames:,} frames rest on so few of them that "
                f"the effective sample size is {self.effective_size:.3g}, and at least "
                f"{MIN_EFFECTIVE} are needed; simulate longer, or with a bias under "
                "which the likely frames are seen more often."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able summary."""
        return {
            "origin": self.origin.value,
            "n_frames": self.n_frames,
            "effective_size": self.effective_size,
            "shares_of_trajectories": [float(w.sum()) for w in self.values],
        }


def _columns(
    runs: Sequence[ArrayLike],
    usable: Callable[[NDArray[np.float64]], NDArray[np.bool_]],
) -> list[NDArray[np.float64]]:
    """Check that there is one number for every frame, and that it can be used."""
    columns = [np.asarray(x, dtype=np.float64) for x in runs]
    if not columns:
        raise InputError("There are no weights; give one array per trajectory.")
    for i, x in enumerate(columns):
        if x.ndim != 1:
            raise InputError(
                f"The weights of trajectory {i} have shape {x.shape}; give one number "
                "per frame."
            )
        bad = ~usable(x)
        if bad.any():
            frame = int(np.argmax(bad))
            raise InputError(
                f"The weight of frame {frame} of trajectory {i} is {x[frame]}; leave "
                "that frame out, or find out what went wrong there."
            )
    return columns


def effective_size(weights: NDArray[np.float64]) -> float:
    """Return (Σw)² / Σw² (Kish, Survey Sampling, 1965, section 11.7).

    Parameters
    ----------
    weights : (F,) ndarray
        0 or more, not all 0.
    """
    scaled = weights / weights.max()
    return float(scaled.sum() ** 2 / (scaled @ scaled))
