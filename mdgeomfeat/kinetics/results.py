"""Settings and results of a study, as frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.arrays import listed
from mdgeomfeat.kinetics.bottleneck import Bottleneck
from mdgeomfeat.kinetics.convergence import Convergence
from mdgeomfeat.kinetics.energy import FreeEnergy
from mdgeomfeat.kinetics.evidence import Evidence
from mdgeomfeat.kinetics.lag import LagScan
from mdgeomfeat.kinetics.model import CVModel
from mdgeomfeat.kinetics.rates import NoRates, TransitionRates
from mdgeomfeat.kinetics.reasons import Choices, Doubt
from mdgeomfeat.kinetics.scores import Score
from mdgeomfeat.kinetics.spib_options import SpibOptions
from mdgeomfeat.kinetics.splits import Fold
from mdgeomfeat.kinetics.states import StateModel
from mdgeomfeat.kinetics.timescales import ImpliedTimescales
from mdgeomfeat.kinetics.vampnet import TrainingOptions
from mdgeomfeat.kinetics.weights import FrameWeights, WeightOrigin
from mdgeomfeat.mixing import KINDS

__all__ = ["StudyResult", "StudySettings"]

METHODS = ("vampnet", "spib", "tica")


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """What a study is told; None means that it chooses and says why.

    Parameters
    ----------
    method : {"vampnet", "spib", "tica"}
        What makes the collective variables. With ``"vampnet"`` and ``"spib"`` every
        input is scored with such a network and with TICA, with ``"tica"`` with TICA
        only.
    lag : int, optional
        Lag in frames.
    dim : int, optional
        Number of outputs d.
    mixer : {"flat", "mlp", "attention", "equivariant"}, optional
        How a VAMPNet mixes tokens. By default ``"attention"``; inputs without tokens
        always get ``"flat"``.
    mixer_options : mapping
        Further options of :class:`~mdgeomfeat.mixing.MixerSpec`. By default inputs
        are dropped by :func:`~mdgeomfeat.kinetics.study.choose_mixer`'s rule.
    n_states : int, optional
        Number of states.
    seeds : int, optional
        VAMPNets trained for each input and fold. By default 3, or fewer where the
        networks are so large that the study would take long.
    seed : int
        First seed.
    temperature : float, optional
        Kelvin; carried along for free energies.
    dt : float, optional
        Time between frames, ps; times are in frames without it.
    groups : tuple of int, optional
        Equal numbers mark pieces of one run that was cut at gaps in its frames.
    max_folds : int
        Largest number of held-out parts.
    fused : tuple of str
        Inputs that the primary one is joined with by one linear map: the best of them
        and the primary one together are scored as well.
    training : TrainingOptions
        Of the VAMPNets.
    spib : SpibOptions
        Of the information bottlenecks.
    n_bootstrap : int
        Bootstrap samples.
    koopman : bool
        Weight the frames of many short unbiased runs so that it does not matter where
        they start (:func:`~mdgeomfeat.kinetics.koopman_weights`).
    metadata : mapping
        Stored with the model, such as the provenance of the features (JSON-able).

    Raises
    ------
    InputError
        If a value is not allowed.

    Examples
    --------
    >>> from mdgeomfeat.kinetics import StudySettings
    >>> settings = StudySettings(method="tica", lag=10, dt=20.0)
    >>> settings.lag * settings.dt  # ps
    200.0
    >>> StudySettings(method="pca")
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: Method 'pca' is unknown; choose one of vampnet, ...
    """

    method: str = "vampnet"
    lag: int | None = None
    dim: int | None = None
    mixer: str | None = None
    mixer_options: Mapping[str, Any] = field(default_factory=dict)
    n_states: int | None = None
    seeds: int | None = None
    seed: int = 0
    temperature: float | None = None
    dt: float | None = None
    groups: tuple[int, ...] | None = None
    max_folds: int = 4
    fused: tuple[str, ...] = ()
    training: TrainingOptions = field(default_factory=TrainingOptions)
    spib: SpibOptions = field(default_factory=SpibOptions)
    n_bootstrap: int = 40
    koopman: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def network(self) -> str | None:
        """Name of the networks that are trained: VAMPNet, SPIB or none."""
        return {"vampnet": "VAMPNet", "spib": "SPIB"}.get(self.method)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(
                f"Method {self.method!r} is unknown; choose one of "
                f"{', '.join(METHODS)}."
            )
        if self.mixer is not None and self.mixer not in KINDS:
            raise InputError(
                f"Mixer {self.mixer!r} is unknown; choose one of {', '.join(KINDS)}."
            )
        for name in ("lag", "dim", "seeds", "max_folds", "n_bootstrap"):
            value = getattr(self, name)
            if value is not None and (int(value) != value or value < 1):
                raise InputError(f"{name}={value} must be a whole number, 1 or more.")
        if self.n_states is not None and self.n_states < 2:
            raise InputError(f"n_states={self.n_states} is too few; choose 2 or more.")
        for name in ("temperature", "dt"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name}={value} must be above 0.")


@dataclass(frozen=True, eq=False, kw_only=True)
class StudyResult:
    """Everything a report shows about the slow motions.

    Attributes
    ----------
    settings : StudySettings
        What was asked for, with the number of seeds filled in.
    primary : str
        Name of the input that the collective variables are made of.
    lag, dim : int
        Lag in frames and number of outputs, as used.
    mixer : str or None
        Mixer of the primary VAMPNet.
    choices : Choices
        What was chosen, and why.
    doubts : tuple of Doubt
        What makes the results less certain, the gravest first;
        :func:`mdgeomfeat.report.doubts_in_words` makes sentences of it.
    scores : list of Score
        Primary first, then the other inputs in the order given; VAMPNet before TICA.
    evidence : Evidence
        Whether a slow motion is established on held-out data. Where it is not,
        timescales and states are those of an overfitted model.
    ceiling : float or None
        Upper limit of the score; None if unknown, or if nothing slow is established.
    lag_scan : LagScan
        TICA timescales from which lag and dim were chosen.
    model : CVModel
        From primary features to collective variables.
    cvs : list of (F, d) ndarray
        Collective variables of every trajectory, slowest first.
    timescales : ImpliedTimescales or None
        Of Markov models over lags, frames; None for biased runs.
    states : StateModel
        States at the lag of the study.
    rates : TransitionRates or NoRates
        How fast the states change into each other, or why that is not known.
    convergence : Convergence
        Whether the data are enough, and on what that rests.
    free_energy : FreeEnergy or None
        Over the first two collective variables (or the only one) with the weights of
        `states`; None where these are not known.
    profiles : tuple of FreeEnergy
        The same along each collective variable.
    folds : list of Fold
        What was trained on and what was scored.
    fold_models : dict of str to list of (CVModel or None)
        For every input with tokens, what was fitted to each of the `folds`, with the
        method of the study; None where that failed. A held-out part is new to its
        fold's model, and not to `model`.
    weights : FrameWeights or None
        Weights of the frames, of biased runs or of runs that start off equilibrium.
        With the first no timescale is known, here and in `lag_scan`, `model` and
        `states`, because they would be those of the bias.
    bottleneck : Bottleneck or None
        With the method ``"spib"``, how many states are left, by lag and labels.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import StudySettings, run_study
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> settings = StudySettings(method="tica", n_bootstrap=5)
    >>> study = run_study({"x": runs}, "x", settings)
    >>> study.evidence.established, study.doubts
    (True, ())
    >>> [cv.shape for cv in study.cvs]
    [(500, 1), (500, 1), (500, 1), (500, 1)]
    """

    settings: StudySettings
    primary: str
    lag: int
    dim: int
    mixer: str | None
    choices: Choices
    doubts: tuple[Doubt, ...]
    scores: list[Score]
    evidence: Evidence
    ceiling: float | None
    lag_scan: LagScan
    model: CVModel
    cvs: list[NDArray[np.float64]]
    timescales: ImpliedTimescales | None
    states: StateModel
    rates: TransitionRates | NoRates
    convergence: Convergence
    free_energy: FreeEnergy | None
    profiles: tuple[FreeEnergy, ...]
    folds: list[Fold]
    fold_models: dict[str, list[CVModel | None]] = field(default_factory=dict)
    weights: FrameWeights | None = None
    bottleneck: Bottleneck | None = None

    @property
    def biased(self) -> bool:
        """Whether frames are of biased runs, whose timescales mean nothing."""
        return self.weights is not None and self.weights.origin is WeightOrigin.BIAS

    @property
    def time_unit(self) -> str:
        """``"ps"`` if the time between frames is known, else ``"frames"``."""
        return "frames" if self.settings.dt is None else "ps"

    def in_time(self, frames: ArrayLike) -> NDArray[np.float64]:
        """Convert frames to :attr:`time_unit`, with the shape of what is given."""
        return np.asarray(frames, dtype=float) * (self.settings.dt or 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able summary; times are in :attr:`time_unit`."""
        settings = asdict(self.settings)
        settings["mixer_options"] = dict(self.settings.mixer_options)
        settings["metadata"] = dict(self.settings.metadata)
        its, scan = self.timescales, self.lag_scan
        surface = self.free_energy
        return {
            "settings": settings,
            "primary": self.primary,
            "time_unit": self.time_unit,
            "lag": float(self.in_time(self.lag)),
            "lag_frames": self.lag,
            "dim": self.dim,
            "n_cvs": self.model.dim,
            "mixer": self.mixer,
            "choices": asdict(self.choices),
            "doubts": [d.to_dict() for d in self.doubts],
            "evidence": self.evidence.to_dict(),
            "ceiling": self.ceiling,
            "scores": [asdict(s) for s in self.scores],
            "lag_scan": {
                "lags": listed(self.in_time(scan.lags)),
                "timescales": listed(self.in_time(scan.timescales)),
                "n_slow": scan.n_slow,
                "converged": scan.converged,
                "levels_off": scan.levels_off,
            },
            "implied_timescales": None
            if its is None
            else {
                "lags": listed(self.in_time(its.lags)),
                "timescales": listed(self.in_time(its.timescales)),
                "lower": listed(self.in_time(its.lower)),
                "upper": listed(self.in_time(its.upper)),
                "bootstrap_unit": its.unit,
            },
            "states": self.states.to_dict(self.settings.dt or 1.0),
            "rates": self._rates_dict(),
            "convergence": self.convergence.to_dict(self.settings.dt or 1.0),
            "free_energy": {
                "surface": None if surface is None else surface.to_dict(),
                "profiles": [profile.to_dict() for profile in self.profiles],
            },
            "folds": [asdict(f) for f in self.folds],
            "bottleneck": None
            if self.bottleneck is None
            else self.bottleneck.to_dict(self.settings.dt or 1.0),
            "weights": None if self.weights is None else self.weights.to_dict(),
        }

    def _rates_dict(self) -> dict[str, Any]:
        """Return rates, or the reason why there are none; the other is null."""
        if isinstance(self.rates, NoRates):
            return {"refused": self.rates.value}
        return {"refused": None, **self.rates.to_dict(self.settings.dt or 1.0)}
