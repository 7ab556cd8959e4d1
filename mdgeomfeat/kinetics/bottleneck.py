"""How many states an information bottleneck keeps, and what that depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from mdgeomfeat.kinetics.arrays import Arrays
from mdgeomfeat.kinetics.scores import ScoreError
from mdgeomfeat.kinetics.spib import fit_spib
from mdgeomfeat.kinetics.spib_options import SpibOptions
from mdgeomfeat.kinetics.standardize import fit_standardizer
from mdgeomfeat.mixing import MixerSpec

__all__ = ["Bottleneck", "BottleneckRow", "scan_bottlenecks"]

#: Lags of the scan in units of that of the study, and shares of its initial labels.
_LAGS, _LABELS = (0.5, 1, 2, 4), (0.5, 1, 2)


@dataclass(frozen=True, kw_only=True)
class BottleneckRow:
    """One fit.

    Attributes
    ----------
    lag : int
        Frames.
    n_labels : int
        Initial labels.
    n_states : int
        States that are left; 1 where none lasts longer than the lag.
    cross_entropy, entropy : float or None
        Of the later state in frames that the fit has not seen, in nats, by the model
        and by the populations alone; None where there is one state.
    converged : bool
        Whether labels had stopped changing.

    Examples
    --------
    >>> from mdgeomfeat.kinetics import BottleneckRow
    >>> row = BottleneckRow(
    ...     lag=5, n_labels=20, n_states=2, cross_entropy=0.3, entropy=0.69,
    ...     converged=True,
    ... )
    >>> row.cross_entropy < row.entropy  # the model knows more than the populations
    True
    """

    lag: int
    n_labels: int
    n_states: int
    cross_entropy: float | None
    entropy: float | None
    converged: bool


@dataclass(frozen=True)
class Bottleneck:
    """States of an information bottleneck at the lag of a study and around it.

    Attributes
    ----------
    rows : tuple of BottleneckRow
        That of the study first.

    Examples
    --------
    >>> from mdgeomfeat.kinetics import Bottleneck, BottleneckRow
    >>> row = BottleneckRow(
    ...     lag=5, n_labels=20, n_states=2, cross_entropy=0.3, entropy=0.69,
    ...     converged=True,
    ... )
    >>> Bottleneck(rows=(row,)).rows[0].n_states
    2
    """

    rows: tuple[BottleneckRow, ...]

    @property
    def n_states(self) -> int:
        """States at the lag of the study."""
        return self.rows[0].n_states

    def to_dict(self, frame: float = 1.0) -> list[dict[str, Any]]:
        """Return a JSON-able list of the rows.

        Parameters
        ----------
        frame : float
            Length of a frame, by which lags are multiplied.
        """
        return [
            {**asdict(row), "lag": row.lag * frame, "lag_frames": row.lag}
            for row in self.rows
        ]


def scan_bottlenecks(
    train: Arrays,
    held_out: Arrays,
    lag: int,
    spec: MixerSpec,
    *,
    options: SpibOptions | None = None,
    seed: int = 0,
    announce: Callable[[str], None] | None = None,
) -> Bottleneck:
    """Fit bottlenecks at several lags, and from several numbers of initial labels.

    Parameters
    ----------
    train, held_out : list of (F, ...) ndarrays
        What is fitted, and what the cross entropy is computed of.
    lag : int
        Of the study, frames. The others are half, twice and four times that.
    spec : MixerSpec
        The encoder.
    options : SpibOptions, optional
        Defaults if not given. The other numbers of labels are half and twice its own.
    seed : int
    announce : callable, optional
        Told what is done next.

    Returns
    -------
    Bottleneck

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> from mdgeomfeat.kinetics import SpibOptions, scan_bottlenecks
    >>> from mdgeomfeat.mixing import MixerSpec
    >>> spec = MixerSpec(kind="flat", n_tokens=1, n_features=1, n_outputs=1, width=8)
    >>> options = SpibOptions(n_labels=4, width=8, max_epochs=20)
    >>> tokens = [run[:, None] for run in runs]
    >>> found = scan_bottlenecks(tokens[:3], tokens[3:], 4, spec, options=options)
    >>> [(row.lag, row.n_labels) for row in found.rows]
    [(4, 4), (2, 4), (8, 4), (16, 4), (4, 2), (4, 8)]
    """
    options = options or SpibOptions()
    standardizer = fit_standardizer(train)
    usable = min(max(map(len, part)) for part in (train, held_out))
    lags = [t for t in (round(lag * f) for f in _LAGS) if 1 <= t < usable]
    labels = [max(round(options.n_labels * f), 2) for f in _LABELS]
    cases = [(lag, options.n_labels)]
    cases += [(t, options.n_labels) for t in lags] + [(lag, n) for n in labels]
    rows = []
    for tau, n in dict.fromkeys(cases):
        if announce is not None:
            announce(f"states at a lag of {tau} frames, from {n} labels")
        own = replace(options, n_labels=n)
        try:
            fit = fit_spib(
                train, tau, spec, seed=seed, options=own, standardizer=standardizer
            )
            told, guessed = fit.cross_entropy(held_out)
        except ScoreError:
            rows.append(
                BottleneckRow(
                    lag=tau,
                    n_labels=n,
                    n_states=1,
                    cross_entropy=None,
                    entropy=None,
                    converged=True,
                )
            )
            continue
        rows.append(
            BottleneckRow(
                lag=tau,
                n_labels=n,
                n_states=fit.n_states,
                cross_entropy=told,
                entropy=guessed,
                converged=fit.converged,
            )
        )
    return Bottleneck(tuple(rows))
