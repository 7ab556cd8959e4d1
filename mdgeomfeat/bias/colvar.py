"""COLVAR files, the tables that PLUMED and its tools read; as do we, in `reading`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["ColvarWriter"]

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

        Raises
        ------
        ValueError
            If there are more or fewer values than fields.
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
