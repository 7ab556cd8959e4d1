"""Whether the frames of a run are periodic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.errors import InputError
from mdgeomfeat.featurizer.frames import FramePlan
from mdgeomfeat.structure.periodic import has_box, use_box

if TYPE_CHECKING:
    from MDAnalysis.coordinates.timestep import Timestep

    from mdgeomfeat.structure import Structure

__all__ = ["decide_box"]


def decide_box(
    plan: FramePlan,
    structure: Structure,
    periodic: bool | str,
    read: Callable[[int], Timestep | None],
) -> bool:
    """Let the first usable frame decide, if all trajectories begin with ones like it.

    Parameters
    ----------
    plan : FramePlan
    structure : Structure
    periodic : {"auto", True, False}
        As in :func:`mdgeomfeat.structure.periodic.use_box`.
    read : callable
        Returns a frame, or None if it cannot be read and may be skipped.

    Raises
    ------
    InputError
        If some of these frames have a box and others have none, unless ``periodic``
        says what to do.
    """
    used = None
    boxed: dict[bool, str] = {}
    for ts in _first_usable(plan, structure, read):
        if used is None:
            x = ts.positions[structure.indices]
            used = use_box(periodic, ts.dimensions, x, structure)
            if periodic != "auto" or (not used and has_box(ts.dimensions).all()):
                return used
        where = plan.describe(ts.frame)
        boxed.setdefault(bool(has_box(ts.dimensions).all()), where)
        if len(boxed) > 1:
            raise InputError(
                f"{boxed[True]} has a box and {boxed[False]} has none: leave one or "
                "the other out, or pass periodic=False (--no-pbc)."
            )
    return bool(used)


def _first_usable(
    plan: FramePlan, structure: Structure, read: Callable[[int], Timestep | None]
) -> Iterator[Timestep]:
    """Yield the first two usable frames of every trajectory."""
    ends = np.cumsum(plan.counts())
    for begin, end in zip(plan.first_rows, ends, strict=True):
        found = 0
        for frame in plan.frames[begin:end].tolist():
            ts = read(frame)
            if ts is not None and np.isfinite(ts.positions[structure.indices]).all():
                yield ts
                found += 1
            if found == 2:
                break
