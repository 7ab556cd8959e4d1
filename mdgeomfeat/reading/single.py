"""Files that hold more frames than MDAnalysis's reader of their format reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from MDAnalysis.lib.util import anyopen

from mdgeomfeat import upstream
from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.formats import FileKind

__all__ = ["check_single"]


def check_single(kind: FileKind) -> None:
    """Refuse a file of several frames of which only the first would be read.

    Raises
    ------
    InputError
        With a conversion that keeps them all, or if the file is damaged.
    """
    if kind.format not in _FRAMES:
        return
    count, what, remedy = _FRAMES[kind.format]
    try:
        several = count(kind.path)
    except Exception as error:
        # what is no such file makes the parsers fail in any way
        raise InputError(
            f"{kind.path} cannot be read as {kind.format} ({upstream.reason(error)}); "
            "check that it is complete."
        ) from error
    if several:
        raise InputError(
            f"{kind.path} holds several {what}, and only the first of a "
            f"{kind.format} file is read; {remedy}."
        )


def _more_than_one_gro(path: Path) -> bool:
    with anyopen(str(path), "rt") as file:
        file.readline()
        n_atoms = int(file.readline())
        for _ in range(n_atoms + 1):
            file.readline()
        return any(line.strip() for line in file)


def _more_than_one_model(path: Path) -> bool:
    """Tell whether atoms follow where a model has ended."""
    seen = ended = False
    with anyopen(str(path), "rt") as file:
        for line in file:
            atom = line.startswith(("ATOM", "HETATM"))
            if atom and ended:
                return True
            seen |= atom
            words = line.split()
            ended |= seen and bool(words) and words[0] in ("END", "ENDMDL", "MODEL")
    return False


def _more_than_one_mmtf(path: Path) -> bool:
    import mmtf

    packed = path.suffix.lower() == ".gz"
    read = mmtf.parse_gzip(str(path)) if packed else mmtf.parse(str(path))
    return int(read.num_models) > 1


_Count = Callable[[Path], bool]
_FRAMES: dict[str, tuple[_Count, str, str]] = {
    "GRO": (
        _more_than_one_gro,
        "frames",
        "convert it to xtc (gmx trjconv -f in.gro -s in.gro -o out.xtc, or in Python "
        "mdtraj.load('in.gro').save('out.xtc'))",
    ),
    "PQR": (_more_than_one_model, "models", "write a PDB file of them"),
    "PDBQT": (_more_than_one_model, "models", "write a PDB file of them (obabel)"),
    "MMTF": (
        _more_than_one_mmtf,
        "models",
        "download the entry as mmCIF, whose models are read as frames",
    ),
}
