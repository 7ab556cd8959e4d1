"""Weights of frames from tables beside the trajectories: ``--weights``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.commands.options import StudyOptions
from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.chain import file_readers
from mdgeomfeat.reading.colvar import Colvar, read_colvar
from mdgeomfeat.text import count

if TYPE_CHECKING:
    from MDAnalysis.core.universe import Universe

    from mdgeomfeat.commands.featurized import Featurized
    from mdgeomfeat.kinetics import FrameWeights

__all__ = ["WeightTables", "read_weight_tables"]


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightTables:
    """Numbers for the frames of every trajectory.

    Attributes
    ----------
    tables : tuple of Colvar
        One for each trajectory, in the order of the trajectories.
    columns : tuple of str
        Which of their columns.
    kind : str
        What the numbers are: ``"log"``, ``"plain"`` or ``"bias"``.
    temperature : float or None
        K.
    """

    tables: tuple[Colvar, ...]
    columns: tuple[str, ...]
    kind: str
    temperature: float | None

    def check(self, universe: Universe, used: slice, stated: float | None) -> None:
        """Refuse files that do not fit, as far as can be seen without reading frames.

        Parameters
        ----------
        universe : Universe
        used : slice
            Frames of each trajectory that are analysed.
        stated : float or None
            Time between frames that the user states, ps.

        Raises
        ------
        InputError
            If there is not one table for each trajectory, or one has no rows for its
            frames.
        """
        from mdgeomfeat.reading.times import trajectory_info

        infos = trajectory_info(universe, stated)
        if len(infos) != len(self.tables):
            raise InputError(
                f"--weights is given {count(len(self.tables), 'time')} for "
                f"{count(len(infos), 'trajectory file')}; give it once for each, in "
                "their order."
            )
        for i, info in enumerate(infos):
            # of frames whose times are uneven nothing is known yet
            known = info.first_time is not None and info.dt is not None
            if info.knows_times and (info.seams or not known):
                continue
            frames = np.arange(info.n_frames)[used][[0, -1]]
            times = np.full(2, np.nan)
            if info.first_time is not None and info.dt is not None:
                times = info.first_time + info.dt * frames
            self._rows(i, universe, frames, times, stated)

    def weights(self, data: Featurized) -> FrameWeights:
        """Return the weights of all analysed frames, normalised over all runs.

        Raises
        ------
        InputError
            If a frame has no row, or the numbers cannot be weights.
        """
        from mdgeomfeat.commands.tables import first_frames
        from mdgeomfeat.kinetics import FrameWeights, WeightKind

        results = data.results
        stated = results.provenance.get("dt")
        source = np.asarray(results.trajectory)
        starts = np.asarray(first_frames(data))
        values = np.empty(len(source))
        for i, (table, name) in enumerate(zip(self.tables, self.columns, strict=True)):
            own = np.flatnonzero(source == i)
            frames = np.asarray(results.frames)[own] - starts[i]
            times = np.asarray(results.times)[own]
            rows = self._rows(i, data.universe, frames, times, stated)
            values[own] = table.column(name)[rows]
            self._check_values(values[own], rows, table, name)
        runs = [values[rows] for rows in data.rows]
        return FrameWeights.made(WeightKind(self.kind), runs, self.temperature)

    def _rows(
        self,
        i: int,
        universe: Universe,
        frames: NDArray[np.int64],
        times: NDArray[np.float64],
        stated: float | None,
    ) -> NDArray[np.int64]:
        """Return the rows of frames of trajectory `i`: one to one, or by time."""
        table, reader = self.tables[i], file_readers(universe.trajectory)[i]
        name = Path(str(reader.filename)).name if reader.filename else "memory"
        absolute = (
            stated is None
            and np.isfinite(times).all()
            # DCD keeps the step of its first frame, which readers leave aside
            and getattr(reader, "format", "") != "DCD"
        )
        settled = table.settled
        if len(settled) == reader.n_frames:
            rows = settled[frames]
            if absolute and table.times is not None:
                self._check_even(table, name, frames, rows, times)
            return rows
        if table.times is None or not absolute:
            why = f"{name} does not state when its frames were written"
            if stated is not None:
                why = "--dt states how far apart frames are, but not when they begin"
            if table.times is None:
                why = "the table has no column 'time'"
            raise InputError(
                f"'{table.path}' has {count(len(settled), 'row')} and {name} has "
                f"{count(int(reader.n_frames), 'frame')}, and rows cannot be found by "
                f"time, because {why}; write one row for each frame."
            )
        rows = table.rows_at(times)
        missing = rows < 0
        if missing.any():
            first = int(np.argmax(missing))
            known = table.column("time")
            raise InputError(
                f"'{table.path}' has no row for frame {int(frames[first])} of {name} "
                f"at {times[first]:.10g} ps ({count(len(table), 'row')} from "
                f"{known.min():.10g} to {known.max():.10g} ps); give the table of that "
                "run, written at least as often as its frames."
            )
        return rows

    def _check_even(
        self,
        table: Colvar,
        name: str,
        frames: NDArray[np.int64],
        rows: NDArray[np.int64],
        times: NDArray[np.float64],
    ) -> None:
        """Refuse rows, as many as frames, whose times run differently."""
        known = table.column("time")
        shift = known[rows] - times
        gap = float(np.median(np.abs(np.diff(known)))) if len(known) > 1 else 0.0
        rounding = 4 * float(np.finfo(np.float32).eps) * float(np.abs(times).max())
        if float(np.ptp(shift)) > max(0.02 * gap, rounding):
            worst = int(np.argmax(np.abs(shift - shift[0])))
            raise InputError(
                f"'{table.path}' has as many rows as {name} has frames, but its times "
                f"run differently: frame {int(frames[worst])} is at "
                f"{times[worst]:.10g} ps and its row at "
                f"{known[rows[worst]]:.10g} ps; give the table of that run."
            )

    def _check_values(
        self,
        values: NDArray[np.float64],
        rows: NDArray[np.int64],
        table: Colvar,
        name: str,
    ) -> None:
        """Refuse numbers that are no weights, naming the row."""
        allowed = np.isfinite(values)
        if self.kind == "log":
            allowed |= values == -np.inf
        if self.kind == "plain":
            allowed &= values >= 0
        if allowed.all():
            return
        first = int(np.argmin(allowed))
        hint = (
            "weights are 0 or more, and logarithms of weights need --weights-are log"
            if np.isfinite(values[first])
            else "leave that frame out, or find out what went wrong there"
        )
        raise InputError(
            f"Row {int(rows[first]) + 1} of '{table.path}' has {values[first]:g} in "
            f"column '{name}'; {hint}."
        )


def read_weight_tables(options: StudyOptions) -> WeightTables | None:
    """Read the tables that ``--weights`` names, None if it names none.

    Raises
    ------
    InputError
        If one cannot be read or has no such column, or it is not clear what its
        numbers are.
    """
    if not options.weights:
        return None
    tables, columns = [], []
    given = options.weights
    for text in (given,) if isinstance(given, str) else given:
        name, at, path = text.rpartition("@")
        if not (name and at and path):
            raise InputError(
                f"--weights '{text}' cannot be read; give a column and a file, such as "
                "logw@COLVAR."
            )
        table = read_colvar(path)
        table.column(name)
        tables.append(table)
        columns.append(name)
    kind = options.weights_are or "log"
    if options.weights_are is None:
        _refuse_bias(columns)
    if kind == "bias" and options.temperature is None:
        raise InputError(
            "--weights-are bias needs --temperature, because a bias V in kJ/mol is the "
            "weight exp(V / RT)."
        )
    return WeightTables(
        tables=tuple(tables),
        columns=tuple(columns),
        kind=kind,
        temperature=options.temperature,
    )


def _refuse_bias(columns: list[str]) -> None:
    """Refuse to take for logarithms what has the name of an energy."""
    for name in columns:
        if name.lower().endswith("bias"):
            raise InputError(
                f"--weights takes logarithms of weights, and '{name}' is the name of a "
                "bias; say --weights-are bias (kJ/mol, with --temperature), or "
                "--weights-are log."
            )
