"""What is asked of MDAnalysis beyond its public interface, and how frames are read.

Everything here that begins with an underscore in MDAnalysis may change with its next
version; ``tests/test_upstream.py`` fails first if it does.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.errors import InputError, sentence

if TYPE_CHECKING:
    from MDAnalysis.core.universe import Universe

__all__ = [
    "UnreadableFrameError",
    "bonds_are_guessed",
    "ignore_made_up_dt",
    "is_one_run",
    "no_made_up_dt",
    "parse_topology",
    "parser_formats",
    "read_frame",
    "reader_formats",
    "reason",
    "stated_attributes",
]


class UnreadableFrameError(InputError):
    """A frame that its reader could not read.

    Parameters
    ----------
    reason : str
        What the reader stumbled over.
    where : str
        The frame and its file.
    """

    def __init__(self, reason: str, where: str) -> None:
        super().__init__(
            sentence(
                f"{where} cannot be read ({reason}); repair the file, or leave this "
                "frame out"
            )
        )
        self.reason = reason
        self.where = where

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.where)


def read_frame(trajectory: Any, frame: int) -> Any:
    """Read one frame of a user's trajectory.

    Readers raise whatever their parsers stumble over: an ``IndexError`` of one format
    is a ``struct.error`` of the next. All of it is one answer here. What else the
    package does with a frame is not run in this function, so that its own defects are
    not taken for a damaged file.

    Parameters
    ----------
    trajectory : MDAnalysis reader
    frame : int

    Returns
    -------
    Timestep

    Raises
    ------
    UnreadableFrameError
        Whatever the reader raised.
    """
    try:
        return trajectory[frame]
    except InputError:
        raise
    except Exception as error:
        raise UnreadableFrameError(
            reason(error), f"frame {_own(trajectory, frame)}"
        ) from error


def reason(error: Exception) -> str:
    """Return what a reader's exception says, in one line."""
    words = " ".join(str(error).split()) or type(error).__name__
    words = words.split("Error: ", 1)[-1]
    if words.startswith("HDF5 error"):
        words = "its HDF5 structure is damaged"
    return words if len(words) < 200 else words[:200] + " …"


def _own(trajectory: Any, frame: int) -> str:
    """Return the number of a frame in its own file, and the file."""
    readers = getattr(trajectory, "readers", [trajectory])
    left = frame
    for reader in readers:
        if left < reader.n_frames:
            break
        left -= reader.n_frames
    return f"{left} of {getattr(reader, 'filename', None) or 'the trajectory'}"


def reader_formats() -> frozenset[str]:
    """Return the names of the formats whose frames MDAnalysis reads."""
    import MDAnalysis as mda

    return frozenset(mda._READERS)


def parser_formats() -> frozenset[str]:
    """Return the names of the formats that MDAnalysis reads as topologies."""
    import MDAnalysis as mda

    return frozenset(mda._PARSERS)


def parse_topology(source: Any, format_: str) -> Any:
    """Parse a topology, without looking for frames in the same file.

    Parameters
    ----------
    source : str or stream
    format_ : str
        As MDAnalysis calls it.

    Returns
    -------
    MDAnalysis Topology
    """
    import MDAnalysis as mda

    with mda._PARSERS[format_](source) as parser:
        return parser.parse()


def stated_attributes(universe: Universe) -> frozenset[str]:
    """Return the attributes that a topology states, without those guessed."""
    return frozenset(
        a.attrname
        for a in universe._topology.attrs
        if not np.any(getattr(a, "is_guessed", False))
    )


def bonds_are_guessed(universe: Universe) -> bool:
    """Tell whether the bonds of a Universe that has some are guessed."""
    return bool(np.all(universe._topology.bonds.is_guessed))


def is_one_run(trajectory: Any) -> bool:
    """Tell whether the files of a ChainReader were joined to one continuous run.

    It keeps how its files overlap in ``_sf`` then.
    """
    return "_sf" in vars(trajectory)


def ignore_made_up_dt() -> None:
    """Silence what MDAnalysis says of time steps that it makes up, from now on.

    Its readers warn as they read or are pickled. Times that they have made up are not
    used; see :mod:`mdgeomfeat.reading.times`.
    """
    warnings.filterwarnings("ignore", "Reader has no dt information")


@contextmanager
def no_made_up_dt() -> Iterator[None]:
    """Do so inside a block."""
    with warnings.catch_warnings():
        ignore_made_up_dt()
        yield
