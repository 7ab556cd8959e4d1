"""COLVAR files, the tables that PLUMED and its tools write and read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError

__all__ = ["ColvarWriter", "read_colvar"]

_FIELDS = "#! FIELDS"


class ColvarWriter:
    """Writes lines of numbers under a head with their names.

    Parameters
    ----------
    path : Path
    fields : sequence of str
        The first is ``time``, ps.
    size : int, optional
        Bytes of an earlier file that are kept, for a run that goes on there; what
        stands behind them is of steps that are made again.
    """

    def __init__(
        self, path: Path, fields: Sequence[str], size: int | None = None
    ) -> None:
        self._n = len(fields)
        self._file = path.open("wb" if size is None else "r+b")
        if size is None:
            self._file.write(f"{_FIELDS} {' '.join(fields)}\n".encode())
        else:
            self._file.truncate(size)
            self._file.seek(size)

    def write(self, values: Sequence[float]) -> None:
        """Write one line.

        Parameters
        ----------
        values : sequence of float
            One per field.
        """
        if len(values) != self._n:
            raise ValueError(f"{len(values)} values for {self._n} fields")
        self._file.write((" ".join(f"{v:.8g}" for v in values) + "\n").encode())

    def flush(self) -> int:
        """Bring everything to the file and return how many bytes it has."""
        self._file.flush()
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_colvar(path: str | Path) -> dict[str, NDArray[np.float64]]:
    """Read the columns of a COLVAR file.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict of str to (F,) ndarray
        By the names in its head.

    Raises
    ------
    InputError
        If it has no head or no lines, or a line does not fit the head.
    """
    names: list[str] | None = None
    rows = []
    for number, line in enumerate(Path(path).read_text().splitlines(), 1):
        if line.startswith(_FIELDS):
            names = line.removeprefix(_FIELDS).split()
        elif line.strip() and not line.startswith("#"):
            words = line.split()
            if names is None or len(words) != len(names):
                there = "no head" if names is None else f"{len(names)} names"
                raise InputError(
                    f"Line {number} of '{path}' has {len(words)} numbers and there is "
                    f"{there} above it; give a COLVAR file as PLUMED writes it."
                )
            rows.append(words)
    if names is None or not rows:
        raise InputError(
            f"'{path}' holds no lines under a head of '{_FIELDS}'; give a COLVAR file "
            "as PLUMED writes it."
        )
    try:
        table = np.array(rows, dtype=np.float64)
    except ValueError as error:
        raise InputError(
            f"'{path}' holds something other than numbers ({error}); give a COLVAR "
            "file as PLUMED writes it."
        ) from error
    return dict(zip(names, table.T, strict=True))
