"""What a user asks for, as the command line or a script states it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mdgeomfeat.errors import InputError

__all__ = ["ReadOptions", "StudyOptions"]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Which atoms of which frames become features, and how they are computed.

    Attributes
    ----------
    files : tuple of Path
        Trajectories and their topology, in any order.
    select : str or None
        Atoms, in MDAnalysis's selection language; None chooses them.
    model : str
        Name or file of the network.
    tokens : str
        ``"residue"``, ``"atom"`` or ``"molecule"``.
    window : int or None
        Neighbouring tokens along the chain that a token sees; None for all atoms.
    start, stop, step : int or None
        Slice of each trajectory's frames.
    periodic : {"auto", True, False}
        Whether distances use the periodic box.
    allow_unseen : bool
        Accept elements that the network was not trained on.
    skip_bad_frames : bool
        Leave out frames that cannot be used in place of stopping.
    device, engine : str
        Where and how the network is run.
    workers : int
        Processes that share the work; with one it is done in this process.
    store : Path or None
        Where token features are kept; None keeps them with the results.
    """

    files: tuple[Path, ...]
    select: str | None = None
    model: str = "default"
    tokens: Literal["residue", "atom", "molecule"] = "residue"
    window: int | None = None
    start: int | None = None
    stop: int | None = None
    step: int | None = None
    periodic: Literal["auto"] | bool = "auto"
    allow_unseen: bool = False
    skip_bad_frames: bool = False
    device: str = "auto"
    engine: str = "auto"
    workers: int = 1
    store: Path | None = None


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """How the slow motions are looked for.

    Attributes
    ----------
    method : {"vamp", "tica"}
        Neural network or linear.
    lag : str or None
        Frames as a bare integer, or a time such as ``"20ps"``; None chooses.
    dim : int or None
        Number of collective variables; None chooses.
    mixer : str or None
        How tokens are mixed; None chooses.
    states : int or None
        Number of states; None chooses.
    seeds : int or None
        Independent trainings of each network; None chooses.
    temperature : float or None
        K; gives energies in kJ/mol.
    maps : bool
        Whether to draw UMAP maps.

    Raises
    ------
    InputError
        If the temperature is not above 0.
    """

    method: Literal["vamp", "tica"] = "vamp"
    lag: str | None = None
    dim: int | None = None
    mixer: str | None = None
    states: int | None = None
    seeds: int | None = None
    temperature: float | None = None
    maps: bool = True

    def __post_init__(self) -> None:
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise InputError(
                f"--temperature is {self.temperature:g}, but must be above 0 kelvin."
            )
