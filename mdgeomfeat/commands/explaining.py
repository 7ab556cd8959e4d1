"""What the states of a study are, in terms of the molecule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.explain import (
    Sample,
    StateDifferences,
    compare_states,
    draw_sample,
)
from mdgeomfeat.explain.sample import MAX_FRAMES

if TYPE_CHECKING:
    from mdgeomfeat.commands.featurized import Featurized
    from mdgeomfeat.kinetics import StudyResult

__all__ = ["sample_of_states", "state_differences", "states_of_frames"]


def states_of_frames(found: Sequence[np.ndarray], data: Featurized) -> np.ndarray:
    """Return the state (F,) of every frame, -1 where it belongs to none.

    Parameters
    ----------
    found : list of (F_i,) ndarray of int
        States of each unbroken run.
    data : Featurized
        What they were made of.
    """
    states = np.full(len(data.results.times), -1)
    for rows, own in zip(data.rows, found, strict=True):
        states[rows.start : rows.stop] = own
    return states


def sample_of_states(
    study: StudyResult, data: Featurized, max_frames: int = MAX_FRAMES
) -> Sample:
    """Draw frames of every state of a study, with their weights.

    Parameters
    ----------
    study : StudyResult
    data : Featurized
        What it was made of.
    max_frames : int
        Most frames of one state and half.
    """
    weights = None
    if study.weights is not None:
        weights = np.zeros(len(data.results.times))
        for rows, own in zip(data.rows, study.weights.values, strict=True):
            weights[rows.start : rows.stop] = own
    return draw_sample(
        states_of_frames(study.states.dtrajs, data),
        data.results.trajectory,
        study.states.n_states,
        weights=weights,
        max_frames=max_frames,
    )


def state_differences(study: StudyResult, data: Featurized) -> StateDifferences | None:
    """Compare the states of a study with its first, the most populated one.

    Parameters
    ----------
    study : StudyResult
    data : Featurized
        What it was made of. Its positions are used, so that nothing is read twice.

    Returns
    -------
    StateDifferences or None
        None where fewer than two states have enough frames.
    """
    sample = sample_of_states(study, data)
    boxes = data.results.boxes
    return compare_states(
        data.structure,
        np.asarray(data.positions[sample.rows]),
        None if boxes is None else np.asarray(boxes[sample.rows]),
        sample,
    )
