"""DCD files: what their writers mean by a cell and by a time.

The format says neither. MDAnalysis turns every cell into lengths and angles, from which
lattice vectors are made with the first along x. CHARMM stores a symmetric matrix: the
same lattice in another orientation, so that its frames have to be turned. And it takes
every time step for one in AKMA units, where LAMMPS writes the units of its input.
"""

from __future__ import annotations

import struct
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from MDAnalysis.coordinates.base import ReaderBase
from MDAnalysis.coordinates.DCD import DCDReader
from MDAnalysis.lib.formats.libdcd import DCDFile
from MDAnalysis.lib.mdamath import triclinic_box

from mdgeomfeat.boxes import lattice_vectors
from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.chain import file_readers

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TurnedDCDReader", "check_orientation", "turned", "written_by_lammps"]

# What all other programs that imitate CHARMM's format claim to be.
_IMITATED_VERSION = 24


class TurnedDCDReader(DCDReader):
    """MDAnalysis's DCD reader, with frames turned where the cell is symmetric.

    Frames in a symmetric cell are turned so that its first vector lies along x and its
    second in the xy plane, as lengths and angles are understood. Others are left alone.
    """

    @cached_property
    def _version(self) -> int:
        return _version(self.filename)

    @cached_property
    def turns(self) -> bool:
        """Whether the first frame is turned."""
        return _first_shape(self.filename) is not None

    def _frame_to_ts(self, frame: Any, ts: Any) -> Any:
        ts = super()._frame_to_ts(frame, ts)
        shape = _shape_matrix(frame.unitcell, self._version)
        if shape is not None:
            ts.dimensions = triclinic_box(*shape)
            turn = np.linalg.solve(shape, lattice_vectors(ts.dimensions))
            ts.positions = ts.positions @ turn
        return ts

    def timeseries(self, *args: Any, **kwargs: Any) -> Any:
        """Return positions of many frames; see MDAnalysis."""
        if not self.turns:
            return super().timeseries(*args, **kwargs)
        # MDAnalysis's takes them from the file as they are.
        return ReaderBase.timeseries(self, *args, **({"order": "afc"} | kwargs))


def turned(trajectory: Any) -> list[str]:
    """Return the names of the files whose frames are turned."""
    return [r.filename for r in file_readers(trajectory) if getattr(r, "turns", False)]


def check_orientation(trajectory: Any) -> None:
    """Refuse cells whose orientation the reader of a trajectory has lost.

    Raises
    ------
    InputError
        If a DCD file with symmetric cells was not opened with our reader.
    """
    for reader in file_readers(trajectory):
        if not isinstance(reader, DCDReader) or isinstance(reader, TurnedDCDReader):
            continue
        if _first_shape(reader.filename) is not None:
            raise InputError(
                f"{reader.filename} holds triclinic cells as CHARMM stores them, in "
                "another orientation than their lengths and angles mean, so that "
                "nearest images would be wrong: open the files with "
                "mdgeomfeat.reading.open_universe, which turns the frames, have "
                "another program write them with the first cell vector along x, or "
                "pass periodic=False (--no-pbc)"
            )


def written_by_lammps(reader: Any) -> bool:
    """Tell whether a DCD file has times in units that it does not name.

    MDAnalysis's own reader of such files (``format="LAMMPS"``) is told the units.
    """
    if not isinstance(reader, DCDReader) or reader.flavor == "LAMMPS":
        return False
    return "Written by LAMMPS" in reader._file.header["remarks"]


def _version(path: str | Path) -> int:
    """Read which version of CHARMM a DCD file claims to be of."""
    with Path(path).open("rb") as file:
        head = file.read(88)
    order = "<" if struct.unpack("<i", head[:4])[0] == 84 else ">"
    return int(struct.unpack(order + "20i", head[8:88])[19])


def _first_shape(path: str | Path) -> NDArray[np.float64] | None:
    with DCDFile(str(path)) as file:
        if not len(file):
            return None
        cell = file.read().unitcell
    return _shape_matrix(cell, _version(path))


def _shape_matrix(
    cell: NDArray[np.float64], version: int
) -> NDArray[np.float64] | None:
    """Return the symmetric matrix (3, 3) that a cell of six numbers stands for.

    Parameters
    ----------
    cell : (6,) array
        As stored.
    version : int
        Of :func:`_version`. Files of CHARMM itself hold matrices. Among the others,
        which should hold lengths and angles or cosines, MDAnalysis takes for a matrix
        what can be neither.

    Returns
    -------
    (3, 3) array or None
        None where the cell is no matrix, or an orthorhombic one, whose lengths and
        angles say the same.
    """
    xx, xy, yy, xz, yz, zz = cell
    skew = np.array([xy, xz, yz])
    if not skew.any() or (skew == 90.0).all():
        return None
    if version <= _IMITATED_VERSION:
        cosines = (np.abs(skew) <= 1.0).all()
        if cosines or not ((cell < 0).any() or (skew > 180.0).any()):
            return None
    shape = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], dtype=np.float64)
    if not np.isfinite(shape).all() or np.linalg.eigvalsh(shape).min() <= 0:
        return None
    return shape
