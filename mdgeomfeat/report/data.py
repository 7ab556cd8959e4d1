"""What the page shows beside a study: where it came from, maps and structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.report.figures.maps import ColorBy, NamedMap
from mdgeomfeat.report.molecule import Molecule

if TYPE_CHECKING:
    from mdgeomfeat.descriptors import Coordinate
    from mdgeomfeat.explain import (
        EnsembleTest,
        Pairing,
        PlainToken,
        StateDifferences,
    )
    from mdgeomfeat.kinetics import FreeEnergy

__all__ = [
    "ChosenFreeEnergy",
    "Comparison",
    "ComparisonRow",
    "EnsembleComparison",
    "FrameOrigin",
    "Record",
    "StateAngle",
    "StateFrames",
    "Way",
]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What was analysed, how, and what was decided on the way.

    Attributes
    ----------
    title, subtitle : str
        Heading of the page, and the line under it.
    analysed : tuple of (name, value)
        Files, frames, times, atoms.
    network : tuple of (name, value)
        The model card, in short.
    run : tuple of (name, value)
        Versions, engine, device, command.
    warnings : tuple of str
        What a reader must know before believing the page.
    files : tuple of (name, what it is)
        What else lies in the folder.
    """

    title: str
    subtitle: str
    analysed: tuple[tuple[str, str], ...]
    network: tuple[tuple[str, str], ...] = ()
    run: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class ComparisonRow:
    """How one input agrees with classical descriptors.

    Attributes
    ----------
    name : str
        The input.
    torsion_r2 : (T,) ndarray or None
        Held-out R² of each angle (mean over its sine and cosine), from a ridge
        regression; None where the input holds the angles themselves.
    distance_r2 : float or None
        The same, mean over distances.
    map_r2 : (T,) ndarray or None
        R² of each angle from the nearest neighbours in the two-dimensional map.
    split : str
        What was held out.
    """

    name: str
    torsion_r2: np.ndarray | None
    distance_r2: float | None
    map_r2: np.ndarray | None
    split: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Maps of all inputs and their agreement with dihedrals and distances.

    Attributes
    ----------
    maps : tuple of NamedMap
    columns : tuple of ColorBy
        What colours the maps.
    rows : tuple of ComparisonRow
    torsion_names : tuple of str
    split : str
        What was held out.
    neighbours_elsewhere : bool
        Whether neighbours in the map were taken from other trajectories only.
    notes : tuple of str
        How each map was made.
    """

    maps: tuple[NamedMap, ...]
    columns: tuple[ColorBy, ...]
    rows: tuple[ComparisonRow, ...]
    torsion_names: tuple[str, ...]
    split: str
    neighbours_elsewhere: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FrameOrigin:
    """Where a frame is from.

    Attributes
    ----------
    trajectory : int
        Trajectory, counted from 1 as in ``cvs.csv``.
    file : str
        Name of its file.
    frame : int
        Frame of that file, counted from 0 as VMD and MDAnalysis do.
    time : float or None
        ps; None where it is not known.
    """

    trajectory: int
    file: str
    frame: int
    time: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class StateAngle:
    """One main-chain angle in each state, over all of its frames.

    Attributes
    ----------
    name : str
        For example ``"A:LEU42:phi"``.
    mean : (S,) ndarray
        Circular mean, degrees; NaN for a state without frames.
    spread : (S,) ndarray
        Circular standard deviation, degrees.
    """

    name: str
    mean: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Way:
    """Frames along the slowest variable, each alike to those beside it.

    Attributes
    ----------
    origins : tuple of n FrameOrigin
    positions : (n, A, 3) ndarray, Å
        Superposed, each frame on the one before.
    secondary : tuple of n str
        As in :class:`StateFrames`.
    values : (n,) ndarray
        Of the variable, ascending.
    states : (n,) ndarray of int
        State of each, -1 for none.
    """

    origins: tuple[FrameOrigin, ...]
    positions: np.ndarray
    secondary: tuple[str, ...]
    values: np.ndarray
    states: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class StateFrames:
    """Representative frames of the states, and angles of all their frames.

    Attributes
    ----------
    origins : tuple of tuple of FrameOrigin
        Where the frames of each state are from, the most central first.
    positions : tuple of (n_i, A, 3) ndarray, Å
        Superposed on the first of them all, which turns its least extent towards the
        eye, along z.
    secondary : tuple of tuple of str
        Of each frame, one letter for each residue: h (helix), s (strand) or c.
    molecule : Molecule
    files : tuple of str
        Name of each state's PDB file.
    way : Way or None
        From one end of the slowest variable to the other.
    angles : tuple of StateAngle
    """

    origins: tuple[tuple[FrameOrigin, ...], ...]
    positions: tuple[np.ndarray, ...]
    secondary: tuple[tuple[str, ...], ...]
    molecule: Molecule
    files: tuple[str, ...]
    way: Way | None = None
    angles: tuple[StateAngle, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class ChosenFreeEnergy:
    """A free energy over one or two coordinates that the user named.

    Attributes
    ----------
    coordinates : tuple of Coordinate
    surface : FreeEnergy or None
        None where the weights of frames are not known.
    representatives : (S, d) ndarray
        Coordinates of each state's most typical frame; NaN where there is none.
    """

    coordinates: tuple[Coordinate, ...]
    surface: FreeEnergy | None
    representatives: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able summary."""
        from mdgeomfeat.kinetics.arrays import listed

        return {
            "coordinates": [
                {"name": c.name, "kind": c.kind, "unit": c.unit, "atoms": c.note}
                for c in self.coordinates
            ],
            "representatives": listed(self.representatives),
            "surface": None if self.surface is None else self.surface.to_dict(),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class EnsembleComparison:
    """What differs between two ensembles.

    Attributes
    ----------
    labels : tuple of str
        Of the N tokens that both have, as the first names them.
    test : EnsembleTest
    plain : tuple of N PlainToken
    differences : StateDifferences or None
        Of the second ensemble, in place of a state, from the first; None where there
        are too few frames.
    pairing : Pairing
    single : tuple of int
        Ensembles (0, 1) that have one run, which was cut into halves.
    """

    labels: tuple[str, ...]
    test: EnsembleTest
    plain: tuple[PlainToken, ...]
    differences: StateDifferences | None
    pairing: Pairing
    single: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what the page shows, with tokens counted from 1."""
        ranked: list[object] = []
        if self.differences is not None:
            ranked = [
                difference.to_dict()
                for one in self.differences.compared
                for difference in one.differences
            ]
        return {
            "tokens": list(self.labels),
            "halves_of_one_run": [side + 1 for side in self.single],
            "test": self.test.to_dict(),
            "plain": [token.to_dict() for token in self.plain],
            "differences": ranked,
            "pairing": self.pairing.to_dict(),
        }
