"""Which reader reads the frames of which format."""

from __future__ import annotations

from typing import Any

from MDAnalysis.coordinates.core import get_reader_for

from mdgeomfeat.reading.amber import (
    AmberRestartReader,
    AmberTextReader,
    NetCDFRestartReader,
)
from mdgeomfeat.reading.dcd import TurnedDCDReader
from mdgeomfeat.reading.formats import FileKind
from mdgeomfeat.reading.lammps import CheckedDumpReader
from mdgeomfeat.reading.mdtraj_files import H5Reader
from mdgeomfeat.reading.mmcif import ModelCIFReader, check_gemmi
from mdgeomfeat.reading.pdb import FramesPDBReader
from mdgeomfeat.reading.single import check_single
from mdgeomfeat.reading.xdr import CheckedTRRReader, CheckedXTCReader
from mdgeomfeat.reading.xyz import CheckedXYZReader, ExtendedXYZReader, check_ase

__all__ = ["reader_for"]

_OWN: dict[str, type[Any]] = {
    "CIF": ModelCIFReader,
    "CRDBOX": AmberTextReader,
    "DCD": TurnedDCDReader,
    "ENT": FramesPDBReader,
    "EXTXYZ": ExtendedXYZReader,
    "INPCRD": AmberRestartReader,
    "LAMMPSDUMP": CheckedDumpReader,
    "MDCRD": AmberTextReader,
    "MDTRAJ-H5": H5Reader,
    "MMCIF": ModelCIFReader,
    "NETCDF-RESTART": NetCDFRestartReader,
    "PDB": FramesPDBReader,
    "RESTRT": AmberRestartReader,
    "TRJ": AmberTextReader,
    "TRR": CheckedTRRReader,
    "XPDB": FramesPDBReader,
    "XTC": CheckedXTCReader,
    "XYZ": CheckedXYZReader,
}


def reader_for(kind: FileKind) -> type[Any]:
    """Return the reader of a file: ours where it reads more, else MDAnalysis's.

    Parameters
    ----------
    kind : FileKind

    Returns
    -------
    class of MDAnalysis reader

    Raises
    ------
    InputError
        If a package is missing, or the file holds several frames of which the reader
        would read the first only.
    """
    if kind.format in ("CIF", "MMCIF"):
        check_gemmi(kind.path)
    if kind.format == "EXTXYZ":
        check_ase(kind.path)
    own = _OWN.get(kind.format)
    if own is not None:
        return own
    check_single(kind)
    return get_reader_for(str(kind.path), format=kind.format)  # type: ignore[no-any-return]
