"""Free energies over coordinates that the user names: ``--fes``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.descriptors import Coordinate, plan_coordinates
from mdgeomfeat.report.data import ChosenFreeEnergy
from mdgeomfeat.store import map_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from MDAnalysis.core.groups import AtomGroup

    from mdgeomfeat.commands.featurized import Featurized
    from mdgeomfeat.commands.options import StudyOptions
    from mdgeomfeat.kinetics import StudyResult
    from mdgeomfeat.structure import Structure

__all__ = ["FreeEnergyPlan", "chosen_free_energies"]


class FreeEnergyPlan:
    """Finds the atoms of the coordinates before any frame is computed.

    Parameters
    ----------
    options : StudyOptions
        What names the coordinates.
    """

    def __init__(self, options: StudyOptions) -> None:
        self._texts = options.free_energies
        #: The coordinates of each free energy, once they are found.
        self.found: list[tuple[Coordinate, ...]] = []

    def find(self, structure: Structure, atoms: AtomGroup) -> None:
        """Find the atoms of every coordinate.

        Parameters
        ----------
        structure : Structure
        atoms : AtomGroup
            The same atoms.

        Raises
        ------
        InputError
            If one is not there.
        """
        self.found = [plan_coordinates(t, structure, atoms) for t in self._texts]


def chosen_free_energies(
    planned: Sequence[tuple[Coordinate, ...]], study: StudyResult, data: Featurized
) -> tuple[ChosenFreeEnergy, ...]:
    """Compute free energies with the weights that the study gives its frames.

    Parameters
    ----------
    planned : sequence of tuples of Coordinate
        The coordinates of each.
    study : StudyResult
    data : Featurized
        What it was made of. Its positions are used, so that nothing is read twice.
    """
    from mdgeomfeat.kinetics.energy import landscape

    found = []
    for coordinates in planned:
        values = np.stack([_measured(c, data) for c in coordinates], axis=1)
        runs = [values[rows] for rows in data.rows]
        surface = landscape(
            runs,
            study.states.weights,
            range(len(coordinates)),
            study.settings.temperature,
            [c.period for c in coordinates],
        )
        marks = np.full((study.states.n_states, len(coordinates)), np.nan)
        for state, index in enumerate(study.states.representatives):
            if len(index):
                run, frame = index[0]
                marks[state] = runs[run][frame]
        found.append(
            ChosenFreeEnergy(
                coordinates=coordinates, surface=surface, representatives=marks
            )
        )
    return tuple(found)


def _measured(coordinate: Coordinate, data: Featurized) -> np.ndarray:
    """Return a coordinate (F,) of all frames; the first is what RMSDs are from."""
    positions, boxes = data.positions, data.results.boxes
    first = np.asarray(positions[0])

    def measure(frames: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
        return coordinate.measure(frames, own, first)

    sources = [positions] if boxes is None else [positions, boxes]
    return np.asarray(map_rows(measure, sources, (), np.float64))
