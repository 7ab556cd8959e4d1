"""What other packages' readers and parsers warn of, and what becomes of it.

They warn of facts that decide what features are made of, and of much that does not
matter here, some in warnings, some in logs. Facts are told in this package's words, as
notes; what does not matter is named below with the reason and dropped; whatever is not
known is told in the reader's own words.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mdgeomfeat.errors import MDGeomFeatWarning

__all__ = ["reader_warnings"]

_LOGGERS = ("MDAnalysis", "mdtraj")
# They concern whoever calls the readers: deprecated names, files that are not closed.
_OF_CODE = (
    DeprecationWarning,
    PendingDeprecationWarning,
    FutureWarning,
    ResourceWarning,
    ImportWarning,
)

#: Patterns of what the user has to know, and the words for it.
_FACTS: tuple[tuple[str, str], ...] = (
    (
        r"missing resid information",
        "residue numbers that cannot be read are taken as 1",
    ),
    (
        r"CONECT records was corrupt",
        "its CONECT records are damaged and were skipped",
    ),
    (
        r"Invalid atom serials were present",
        "its CONECT records were skipped, because some serial numbers cannot be read",
    ),
    (
        r"Number of residues \((\d+)\) does not match number of %RESIDUE_CHAINID "
        r"\((\d+)\)",
        r"it has chain identifiers for \2 residues but \1 residues, so they were "
        "skipped",
    ),
    (
        r"Guessing that this is actually a NAMD-type PSF",
        "its atoms are not in the columns that its header promises, and were read as "
        "separated by blanks",
    ),
    (
        r"NCDF trajectory format is (\S+) but the reader implements format (\S+)",
        r"it follows version \1 of Amber's conventions and is read by those of \2",
    ),
    (
        r"No resSeq information found",
        "it states no residue numbers, which are counted from 0",
    ),
    (
        r"^(POSITION|REFPOSITION) block is not supported",
        r"its blocks \1 are not read",
    ),
    (
        # mdtraj's two sentences stand in each other's place.
        r"cell_(?:lengths|angles) were found, but no cell_(?:lengths|angles)",
        "it states lengths or angles of a box without the other, which are not used",
    ),
)

#: Patterns of what makes no difference to features, or is said elsewhere.
_NOISE: tuple[str, ...] = (
    # Elements are read by structure.elements, which names those that are guessed.
    r"Element information is missing",
    r"Unknown elements? .*empty element record",
    r"ATOMIC_NUMBER record not found",
    r"Unknown ATOMIC_NUMBER value found",
    r"Set all atom types to 1$",
    # Masses only decide between elements, and guessed ones are not looked at.
    r"No mass column found in dump file",
    r"Guessed all Masses to 1\.0",
    r"Unknown masses are set to 0\.0",
    r"Failed to guess the mass",
    # MDAnalysis guesses types and masses of whatever it opens.
    r"there is no reference attributes .*to guess",
    # Serial numbers and the bonds they stand for are read by reading.pdb.
    r"Serial numbers went over 100,000",
    # No other atom is named: there is no bond to lose.
    r"CONECT record to TER entry",
    r"CONECT record with single entry",
    # Charges are not used.
    r"encountered in formal charge field",
    # Velocities, forces and what else the frames hold are not used.
    r"Not all velocities were present",
    r"^(?!POSITION|REFPOSITION)[A-Z]+ block is not supported",
    r"TNG additional block .* will not be read",
    # Whether there is a box is said by boxes.verdict.
    r"Empty box \[0\., 0\., 0\.\] found",
    r"1 A\^3 CRYST1 record",
    # Whether there are times is said by reading.times.
    r"does not contain `time` information",
    r"does not contain TIMESTEP blocks",
    r"Reader has no dt information",
    # All models are read by reading.mmcif, which compares their atoms.
    r"models, but only the first one will be",
    # How fast a file is read.
    r"Falling back to slow reader",
    r"netCDF4' Python package is not installed",
    # Who wrote a file makes no difference.
    r"may not fully adhere to AMBER standards as either the `program`",
    # The names of other data in an HDF5 file.
    r"object name is not a valid Python identifier",
    # A file that stays mapped into memory until its reader is thrown away.
    r"Cannot close a netcdf_file opened with mmap=True",
)


class _Collector(logging.Handler):
    """Gathers what is logged as a warning."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text of a record."""
        self.said.append(record.getMessage())


@contextmanager
def reader_warnings(paths: Sequence[str | Path]) -> Iterator[None]:
    """Turn what readers warn of inside the block into notes.

    Parameters
    ----------
    paths : sequence of path-like
        The files that are read, for the notes to name.

    Warns
    -----
    MDGeomFeatWarning
        For every fact, once; warnings of this package pass as they are. An exception
        leaves without any, because it is the message then.
    """
    collector = _Collector()
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addHandler(collector)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        for logger in loggers:
            logger.removeHandler(collector)
    found: list[str] = []
    for warning in caught:
        if issubclass(warning.category, MDGeomFeatWarning):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
        elif not issubclass(warning.category, _OF_CODE):
            found.append(str(warning.message))
    # A warning that is logged as well is one fact.
    told = dict.fromkeys(filter(None, map(_words, [*found, *collector.said])))
    if told:
        warnings.warn(
            f"{_named(paths)}: {'; '.join(told)}.", MDGeomFeatWarning, stacklevel=5
        )


def _words(text: str) -> str | None:
    """Return the words for a warning, None if it makes no difference."""
    text = " ".join(text.split())
    for pattern, words in _FACTS:
        match = re.search(pattern, text)
        if match:
            return match.expand(words)
    if any(re.search(pattern, text) for pattern in _NOISE):
        return None
    return f"its reader warns: {text.removesuffix('.')}"


def _named(paths: Sequence[str | Path]) -> str:
    if len(paths) == 1:
        return str(paths[0])
    more = f" and {len(paths) - 2} more" if len(paths) > 2 else ""
    return f"One of {paths[0]}, {paths[1]}{more}"
