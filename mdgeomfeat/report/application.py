"""What a model finds in files that it was not learnt from, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.report.data import FrameOrigin

if TYPE_CHECKING:
    from mdgeomfeat.variables import Novelty, TokenAlignment, TrainingRecord

__all__ = ["Application"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Application:
    """What a model finds in files that it was not learnt from.

    Attributes
    ----------
    method : str
        How it was learnt.
    cvs : list of (F_i, d) ndarray
        One array for each unbroken run.
    states : list of (F_i,) ndarray of int
    trajectories : tuple of int
        Trajectory of each run, from 0.
    n_states : int
    training : TrainingRecord or None
        None for models of releases that kept none.
    novelty : Novelty or None
    alignment : TokenAlignment or None
        None where the molecule is the model's own.
    labels : tuple of str
        Of the model's tokens.
    farthest : tuple of (FrameOrigin, float)
        The frames farthest from the training data and their distances.
    """

    method: str
    cvs: list[np.ndarray]
    states: list[np.ndarray]
    trajectories: tuple[int, ...]
    n_states: int
    training: TrainingRecord | None
    novelty: Novelty | None
    alignment: TokenAlignment | None
    labels: tuple[str, ...]
    farthest: tuple[tuple[FrameOrigin, float], ...] = ()

    @property
    def counts(self) -> np.ndarray:
        """(S,) frames in each state."""
        states = np.concatenate(self.states)
        return np.bincount(states[states >= 0], minlength=self.n_states)

    @property
    def n_frames(self) -> int:
        """Number of frames, with a state and without."""
        return sum(map(len, self.states))

    @property
    def shares(self) -> np.ndarray:
        """(S,) share of the frames with a state, in each of them."""
        shares: np.ndarray = self.counts / max(self.counts.sum(), 1)
        return shares

    @property
    def shares_in_training(self) -> np.ndarray | None:
        """(S,) share of the training frames with a state, in each of them."""
        if self.training is None:
            return None
        shares: np.ndarray = self.training.counts / self.training.counts.sum()
        return shares

    @property
    def visited(self) -> np.ndarray:
        """(S,) number of trajectories that were in each state."""
        pairs = {
            (trajectory, int(state))
            for trajectory, own in zip(self.trajectories, self.states, strict=True)
            for state in np.unique(own[own >= 0])
        }
        states = np.array([state for _, state in pairs], dtype=np.int64)
        return np.bincount(states, minlength=self.n_states)

    def to_dict(self) -> dict[str, object]:
        """Return what a page shows, without arrays over frames."""
        novelty, alignment = self.novelty, self.alignment
        matched = None
        if alignment is not None:
            matched = {
                "counterpart": [
                    None if other < 0 else int(other) + 1
                    for other in alignment.counterpart
                ],
                "changed": [
                    {
                        "token": c.token + 1,
                        "before": c.before,
                        "after": c.after,
                        "elements_before": c.elements_before,
                        "elements_after": c.elements_after,
                    }
                    for c in alignment.changed
                ],
                "missing": list(alignment.missing),
                "extra": list(alignment.extra),
            }
        return {
            "method": self.method,
            "n_frames": self.n_frames,
            "counts": self.counts,
            "shares": self.shares,
            "shares_in_training": self.shares_in_training,
            "trajectories_with_state": self.visited,
            "unseen_share": None if novelty is None else novelty.share,
            "tokens": list(self.labels),
            "token_shifts": None if novelty is None else novelty.shifts,
            "alignment": matched,
        }
