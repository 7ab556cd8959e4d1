"""Amber's restart files and text trajectories, with their boxes.

MDAnalysis reads text restarts without their box and no restarts in NetCDF; mdtraj
reads both. Text trajectories do not say how many atoms a frame has.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.frame_reader import Frame, FrameReader

__all__ = [
    "AmberRestartReader",
    "AmberTextReader",
    "NetCDFRestartReader",
    "check_text_box",
]

_WIDTH, _PER_LINE = 8, 10
_BOX = re.compile(rb"%FLAG BOX_DIMENSIONS\s*\n(?:%.*\n)*\s*(\S+)")


class AmberRestartReader(FrameReader):
    """Reads an Amber restart file in text (``.rst7``, ``.inpcrd``): one frame.

    Parameters
    ----------
    filename : str
    """

    format = "AMBER-RESTART"

    def _index(self) -> None:
        self._frame = self._read_file()
        self.n_frames, self.n_atoms = 1, len(self._frame.positions)

    def _load(self, frame: int) -> Frame:  # noqa: ARG002
        return self._frame

    def _read_file(self) -> Frame:
        from mdtraj.formats import AmberRestartFile

        with Path(self.filename).open() as file:
            file.readline()
            words = file.readline().split()
        with AmberRestartFile(self.filename) as restart:
            xyz, time, lengths, angles = restart.read()
        return _first(xyz, lengths, angles, float(time[0]) if words[1:] else None)


class NetCDFRestartReader(AmberRestartReader):
    """Reads an Amber restart file in NetCDF (``.ncrst``): one frame.

    Parameters
    ----------
    filename : str
    """

    format = "AMBER-NETCDF-RESTART"

    def _read_file(self) -> Frame:
        from mdtraj.formats import AmberNetCDFRestartFile
        from netCDF4 import Dataset

        with Dataset(self.filename) as file:
            states_time = "time" in file.variables
        with AmberNetCDFRestartFile(self.filename) as restart:
            xyz, time, lengths, angles = restart.read()
        return _first(
            xyz, lengths, angles, float(np.ravel(time)[0]) if states_time else None
        )


def _first(xyz: Any, lengths: Any, angles: Any, time: float | None) -> Frame:
    box = None
    if lengths is not None and angles is not None:
        box = np.concatenate([np.ravel(lengths)[:3], np.ravel(angles)[:3]])
        box = box if np.all(box > 0) else None
    return Frame(np.reshape(xyz, (-1, 3)), box, time)


class AmberTextReader(FrameReader):
    """Reads Amber's text trajectories (``.mdcrd``, ``.crdbox``, ``.crd``, ``.trj``).

    They hold box lengths without angles, which are taken as 90 degrees.

    Parameters
    ----------
    filename : str
    n_atoms : int
        Of the topology.
    """

    format = "AMBER-TEXT"

    def _index(self) -> None:
        n = 3 * self.n_atoms
        last = (n - 1) % _PER_LINE + 1
        self._widths = [_WIDTH * _PER_LINE] * ((n - last) // _PER_LINE)
        self._widths.append(_WIDTH * last)
        self._starts: list[int] = []
        #: Whether three box lengths follow the positions of each frame.
        self.has_box = False
        with Path(self.filename).open("rb") as file:
            file.readline()
            start = file.tell()
            while self._pass_frame(file):
                self._starts.append(start)
                start = file.tell()
        self.n_frames = len(self._starts)

    def _pass_frame(self, file: BinaryIO) -> bool:
        """Go to the end of a frame; tell whether there is a whole one."""
        widths = [len(file.readline().rstrip()) for _ in self._widths]
        if not any(widths):
            return False
        if widths != self._widths:
            if self._starts and not widths[-1]:
                self.problem = "it is cut inside a frame"
                return False
            raise InputError(
                f"{self.filename} does not hold frames of {self.n_atoms} atoms in "
                "Amber's text format; name the topology that it was written with."
            )
        if not self._starts:
            # One atom's positions look like a box, which they are not taken for.
            here = file.tell()
            width = len(file.readline().rstrip())
            self.has_box = width == 3 * _WIDTH and self.n_atoms > 1
            file.seek(here)
        if self.has_box and len(file.readline().rstrip()) != 3 * _WIDTH:
            self.problem = "it is cut inside a frame"
            return False
        return True

    def _load(self, frame: int) -> Frame:
        with Path(self.filename).open("rb") as file:
            file.seek(self._starts[frame])
            lines = [file.readline().rstrip() for _ in self._widths]
            box = file.readline().rstrip() if self.has_box else b""
        values = np.array([v for line in lines for v in _numbers(line)])
        lengths = _numbers(box)
        cell = np.array([*lengths, 90.0, 90.0, 90.0]) if any(lengths) else None
        return Frame(values.reshape(-1, 3), cell)


def _numbers(line: bytes) -> list[float]:
    return [float(line[i : i + _WIDTH]) for i in range(0, len(line), _WIDTH)]


def check_text_box(path: str | Path, topology: Path, has_box: bool) -> str | None:
    """Compare a text trajectory's box with the angle that its topology states.

    Parameters
    ----------
    path, topology : path-like
    has_box : bool
        Whether the trajectory holds box lengths.

    Returns
    -------
    str or None
        A note, where the angles are unknown.

    Raises
    ------
    InputError
        If the topology's box is no right-angled one.
    """
    if not has_box:
        return None
    found = _BOX.search(topology.read_bytes())
    if found is None:
        return (
            f"{path} holds box lengths without angles, which are taken as 90 degrees."
        )
    angle = float(found[1])
    if abs(angle - 90.0) > 1e-3:
        raise InputError(
            f"{path} holds box lengths without angles, and {topology} says {angle:g} "
            "degrees; convert it to NetCDF (cpptraj: trajout t.nc), which keeps them."
        )
    return None
