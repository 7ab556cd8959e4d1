"""Whether the frames of a run are periodic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.errors import InputError
from mdgeomfeat.featurizer.frames import FramePlan
from mdgeomfeat.featurizer.unusable import read_frame
from mdgeomfeat.reading.dcd import check_orientation
from mdgeomfeat.structure.periodic import has_box, use_box

if TYPE_CHECKING:
    from MDAnalysis.coordinates.timestep import Timestep

    from mdgeomfeat.structure import Structure

__all__ = ["decide_box"]


def decide_box(
    reader: Any,
    plan: FramePlan,
    structure: Structure,
    periodic: bool | str,
    *,
    skip_bad: bool,
) -> bool:
    """Let the first usable frame decide, if all trajectories begin with ones like it.

    Parameters
    ----------
    reader : MDAnalysis reader
    plan : FramePlan
    structure : Structure
    periodic : {"auto", True, False}
        As in :func:`mdgeomfeat.structure.periodic.use_box`.
    skip_bad : bool
        Whether frames that cannot be read are passed over.

    Raises
    ------
    InputError
        If some of these frames have a box and others have none, unless ``periodic``
        says what to do, or a box is not oriented as lengths and angles say.
    """
    used = None
    boxed: dict[bool, str] = {}
    for ts in _first_usable(reader, plan, structure, skip_bad):
        if used is None:
            x = ts.positions[structure.indices]
            used = use_box(periodic, ts.dimensions, x, structure)
            if used:
                check_orientation(reader)
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
    reader: Any, plan: FramePlan, structure: Structure, skip_bad: bool
) -> Iterator[Timestep]:
    """Yield the first two usable frames of every trajectory."""
    ends = np.cumsum(plan.counts())
    for begin, end in zip(plan.first_rows, ends, strict=True):
        found = 0
        for frame in plan.frames[begin:end].tolist():
            ts = read_frame(reader, plan, frame, skip_bad=skip_bad)
            if ts is not None and np.isfinite(ts.positions[structure.indices]).all():
                yield ts
                found += 1
            if found == 2:
                break
