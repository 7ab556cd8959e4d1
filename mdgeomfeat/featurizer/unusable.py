"""Frames that cannot be used: finding, naming and leaving them out."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat import upstream
from mdgeomfeat.boxes import has_box
from mdgeomfeat.errors import InputError, MDGeomFeatWarning, sentence
from mdgeomfeat.featurizer.frames import FramePlan

if TYPE_CHECKING:
    from MDAnalysis.coordinates.timestep import Timestep

    from mdgeomfeat.structure import Structure

__all__ = ["read_frame", "say_dropped", "usable_rows"]


def read_frame(
    reader: Any, plan: FramePlan, frame: int, *, skip_bad: bool
) -> Timestep | None:
    """Read a frame, None if it cannot be read and may be skipped.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        return upstream.read_frame(reader, frame)
    except upstream.UnreadableFrameError as error:
        if skip_bad:
            return None
        raise InputError(
            sentence(
                f"{plan.describe(frame)} cannot be read ({error.reason}); end the run "
                f"before it with stop={frame}, or pass skip_bad_frames=True "
                "(--skip-bad-frames)"
            )
        ) from error


def usable_rows(
    plan: FramePlan,
    structure: Structure,
    rows: NDArray[np.int64],
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
    *,
    skip_bad: bool,
) -> NDArray[np.bool_]:
    """Tell which rows hold numbers, and a box where one is used.

    Parameters
    ----------
    plan : FramePlan
    structure : Structure
    rows : (n,) ndarray of int
    positions : (n, A, 3) ndarray, Å
    boxes : (n, 6) ndarray or None
        None where no box is used.
    skip_bad : bool

    Raises
    ------
    InputError
        If one does not and it may not be skipped.
    """
    finite = np.isfinite(positions).all(axis=2)
    good: NDArray[np.bool_] = finite.all(axis=1)
    if boxes is not None:
        good &= has_box(boxes)
    if good.all() or skip_bad:
        return good
    bad = int(np.flatnonzero(~good)[0])
    described = plan.describe(int(plan.frames[rows[bad]]))
    if finite[bad].all():
        raise InputError(
            sentence(
                f"{described} has no usable box, although the first frame has one; "
                "pass periodic=False (--no-pbc) or skip_bad_frames=True "
                "(--skip-bad-frames)"
            )
        )
    atom = int(np.flatnonzero(~finite[bad])[0])
    raise InputError(
        sentence(
            f"{described} holds positions that are not finite numbers (first at atom "
            f"{structure.names[atom]}, index {structure.indices[atom]}); repair the "
            "file or pass skip_bad_frames=True (--skip-bad-frames)"
        )
    )


def say_dropped(plan: FramePlan, good: NDArray[np.bool_]) -> None:
    """Name the frames that were left out.

    Raises
    ------
    InputError
        If none is left.
    """
    bad = plan.frames[~good]
    if not good.any():
        raise InputError(
            f"None of the {len(good)} frames could be used; the first is "
            f"{plan.describe(int(bad[0]))}; repair the files."
        )
    if len(bad):
        shown = "; ".join(map(plan.describe, bad[:5].tolist()))
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        what = (
            "1 frame could not be used and was"
            if len(bad) == 1
            else f"{len(bad)} frames could not be used and were"
        )
        warnings.warn(
            f"{what} left out: {shown}{more}.",
            MDGeomFeatWarning,
            stacklevel=5,
        )
