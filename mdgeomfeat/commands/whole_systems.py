"""Frames with all atoms of the topology, from which simulations can start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.boxes import has_box
from mdgeomfeat.commands.pdb_files import write_models
from mdgeomfeat.commands.tables import frame_origins
from mdgeomfeat.structure.system import WholeSystem
from mdgeomfeat.upstream import read_frame

if TYPE_CHECKING:
    from mdgeomfeat.commands.featurized import Featurized
    from mdgeomfeat.report.data import FrameOrigin

__all__ = ["SystemWriter", "write_typical_systems"]


class SystemWriter:
    """Writes frames of the whole system, with no molecule cut by the box.

    Parameters
    ----------
    data : Featurized
        Of the trajectories.
    solvent : bool
        Whether water, common co-solvents and single ions are written.
    """

    def __init__(self, data: Featurized, *, solvent: bool = True) -> None:
        import MDAnalysis as mda

        self._data = data
        self._system = WholeSystem(data.universe, solvent=solvent)
        self._written = mda.Merge(data.universe.atoms[self._system.indices])

    def write(self, path: Path, row: int, title: str) -> FrameOrigin:
        """Write one of the analysed frames, and return where it is from.

        Parameters
        ----------
        path : Path
        row : int
            Of all analysed frames, trajectories one after another.
        title : str
        """
        universe = self._data.universe
        read_frame(universe.trajectory, int(self._data.results.frames[row]))
        box = universe.trajectory.ts.dimensions
        placed = self._system.place(universe.atoms.positions, box)
        (origin,) = frame_origins(self._data, [row])
        write_models(
            path,
            self._written,
            placed[None],
            title,
            [origin],
            boxes=None if box is None or not has_box(box).all() else box[None],
        )
        return origin


def write_typical_systems(
    folder: Path,
    data: Featurized,
    states: Sequence[np.ndarray],
    *,
    solvent: bool,
) -> list[tuple[str, tuple[FrameOrigin, ...]]]:
    """Write the most typical frame of every state as a whole system.

    Parameters
    ----------
    folder : Path
        Made for it.
    data : Featurized
    states : sequence of (n_i,) ndarray of int
        Rows of each state's typical frames, the most central first.
    solvent : bool
        Whether the solvent is written.

    Returns
    -------
    list of (name, origins)
        Of each file, in the folder around this one.
    """
    folder.mkdir()
    writer = SystemWriter(data, solvent=solvent)
    written: list[tuple[str, tuple[FrameOrigin, ...]]] = []
    for index, rows in enumerate(states):
        if len(rows):
            name = f"state-{index + 1}.pdb"
            title = f"state {index + 1}, most typical frame"
            origin = writer.write(folder / name, int(rows[0]), title)
            written.append((f"{folder.name}/{name}", (origin,)))
    return written
