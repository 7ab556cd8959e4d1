"""What a user asks for, as the command line or a script states it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import FeatureSpec

__all__ = ["ReadOptions", "StudyOptions"]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Which frames become which features, and how they are computed.

    Attributes
    ----------
    files : tuple of Path
        Trajectories and their topology, in any order.
    features : FeatureSpec
        What makes the features.
    start, stop, step : int or None
        Slice of each trajectory's frames.
    dt : float, str or None
        Time between the frames of each file (before `step`), in ps or as a text such
        as ``"100ps"``. It replaces the times of the files.
    allow_implausible : bool
        Accept positions that look wrong, such as another unit or order of atoms.
    skip_bad_frames : bool
        Leave out frames that cannot be used, instead of stopping.
    device, engine : str
        Where and how the network is run.
    batch_size : int or "auto"
        Number of frames computed at once.
    workers : int
        Number of processes that share the work. One means this process.
    store : Path or None
        Where token features are kept; None keeps them with the results.
    store_dtype : {"float16", "float32"} or None
        Precision of the stored features. None keeps that of an existing store,
        otherwise that of the features.

    Examples
    --------
    >>> from pathlib import Path
    >>> from mdgeomfeat.commands.options import ReadOptions
    >>> files = (Path("top.pdb"), Path("traj.xtc"))
    >>> options = ReadOptions(files=files, step=2, dt="5ps")
    >>> options.step, options.engine, options.features.tokens
    (2, 'auto', 'residue')
    """

    files: tuple[Path, ...]
    features: FeatureSpec = field(default_factory=FeatureSpec)
    start: int | None = None
    stop: int | None = None
    step: int | None = None
    dt: float | str | None = None
    allow_implausible: bool = False
    skip_bad_frames: bool = False
    device: str = "auto"
    engine: str = "auto"
    batch_size: int | Literal["auto"] = "auto"
    workers: int = 1
    store: Path | None = None
    store_dtype: str | None = None


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """How to look for slow motions.

    Attributes
    ----------
    method : {"vampnet", "spib", "tica"}
        VAMPNet, information bottleneck, or the linear method.
    lag : str or None
        Number of frames (``"20"``), or a time such as ``"20ps"``; None chooses.
    dim : int or None
        Number of collective variables; None chooses.
    mixer : str or None
        How tokens are mixed; None chooses.
    states : int or None
        Number of states; None chooses.
    seeds : int or None
        Independent trainings of each network; None chooses.
    temperature : float or None
        Temperature in K; free energies are then in kJ/mol.
    maps : bool
        Whether to draw UMAP maps.
    weights : tuple of str, or str
        ``"COLUMN@FILE"`` for each trajectory of biased runs: the table that holds the
        weights of its frames.
    labels : int or None
        Number of labels that an information bottleneck begins with; None takes 20.
    smooth : bool
        Whether to write variables for biased simulations as well, of TICA.
    koopman : bool
        Weight the frames of many short unbiased runs, to remove the effect of where
        they start.
    fes : tuple of str, or str
        Free energies over coordinates that people know: each names one or two, such as
        ``"phi A:ALA2, psi A:ALA2"``, see
        :func:`~mdgeomfeat.descriptors.read_coordinates`.
    whole_systems : {"solvated", "dry"} or None
        Whether each state's most typical frame is also written with all atoms, and
        whether the solvent is among them.
    weights_are : {"log", "plain", "bias"} or None
        What the weights are given as. None means logarithms, and is refused if a
        column has the name of a bias.

    Raises
    ------
    InputError
        If the temperature is not above 0, if `weights_are` is given without weights,
        if frames would be weighted twice or for an information bottleneck, or if a
        coordinate cannot be understood.

    Examples
    --------
    >>> from mdgeomfeat.commands.options import StudyOptions
    >>> options = StudyOptions(method="tica", lag="20ps", temperature=300.0)
    >>> options.lag, options.dim is None, options.maps
    ('20ps', True, True)
    >>> StudyOptions(temperature=-3.0)
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: --temperature is -3, but must be above 0 kelvin.
    """

    method: Literal["vampnet", "spib", "tica"] = "vampnet"
    lag: str | None = None
    dim: int | None = None
    mixer: str | None = None
    states: int | None = None
    seeds: int | None = None
    temperature: float | None = None
    maps: bool = True
    weights: tuple[str, ...] | str = ()
    weights_are: str | None = None
    smooth: bool = False
    koopman: bool = False
    labels: int | None = None
    fes: tuple[str, ...] | str = ()
    whole_systems: Literal["solvated", "dry"] | None = None

    @property
    def command(self) -> str:
        """Name of the command that a person would type."""
        return {"vampnet": "vamp"}.get(self.method, self.method)

    @property
    def free_energies(self) -> tuple[str, ...]:
        """What free energies are asked for, each once."""
        given = (self.fes,) if isinstance(self.fes, str) else self.fes
        return tuple(dict.fromkeys(given))

    def __post_init__(self) -> None:
        for text in self.free_energies:
            # only who asks for coordinates waits for what measures them
            from mdgeomfeat.descriptors import read_coordinates

            read_coordinates(text)
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise InputError(
                f"--temperature is {self.temperature:g}, but must be above 0 kelvin."
            )
        if self.method == "spib" and self.weights:
            raise InputError(
                "The command spib takes no --weights, because its states are those "
                "that outlast the lag, and weights do not correct how long states "
                "last; use vamp or tica."
            )
        if self.koopman and self.weights:
            raise InputError(
                "--weights and --koopman both give the frames weights; leave one of "
                "them out."
            )
        if self.weights_are is not None and not self.weights:
            raise InputError(
                f"--weights-are {self.weights_are} says what --weights holds, which is "
                "not given; give both or neither."
            )
