"""What the first bytes of a file show it to be."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

__all__ = ["HEAD_BYTES", "sniff"]

#: How much of a file is looked at.
HEAD_BYTES = 2**16

_PDB_WORDS = (
    b"ATOM  ",
    b"HETATM",
    b"HEADER",
    b"CRYST1",
    b"REMARK",
    b"MODEL ",
    b"TITLE ",
    b"COMPND",
)
_INTEGER = re.compile(rb"\s*\d+\s*$")
_NUMBER = rb"[-+]?\d*\.?\d+(?:[eEdD][-+]?\d+)?"
_XYZ_ATOM = re.compile(rb"\s*\S+(?:\s+" + _NUMBER + rb"){3}(?:\s|$)")
_EXTENDED = re.compile(rb"(?:^|\s)(?:Lattice|Properties)\s*=")
_TINKER_ATOM = re.compile(
    rb"\s*1\s+[A-Za-z]\S*(?:\s+" + _NUMBER + rb"){3}\s+\d+(?:\s+\d+)*\s*$"
)
_GRO_ATOM = re.compile(rb"[ \d]{4}\d.{10}[ \d*]{5}(?:\s*-?\d+\.\d+){3}")
_RESTART_COUNT = re.compile(rb"\s*\d+(?:\s+" + _NUMBER + rb"){0,2}\s*$")
_RESTART_ATOMS = re.compile(rb"(?:[ \-\d]{4}\.\d{7}){3,6}\s*$")
_TEXT_FRAME = re.compile(rb"(?:[ \-\d]{4}\.\d{3}){1,10}\s*$")
_DATA = re.compile(rb"^\s*\d+\s+atoms\s*$", re.MULTILINE)
_DATA_BOX = re.compile(rb"^\s*\S+\s+\S+\s+xlo\s+xhi", re.MULTILINE)


def sniff(head: bytes) -> str | None:
    """Name the format that a file's first bytes show, if they show one.

    Parameters
    ----------
    head : bytes
        The first :data:`HEAD_BYTES`, unpacked.

    Returns
    -------
    str or None
        As MDAnalysis calls it, or a name of this package.
    """
    for look in (_binary, _marked, _numbered, _titled):
        found = look(head)
        if found is not None:
            return found
    return None


def _binary(head: bytes) -> str | None:
    if len(head) < 8:
        return None
    first = struct.unpack(">i", head[:4])[0]
    if first == 1995:
        return "XTC"
    if first == 1993:
        return "TRR"
    if head[4:8] in (b"CORD", b"VELD"):
        return "DCD"
    if head[:3] == b"CDF":
        return "NETCDF-RESTART" if b"AMBERRESTART" in head else "NCDF"
    if head[:8] == b"\x89HDF\r\n\x1a\n":
        return _hdf5(head)
    if head[:4] in (b"DESM", b"DESK"):
        return "DESMOND"
    return None


def _hdf5(head: bytes) -> str:
    """Tell HDF5 files apart by the names of what is in them."""
    if b"_NCProperties" in head or b"_Netcdf4" in head or b"_nc3_strict" in head:
        return "NETCDF4"
    if b"h5md" in head and b"coordinates" not in head:
        return "H5MD"
    return "MDTRAJ-H5"


def _marked(head: bytes) -> str | None:
    """Recognise text that begins with words of its format."""
    text = head.lstrip()
    marks: tuple[tuple[bytes | tuple[bytes, ...], str], ...] = (
        (b"%VERSION", "PARM7"),
        (b"PSF", "PSF"),
        (b"ITEM: ", "LAMMPSDUMP"),
        (_PDB_WORDS, "PDB"),
    )
    for mark, name in marks:
        if text.startswith(mark):
            return name
    if b"s_m_m2io_version" in head or text.startswith(b"f_m_ct"):
        return "MAESTRO"
    if re.search(rb"(^|\n)data_\w", head):
        # Names in mmCIF have a dot after their category.
        crystal = b"_atom_site_" in head or b"_cell_length_a" in head
        return "CRYSTAL-CIF" if crystal and b"_atom_site." not in head else "CIF"
    if re.search(rb"(^|\n)@<TRIPOS>MOLECULE", head):
        return "MOL2"
    if _DATA.search(head) and _DATA_BOX.search(head):
        return "DATA"
    return None


def _numbered(head: bytes) -> str | None:
    """Recognise text whose first line is a number of atoms."""
    lines = head.splitlines()
    if len(lines) < 3:
        return None
    if _INTEGER.match(lines[0]):
        if _XYZ_ATOM.match(lines[2]) and not _TINKER_ATOM.match(lines[1]):
            return "EXTXYZ" if _EXTENDED.search(lines[1]) else "XYZ"
        if _EXTENDED.search(lines[1]):
            return "EXTXYZ"
    words = lines[0].split()
    if words and words[0].isdigit():
        box = len(lines[1].split()) == 6 and _TINKER_ATOM.match(lines[2])
        if _TINKER_ATOM.match(lines[1]) or box:
            return "TXYZ"
    return None


def _titled(head: bytes) -> str | None:
    """Recognise text whose first line is a title, by what follows."""
    lines = head.splitlines()
    if len(lines) < 2:
        return None
    if lines[0].startswith(b"*"):
        rest = [line for line in lines if not line.startswith(b"*")]
        count = rest[0].split() if rest else []
        return "CRD" if count and count[0].isdigit() else None
    tests: tuple[tuple[str, Callable[[list[bytes]], object]], ...] = (
        ("INPCRD", _is_restart),
        ("TRJ", lambda x: _TEXT_FRAME.match(x[1])),
        ("GRO", lambda x: _INTEGER.match(x[1]) and _GRO_ATOM.match(x[2])),
        ("HISTORY", lambda x: x[2].startswith(b"timestep")),
    )
    for name, matches in tests:
        if (len(lines) > 2 or name == "TRJ") and matches(lines):
            return name
    return None


def _is_restart(lines: list[bytes]) -> bool:
    return bool(_RESTART_COUNT.match(lines[1]) and _RESTART_ATOMS.match(lines[2]))
