"""What a file is and what it can serve as.

Contents decide before names: ``.crd`` is CHARMM's or Amber's, and a dump of LAMMPS may
be called anything. Names decide between formats that begin alike (PDB, PQR) and where
nothing in a file says what it is.
"""

from __future__ import annotations

import bz2
import gzip
from dataclasses import dataclass
from pathlib import Path

from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.signatures import HEAD_BYTES, sniff
from mdgeomfeat.upstream import parser_formats, reader_formats

__all__ = ["FileKind", "recognise"]

_COMPRESSED = {"GZ", "BZ2"}
# Formats whose bytes are checked, with the beginnings that they may have.
_BINARY = {
    "XTC": ("XTC",),
    "TRR": ("TRR",),
    "DCD": ("DCD",),
    "NC": ("NCDF", "NETCDF-RESTART"),
    "NCDF": ("NCDF", "NETCDF-RESTART"),
    "NETCDF": ("NCDF", "NETCDF-RESTART"),
    "H5": ("MDTRAJ-H5", "H5MD"),
    "HDF5": ("MDTRAJ-H5", "H5MD"),
    "LH5": ("MDTRAJ-H5",),
}
# Names that say more than the beginning does.
_FINER = {
    "PDB": ("ENT", "PQR", "PDBQT", "XPDB"),
    "CIF": ("MMCIF",),
    "PARM7": ("TOP", "PRMTOP"),
    "TXYZ": ("ARC",),
    "DCD": ("LAMMPS",),
    "TRJ": ("MDCRD", "CRDBOX"),
    "INPCRD": ("RESTRT",),
}
# Formats that are found out by their contents, or called by a name without a dot.
_BARE_NAMES = {"HISTORY": "HISTORY", "CONFIG": "CONFIG", "REVCON": "CONFIG"}
# Of this package's readers, what they read beside what MDAnalysis does.
_FRAMES_ONLY = frozenset({"NETCDF-RESTART"})
_FRAMES_AND_ATOMS = frozenset({"MDTRAJ-H5", "EXTXYZ"})
_UNPACKED_ONLY = frozenset({"INPCRD", "RESTRT", "TRJ", "MDCRD", "CRDBOX", "HISTORY"})
#: What is known and not read, and what to do about it.
_REFUSED = {
    "DESMOND": "belongs to a Desmond trajectory, which is not read; convert it to dcd "
    "or xtc with VMD (File, Save Coordinates), and the .cms file to PDB",
    "MAESTRO": "is a structure of Maestro or Desmond (.mae, .cms), which is not read; "
    "save it as PDB with Maestro or VMD",
    "CRYSTAL-CIF": "is a crystal structure with fractional coordinates, and only mmCIF "
    "of macromolecules is read; convert it to PDB (ase convert in.cif out.pdb)",
    "NETCDF4": "is a NetCDF-4 file, and only classic NetCDF is read; convert it "
    "(mdconvert in.nc -o out.nc)",
}


@dataclass(frozen=True)
class FileKind:
    """What a file can be used for.

    Attributes
    ----------
    path : Path
    format : str
        As MDAnalysis calls it, or a name of this package (``MDTRAJ-H5``, ``EXTXYZ``,
        ``NETCDF-RESTART``).
    topology, coordinates : bool
        What it can serve as.
    """

    path: Path
    format: str
    topology: bool
    coordinates: bool


def recognise(path: str | Path) -> FileKind:
    """Find out what a file is.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    FileKind

    Raises
    ------
    InputError
        If the file is absent, empty, not what its name says, or of no format that is
        read.
    """
    path = Path(path)
    head = _head(path)
    words = [w.upper() for w in path.suffixes]
    compressed = bool(words) and words[-1][1:] in _COMPRESSED
    if compressed:
        words = words[:-1]
    named = words[-1][1:] if words else _BARE_NAMES.get(path.name.upper(), "")
    seen = sniff(head)
    if seen in _REFUSED:
        raise InputError(f"{path} {_REFUSED[seen]}.")
    if named in _BINARY:
        return _binary(path, named, seen, compressed)
    format_ = _decide(named, seen)
    if format_ is None:
        raise InputError(
            f"{path} is not in a known format; give topologies as pdb, gro, psf, "
            "prmtop/parm7, tpr or cif and trajectories as xtc, trr, dcd, nc or h5."
        )
    if compressed and format_ in _UNPACKED_ONLY:
        raise InputError(f"{path} is compressed, and {_told_to_unpack(format_)}.")
    readers, parsers = reader_formats(), parser_formats()
    known = format_ in _FRAMES_AND_ATOMS
    return FileKind(
        path,
        format_,
        format_ in parsers or known,
        (format_ in readers and format_ != "TPR") or known or format_ in _FRAMES_ONLY,
    )


def _binary(path: Path, named: str, seen: str | None, compressed: bool) -> FileKind:
    """Recognise a file whose name promises a beginning."""
    if compressed:
        raise InputError(f"{path} is compressed, and {_told_to_unpack(named)}.")
    if seen not in _BINARY[named]:
        looks = f"like {seen}" if seen else "like something else"
        raise InputError(
            f"{path} is named .{named.lower()} but begins {looks}; check what the "
            "file is, and give it the name of its format."
        )
    return FileKind(path, seen, seen in _FRAMES_AND_ATOMS, True)


def _told_to_unpack(name: str) -> str:
    return f"{name} files are only read uncompressed; decompress it first"


def _decide(named: str, seen: str | None) -> str | None:
    """Return the format that name and contents agree on."""
    if named in ("TOP", "ITP") and seen != "PARM7":
        return "ITP"
    known = reader_formats() | parser_formats()
    if seen is None:
        return named if named in known else None
    return named if named in _FINER.get(seen, ()) else seen


def _head(path: Path) -> bytes:
    if not path.exists():
        raise InputError(f"{path} does not exist; check the name and the folder.")
    if path.is_dir():
        raise InputError(_folder(path))
    if not path.is_file():
        raise InputError(
            f"{path} is not a regular file (a pipe or a device); save it to a file "
            "first."
        )
    if path.name == "clickme.dtr" or path.suffix.lower() == ".stk":
        raise InputError(f"{path} {_REFUSED['DESMOND']}.")
    try:
        head = _first_bytes(path)
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read ({error}); check the file.") from error
    if not head.strip():
        raise InputError(f"{path} is empty; check how it was written.")
    return head


def _folder(path: Path) -> str:
    inside = ("clickme.dtr", "timekeys", "not_hashed")
    if path.suffix in (".dtr", ".stk") or any((path / n).exists() for n in inside):
        return f"{path} {_REFUSED['DESMOND']}."
    return f"{path} is a folder; name the files in it."


def _first_bytes(path: Path) -> bytes:
    """Return the beginning of a file, unpacked."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head[:2] == b"\x1f\x8b":
        with gzip.open(path, "rb") as inner:
            return inner.read(HEAD_BYTES)
    if head[:3] == b"BZh" and path.suffix.lower() == ".bz2":
        with bz2.open(path, "rb") as inner:
            return inner.read(HEAD_BYTES)
    return head
