"""DCD files: what their writers mean by a cell and by a time.

The format says neither. MDAnalysis turns every cell into lengths and angles, from which
lattice vectors are made with the first along x. CHARMM stores a symmetric matrix: the
same lattice in another orientation, so that its frames have to be turned. And it takes
every time step for one in AKMA units, where LAMMPS writes the units of its input, and
where programs that know no time step (VMD, mdtraj, ProDy) write a 1.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from MDAnalysis.coordinates.base import ReaderBase
from MDAnalysis.coordinates.DCD import DCDReader
from MDAnalysis.lib.formats.libdcd import DCDFile
from MDAnalysis.lib.mdamath import triclinic_box
from MDAnalysis.lib.util import store_init_arguments
from MDAnalysis.units import convert

from mdgeomfeat.boxes import lattice_vectors
from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.chain import file_readers

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "DCDHeader",
    "TurnedDCDReader",
    "check_orientation",
    "dcd_problem",
    "read_header",
    "states_times",
    "turned",
]

# What all other programs that imitate CHARMM's format claim to be.
_IMITATED_VERSION = 24


@dataclass(frozen=True)
class DCDHeader:
    """What the first records of a DCD file say.

    Attributes
    ----------
    nsavc : int
        Time steps between frames.
    delta : float
        Length of a time step, in the unit of the program that wrote it (AKMA, if it is
        CHARMM's).
    n_fixed : int
        Atoms that only the first frame holds.
    has_cell, four_d : bool
        Whether frames have a cell, and a fourth coordinate.
    version : int
        Of CHARMM, as the file claims; 0 is X-PLOR.
    remarks : bytes
    n_atoms : int
    start : int
        Where the first frame begins, bytes.
    """

    nsavc: int
    delta: float
    n_fixed: int
    has_cell: bool
    four_d: bool
    version: int
    remarks: bytes
    n_atoms: int
    start: int

    @property
    def states_time_step(self) -> bool:
        """Whether the file says how far apart its frames are.

        A time step of exactly 1, which would be 48.9 fs, is what programs write that
        have none: VMD (and catdcd, which shares its code), mdtraj and ProDy. LAMMPS
        writes the time units of its input and does not say which.
        """
        known = math.isfinite(self.delta) and self.delta > 0 and self.nsavc > 0
        return known and self.delta != 1.0 and b"Written by LAMMPS" not in self.remarks


def read_header(path: str | Path) -> DCDHeader:
    """Read the header of a DCD file, of either byte order.

    Parameters
    ----------
    path : path-like
        Of a file that begins as a DCD does.

    Raises
    ------
    InputError
        If it ends inside its header.
    """
    stat = Path(path).stat()
    return _read_header(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)  # it is asked for with every frame's time
def _read_header(path: str, mtime: int, size: int) -> DCDHeader:  # noqa: ARG001
    try:
        with Path(path).open("rb") as file:
            order = "<" if file.read(4) == struct.pack("<i", 84) else ">"
            block = file.read(84)
            flags = struct.unpack(order + "20i", block[4:])
            (length,) = struct.unpack(order + "4xi", file.read(8))
            remarks = file.read(length)
            (n_atoms,) = struct.unpack(order + "8xi", file.read(12))
            start = file.tell() + 4
    except struct.error as error:
        raise InputError(
            f"{path} ends inside its header; copy it again, or write it again."
        ) from error
    version = flags[19]
    # X-PLOR keeps its time step in double precision, and has no flags behind it.
    kind, end = ("f", 44) if version else ("d", 48)
    (delta,) = struct.unpack(order + kind, block[40:end])
    return DCDHeader(
        nsavc=flags[2],
        delta=delta,
        n_fixed=flags[8],
        has_cell=bool(version and flags[10]),
        four_d=bool(version and flags[11]),
        version=version,
        remarks=remarks,
        n_atoms=n_atoms,
        start=start,
    )


def dcd_problem(path: str | Path) -> str | None:
    """Say how a DCD file ends badly, or None if it ends with a whole frame."""
    header = read_header(path)
    if header.n_fixed or header.four_d or header.n_atoms < 1:
        return None
    frame = 3 * (4 * header.n_atoms + 8) + (56 if header.has_cell else 0)
    rest = (Path(path).stat().st_size - header.start) % frame
    return f"it has {rest} bytes of a frame that is cut at its end" if rest else None


class TurnedDCDReader(DCDReader):
    """MDAnalysis's DCD reader, with frames turned where the cell is symmetric.

    Frames in a symmetric cell are turned so that its first vector lies along x and its
    second in the xy plane, as lengths and angles are understood. Others are left alone.
    The time step is read here: MDAnalysis does not turn its bytes in files of the other
    byte order.

    Parameters
    ----------
    filename : str
    convert_units : bool
    dt : float, optional
        Time between frames, ps, in place of the file's.
    """

    @store_init_arguments
    def __init__(
        self,
        filename: str,
        convert_units: bool = True,
        dt: float | None = None,
        **kwargs: Any,
    ):
        header = read_header(filename)
        if dt is None:
            dt = float(convert(header.delta, "AKMA", "ps")) * header.nsavc
        super().__init__(filename, convert_units=convert_units, dt=dt, **kwargs)

    @cached_property
    def _version(self) -> int:
        return read_header(self.filename).version

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
                "an orientation that their lengths and angles do not show, so nearest "
                "images would be wrong; open the files with "
                "mdgeomfeat.reading.open_universe, which turns the frames, have "
                "another program write them with the first cell vector along x, or "
                "pass periodic=False (--no-pbc)."
            )


def states_times(reader: DCDReader) -> bool:
    """Tell whether a DCD file says how far apart its frames are, and in which unit.

    Parameters
    ----------
    reader : MDAnalysis DCDReader
        MDAnalysis's own for files of LAMMPS (``format="LAMMPS"``) is told the units.
    """
    if reader.flavor == "LAMMPS" or reader._kwargs.get("dt") is not None:
        return True
    header = read_header(reader.filename)
    # MDAnalysis's own reader gets the time step wrong in files of the other byte order.
    found = isinstance(reader, TurnedDCDReader) or math.isclose(
        reader._file.header["delta"], header.delta, rel_tol=1e-6
    )
    return found and header.states_time_step


def _first_shape(path: str | Path) -> NDArray[np.float64] | None:
    with DCDFile(str(path)) as file:
        if not len(file):
            return None
        cell = file.read().unitcell
    return _shape_matrix(cell, read_header(path).version)


def _shape_matrix(
    cell: NDArray[np.float64], version: int
) -> NDArray[np.float64] | None:
    """Return the symmetric matrix (3, 3) that a cell of six numbers stands for.

    Parameters
    ----------
    cell : (6,) ndarray
        As stored.
    version : int
        Of :class:`DCDHeader`. Files of CHARMM itself hold matrices. Among the others,
        which should hold lengths and angles or cosines, MDAnalysis takes for a matrix
        what can be neither.

    Returns
    -------
    (3, 3) ndarray or None
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
