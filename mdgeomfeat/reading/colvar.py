"""Tables of numbers beside trajectories: PLUMED's COLVAR files, and plain columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError

__all__ = ["Colvar", "read_colvar"]

#: Share of the time between rows by which a time may differ: files of trajectories keep
#: times in single precision, tables a few decimals.
_TOLERANCE = 0.01


@dataclass(frozen=True, eq=False, kw_only=True)
class Colvar:
    """A table with one row for each time at which something was written.

    Attributes
    ----------
    path : Path
    fields : tuple of str
        Names of the columns; ``"1"``, ``"2"`` … where the file does not name them.
    values : (R, K) ndarray of float64

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from mdgeomfeat.reading.colvar import Colvar
    >>> values = np.array([[0.0, 1.5], [2.0, 2.5]])
    >>> table = Colvar(path=Path("COLVAR"), fields=("time", "bias"), values=values)
    >>> table.times.tolist(), table.column("bias").tolist()
    ([0.0, 2.0], [1.5, 2.5])
    """

    path: Path
    fields: tuple[str, ...]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> NDArray[np.float64]:
        """Return a column (R,) by its name, or by its number counted from 1.

        Raises
        ------
        InputError
            If there is none.
        """
        if name in self.fields:
            return self.values[:, self.fields.index(name)]
        if name.isdecimal() and 1 <= int(name) <= len(self.fields):
            return self.values[:, int(name) - 1]
        raise InputError(
            f"'{self.path}' has no column '{name}'; choose one of "
            f"{', '.join(self.fields)}."
        )

    @property
    def times(self) -> NDArray[np.float64] | None:
        """Times (R,) of the rows, ps, or None without a field ``time``."""
        return self.column("time") if "time" in self.fields else None

    @property
    def settled(self) -> NDArray[np.int64]:
        """(n,) rows in the order of time, without those that a restart wrote again."""
        times = self.times
        if times is None:
            return np.arange(len(self))
        order = np.argsort(times, kind="stable")
        superseded = np.append(times[order[:-1]] == times[order[1:]], False)
        kept: NDArray[np.int64] = order[~superseded]
        return kept

    def rows_at(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the last row (F,) that was written at each time, -1 if there is none.

        A run that went on from a checkpoint writes some times again; what it wrote
        last belongs to the frames that it went on to write.

        Parameters
        ----------
        times : (F,) ndarray
            ps.
        """
        own = self.times
        if own is None or not len(own):
            return np.full(len(times), -1)
        order = np.argsort(own, kind="stable")
        sorted_times = own[order]
        steps = np.diff(sorted_times)
        gap = float(np.median(steps[steps > 0])) if (steps > 0).any() else 1.0
        # single precision is coarse late in a long run, but never beyond a half gap
        rounding = 2 * np.finfo(np.float32).eps * np.abs(times)
        near = np.minimum(np.maximum(_TOLERANCE * gap, rounding), 0.49 * gap)
        last = np.searchsorted(sorted_times, times + near, side="right") - 1
        found = (last >= 0) & (np.abs(sorted_times[last] - times) <= near)
        return np.where(found, order[np.maximum(last, 0)], -1)


def read_colvar(path: str | Path) -> Colvar:
    r"""Read a table of numbers.

    Columns are separated by blanks or commas. Names come from PLUMED's line
    ``#! FIELDS …`` or from a first line that holds no number; a restarted run may
    repeat the former. Other lines that begin with ``#`` are skipped. A last line that
    is cut off, as a killed run leaves it, is left out.

    Parameters
    ----------
    path : path

    Returns
    -------
    Colvar

    Raises
    ------
    InputError
        If the file cannot be read, holds no rows, or a line has another number of
        columns.

    Examples
    --------
    >>> from pathlib import Path
    >>> from mdgeomfeat.reading.colvar import read_colvar
    >>> text = "#! FIELDS time phi bias\n0.0 1.2 0.0\n1.0 1.4 2.5\n"
    >>> _ = Path("COLVAR").write_text(text)
    >>> read_colvar("COLVAR").column("bias").tolist()
    [0.0, 2.5]
    """
    path = Path(path)
    fields: tuple[str, ...] | None = None
    rows: list[list[float]] = []
    short: tuple[int, int] | None = None
    for number, line in _lines(path):
        if line.startswith("#"):
            named = _fields(line)
            if named is not None and fields is not None and named != fields:
                raise InputError(
                    f"Line {number} of '{path}' names other columns than before; give "
                    "a file whose columns stay the same."
                )
            fields = named or fields
            continue
        if short is not None:
            raise InputError(
                f"Line {short[0]} of '{path}' has {short[1]} columns, but others have "
                f"{len(rows[0]) if rows else len(fields or ())}; repair it or leave it "
                "out."
            )
        words = line.replace(",", " ").split()
        try:
            row = [float(word) for word in words]
        except ValueError as error:
            if not rows and fields is None and not any(map(_is_number, words)):
                fields = tuple(words)
                continue
            raise InputError(
                f"Line {number} of '{path}' cannot be read ({error}); give a PLUMED "
                "COLVAR file or plain columns of numbers."
            ) from error
        width = len(rows[0]) if rows else len(fields or row)
        if len(row) == width:
            rows.append(row)
        else:
            short = number, len(row)
    if not rows:
        raise InputError(f"'{path}' holds no rows of numbers; give another file.")
    if fields is None:
        fields = tuple(str(i + 1) for i in range(len(rows[0])))
    return Colvar(path=path, fields=fields, values=np.array(rows, dtype=np.float64))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield lines that are not empty, with their numbers from 1."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.strip()
    except OSError as error:
        raise InputError(
            f"'{path}' cannot be read ({error.strerror}); check its name."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"'{path}' is not a text file; give a PLUMED COLVAR file or plain columns."
        ) from error


def _fields(line: str) -> tuple[str, ...] | None:
    words = line.split()
    if words[:2] == ["#!", "FIELDS"]:
        return tuple(words[2:])
    return None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
