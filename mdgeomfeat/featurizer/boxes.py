"""Whether the frames of a run can be right, and whether they are periodic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.boxes import (
    BoxReason,
    BoxSample,
    BoxVerdict,
    check_cutoff,
    has_box,
    judge_box,
    spread,
)
from mdgeomfeat.boxes.verdict import Periodic
from mdgeomfeat.featurizer.frames import FramePlan
from mdgeomfeat.featurizer.unusable import read_frame
from mdgeomfeat.reading.dcd import check_orientation
from mdgeomfeat.reading.dropped import check_columns, check_dropped
from mdgeomfeat.structure.plausibility import check_positions

if TYPE_CHECKING:
    from mdgeomfeat.structure import Structure

__all__ = ["decide_box"]


def decide_box(
    reader: Any,
    plan: FramePlan,
    structure: Structure,
    periodic: Periodic,
    *,
    cutoff: float,
    skip_bad: bool,
    allow_implausible: bool,
) -> BoxVerdict:
    """Let frames of all trajectories decide: the first usable two, and some others.

    Distances in the first two are looked at as well, before the size of the box is: in
    another unit, both are wrong, and the unit is what has to be said. A first frame
    alone will not do, as it is often a structure of another origin than the rest.

    Parameters
    ----------
    reader : MDAnalysis reader
    plan : FramePlan
    structure : Structure
    periodic : {"auto", True, False}
        As in :func:`mdgeomfeat.boxes.judge_box`.
    cutoff : float, Å
        Of the network.
    skip_bad : bool
        Whether frames that cannot be read are passed over.
    allow_implausible : bool
        Whether positions that cannot be right are only warned of.

    Raises
    ------
    InputError
        If some of these frames have a box and others have none, unless ``periodic``
        says what to do, if a box is too small for the cutoff or not oriented as
        lengths and angles say, if the reader has dropped one, or if positions cannot
        be right; see :mod:`mdgeomfeat.structure.plausibility`.
    """
    check_columns(reader)
    looked_at = list(_samples(reader, plan, structure, skip_bad, periodic is not False))
    samples = [sample for sample, _ in looked_at]
    verdict = judge_box(periodic, samples, structure.numbers)
    check_positions(
        structure,
        [sample for sample, first in looked_at if first],
        periodic=verdict.used,
        allow=allow_implausible,
    )
    if verdict.used:
        check_orientation(reader)
        boxes = np.array([s.box for s in samples], dtype=np.float64).reshape(-1, 6)
        check_cutoff(boxes, cutoff, [s.where for s in samples])
    elif verdict.reason is BoxReason.ABSENT:
        check_dropped(reader)
    return verdict


def _samples(
    reader: Any, plan: FramePlan, structure: Structure, skip_bad: bool, spread_out: bool
) -> Iterator[tuple[BoxSample, bool]]:
    """Yield the first two usable frames of every trajectory, and some spread over it.

    With each goes whether it is one of the first two, which are all unless they shall
    be ``spread_out``.

    Frames further on that cannot be read are named, or passed over, when the run comes
    to them.
    """
    steps = reader.transformations
    spread_out &= all(getattr(step, "parallelizable", True) for step in steps)
    ends = np.cumsum(plan.counts())
    n_used = int(np.count_nonzero(plan.counts()))
    for begin, end in zip(plan.first_rows, ends, strict=True):
        frames = plan.frames[begin:end].tolist()
        found = seen = 0
        while found < 2 and seen < len(frames):
            sample = _sample(reader, plan, structure, frames[seen], skip_bad)
            seen += 1
            if sample is not None:
                yield sample, True
                found += 1
        # What remembers earlier frames must not see those far on before its time.
        for row in spread(len(frames), n_used) if spread_out else []:
            if row >= seen:
                sample = _sample(reader, plan, structure, frames[row], skip_bad=True)
                if sample is None or (skip_bad and not has_box(sample.box).all()):
                    continue
                yield sample, False


def _sample(
    reader: Any, plan: FramePlan, structure: Structure, frame: int, skip_bad: bool
) -> BoxSample | None:
    ts = read_frame(reader, plan, frame, skip_bad=skip_bad)
    if ts is None:
        return None
    positions = ts.positions[structure.indices]
    if not np.isfinite(positions).all():
        return None
    box = None if ts.dimensions is None else np.array(ts.dimensions, dtype=np.float64)
    return BoxSample(plan.describe(frame), positions, box)
