"""What a file is: by its name and its first bytes; whether a DCD ends well."""

from __future__ import annotations

import gzip
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from mdgeomfeat.errors import InputError

__all__ = ["FileKind", "dcd_problem", "recognise"]

_COMPRESSED = {"GZ", "BZ2"}
# Formats whose bytes are checked, with the beginning that they must have.
_BINARY = {
    "XTC": "XTC",
    "TRR": "TRR",
    "DCD": "DCD",
    "NC": "NCDF",
    "NCDF": "NCDF",
    "H5": "MDTRAJ-H5",
    "HDF5": "MDTRAJ-H5",
    "LH5": "MDTRAJ-H5",
}
_PDB_WORDS = (
    b"ATOM  ",
    b"HETATM",
    b"HEADER",
    b"CRYST1",
    b"REMARK",
    b"MODEL ",
    b"TITLE",
)


@dataclass(frozen=True)
class FileKind:
    """What a file can be used for.

    Attributes
    ----------
    path : Path
    format : str
        As MDAnalysis calls it, or ``MDTRAJ-H5``.
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
        If the file is absent, empty, not what its name says, or of no known format.
    """
    import MDAnalysis as mda

    path = Path(path)
    head = _head(path)
    words = [w.upper() for w in path.suffixes]
    compressed = bool(words) and words[-1][1:] in _COMPRESSED
    if compressed:
        words = words[:-1]
    named = words[-1][1:] if words else ""
    seen = _sniff(head)
    if named in _BINARY:
        wanted = _BINARY[named]
        if compressed:
            raise InputError(
                f"{path} is compressed, and {named} files are only read as they are: "
                "decompress it first"
            )
        if seen != wanted:
            looks = f"like {seen}" if seen else "like something else"
            raise InputError(
                f"{path} is named .{named.lower()} but begins {looks}: check what the "
                "file is, and give it the name of its format"
            )
        return FileKind(path, wanted, wanted == "MDTRAJ-H5", True)
    if named in ("TOP", "ITP") and seen != "PARM7":
        return FileKind(path, "ITP", True, False)
    known = set(mda._PARSERS) | set(mda._READERS)
    format_ = named if named in known else seen
    if format_ is None:
        raise InputError(
            f"{path} is in no format that is known: give topologies as pdb, gro, psf, "
            "prmtop/parm7, tpr, cif, … and trajectories as xtc, trr, dcd, nc, h5, …"
        )
    coordinates = format_ in mda._READERS and format_ != "TPR"
    return FileKind(path, format_, format_ in mda._PARSERS, coordinates)


def _head(path: Path) -> bytes:
    if not path.exists():
        raise InputError(f"{path} does not exist: check the name and the folder")
    if path.is_dir():
        raise InputError(f"{path} is a folder: name the files in it")
    if not path.is_file():
        raise InputError(
            f"{path} is no regular file (a pipe or a device): save it to a file first"
        )
    try:
        with path.open("rb") as file:
            head = file.read(512)
            if head[:2] == b"\x1f\x8b":
                with gzip.open(path, "rb") as inner:
                    head = inner.read(512)
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read ({error}): check the file") from error
    if not head.strip():
        raise InputError(f"{path} is empty: nothing was written to it")
    return head


def _sniff(head: bytes) -> str | None:
    """Name the format that a file's first bytes show, if they show one."""
    if len(head) >= 8:
        first = struct.unpack(">i", head[:4])[0]
        if first == 1995:
            return "XTC"
        if first == 1993:
            return "TRR"
        if head[4:8] in (b"CORD", b"VELD"):
            return "DCD"
        if head[:3] == b"CDF":
            return "NCDF"
        if head[:8] == b"\x89HDF\r\n\x1a\n":
            return "MDTRAJ-H5"
    if head.startswith(b"%VERSION"):
        return "PARM7"
    if head.startswith(b"PSF"):
        return "PSF"
    if re.search(rb"(^|\n)data_\w", head):
        return "CIF"
    if head.startswith(_PDB_WORDS):
        return "PDB"
    return None


def dcd_problem(path: Path) -> str | None:
    """Say how a DCD file ends badly, or None if it ends with a whole frame."""
    with path.open("rb") as file:
        head = file.read(92)
        order = "<" if struct.unpack("<i", head[:4])[0] == 84 else ">"
        flags = struct.unpack(order + "20i", head[8:88])
        n_fixed, has_cell, four_d = flags[8], flags[10], flags[11]
        title = struct.unpack(order + "i", file.read(4))[0]
        file.seek(92 + 4 + title + 4 + 4)
        n_atoms = struct.unpack(order + "i", file.read(4))[0]
        start = file.tell() + 4
    if n_fixed or four_d or n_atoms < 1:
        return None
    frame = 3 * (4 * n_atoms + 8) + (56 if has_cell else 0)
    rest = (path.stat().st_size - start) % frame
    return f"it has {rest} bytes of a frame that is cut at its end" if rest else None
