"""What the readers of this package have in common, as MDAnalysis sees them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
from MDAnalysis.coordinates.base import ReaderBase
from MDAnalysis.lib.mdamath import triclinic_box
from MDAnalysis.lib.util import store_init_arguments

from mdgeomfeat.boxes import lattice_vectors

__all__ = ["Frame", "FrameReader", "oriented"]


class Frame(NamedTuple):
    """One frame as a file holds it.

    Attributes
    ----------
    positions : (A, 3) ndarray, Å
    box : (6,) ndarray or None
        Lengths (Å) and angles (degrees).
    time : float or None
        ps; None if the file states none.
    """

    positions: np.ndarray
    box: np.ndarray | None = None
    time: float | None = None


class FrameReader(ReaderBase):
    """A reader that finds all frames when it is opened, and then reads any of them.

    No file is kept open between frames, so that readers go to workers as they are.
    Subclasses set ``n_frames`` and ``n_atoms`` in :meth:`_index`, and ``problem`` where
    a file ends inside a frame.

    Parameters
    ----------
    filename : str
    n_atoms : int, optional
        Of the topology; only files that do not tell it themselves make use of it.
    """

    units: dict[str, str | None] = {"time": "ps", "length": "Angstrom"}  # noqa: RUF012 (MDAnalysis's interface)
    #: How the file ends badly, if it does.
    problem: str | None = None

    @store_init_arguments
    def __init__(
        self,
        filename: str,
        convert_units: bool = True,
        n_atoms: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(filename, convert_units=convert_units, **kwargs)
        self.n_atoms: int = 0 if n_atoms is None else n_atoms
        self._index()
        if not self.n_frames:
            raise OSError(self.problem or "it holds no frames")
        self.ts = self._Timestep(self.n_atoms, **self._ts_kwargs)
        self._read_frame(0)

    @abstractmethod
    def _index(self) -> None:
        """Find the frames of the file."""

    @abstractmethod
    def _load(self, frame: int) -> Frame:
        """Read a frame."""

    def _read_frame(self, frame: int) -> Any:
        loaded = self._load(frame)
        self.ts.frame = frame
        self.ts.positions = loaded.positions
        self.ts.dimensions = loaded.box
        if loaded.time is not None:
            self.ts.data["time"] = loaded.time
        return self.ts

    def _read_next_timestep(self, ts: Any = None) -> Any:  # noqa: ARG002
        if self.ts.frame + 1 >= self.n_frames:
            raise EOFError
        return self._read_frame(self.ts.frame + 1)

    def _reopen(self) -> None:
        self.ts.frame = -1

    def close(self) -> None:
        """Do nothing: no file is open between frames."""


def oriented(
    vectors: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a frame so that its box is understood by lengths and angles.

    Parameters
    ----------
    vectors : (3, 3) ndarray, Å
        Rows are lattice vectors, in any orientation. A left-handed lattice is the same
        lattice as its inverse, so that a frame is never mirrored.
    positions : (A, 3) ndarray, Å

    Returns
    -------
    box : (6,) ndarray
        Lengths (Å) and angles (degrees).
    positions : (A, 3) ndarray, Å
        Untouched where the first vector lies along x and the second in the xy plane.
    """
    if np.linalg.det(vectors) < 0:
        vectors = -vectors
    box = triclinic_box(*vectors)
    usual = np.diag(vectors).min() > 0 and not np.triu(vectors, 1).any()
    if usual:
        return box, positions
    return box, positions @ np.linalg.solve(vectors, lattice_vectors(box))
