"""The page of a model that was applied to other files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from mdgeomfeat.report import html
from mdgeomfeat.report.data import FrameOrigin, Record
from mdgeomfeat.report.figures import draw_old_map, draw_time_series
from mdgeomfeat.report.figures.old_map import UNSEEN_COLOR
from mdgeomfeat.report.gallery import Gallery
from mdgeomfeat.report.sections.record import (
    analysed_section,
    run_section,
    warnings_block,
)
from mdgeomfeat.report.wording.application import (
    alignment_in_words,
    application_in_words,
    conclusion_in_words,
)
from mdgeomfeat.text import count, number, percent

if TYPE_CHECKING:
    from mdgeomfeat.variables import Novelty, TokenAlignment, TrainingRecord

__all__ = ["Application", "application_page"]

MAX_ROWS: Final = 20


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
        return self.counts / max(self.counts.sum(), 1)

    @property
    def shares_in_training(self) -> np.ndarray | None:
        """(S,) share of the training frames with a state, in each of them."""
        if self.training is None:
            return None
        return self.training.counts / self.training.counts.sum()

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
            "conclusions": conclusion_in_words(self),
        }


def application_page(
    application: Application, record: Record, gallery: Gallery, dt: float | None
) -> str:
    """Return the report of an applied model as one page.

    Parameters
    ----------
    application : Application
    record : Record
        What was analysed, and how.
    gallery : Gallery
        Receives the figures.
    dt : float or None
        Time between frames, ps.
    """
    lead = html.join(
        [
            html.tag("p", record.subtitle, class_="subtitle"),
            html.tag(
                "div",
                html.join(
                    html.paragraph(s)
                    for s in [
                        *application_in_words(application),
                        *conclusion_in_words(application),
                    ]
                ),
                class_="summary",
            ),
            warnings_block(record.warnings),
        ]
    )
    sections = [("analysed", "What was analysed", analysed_section(record))]
    if application.alignment is not None:
        markup = _alignment(application.alignment)
        sections.append(("alignment", "Tokens of both molecules", markup))
    sections += [
        ("states", "States, here and in training", _states(application)),
        ("map", "On the map of training", _map(application, gallery)),
        ("series", "Variables over time", _series(application, gallery, dt)),
        (
            "distance",
            "How far from the training data",
            _distance(application, gallery, dt),
        ),
        ("run", "How to repeat this", run_section(record)),
    ]
    return html.page(record.title, lead, sections)


def _alignment(alignment: TokenAlignment) -> html.Html:
    parts: list[html.Child] = [html.items(alignment_in_words(alignment))]
    if alignment.changed:
        rows = [
            [c.before, c.elements_before, c.after, c.elements_after]
            for c in alignment.changed[:MAX_ROWS]
        ]
        header = ["token in training", "its atoms", "token here", "its atoms"]
        parts.append(html.table(header, rows))
    return html.join(parts)


def _states(application: Application) -> html.Html:
    before = application.shares_in_training
    n_trajectories = len(set(application.trajectories))
    rows = [
        [
            f"state {state + 1}",
            f"{application.counts[state]:,}",
            percent(application.shares[state]),
            percent(None if before is None else before[state]),
            f"{application.visited[state]} of {n_trajectories}",
        ]
        for state in range(application.n_states)
    ]
    without = application.n_frames - int(application.counts.sum())
    return html.table(
        ["state", "frames", "share", "share in training", "trajectories"],
        rows,
        caption="Frames in each state, of these files and of training, as they were "
        "counted; a run that has not converged has the shares of where it began. The "
        "last column tells how many trajectories were in the state."
        + (
            f" {count(without, 'frame')} lie where training has no state."
            if without
            else ""
        ),
        numeric=(1, 2, 3, 4),
    )


def _map(application: Application, gallery: Gallery) -> html.Html:
    training, novelty = application.training, application.novelty
    beyond = (
        " Circles mark frames beyond a distance of 1." if novelty is not None else ""
    )
    return gallery.add(
        "map",
        draw_old_map(
            application.cvs,
            application.states,
            application.n_states,
            sample=None if training is None else training.sample,
            unseen=None if novelty is None else novelty.unseen,
        ),
        alt="The new frames over those of training, in the first variables.",
        caption="The first variables of the new frames, coloured by state"
        + (
            ", over those of the training frames (grey)."
            if training is not None
            else "."
        )
        + beyond,
        kind="png",
    )


def _series(application: Application, gallery: Gallery, dt: float | None) -> html.Html:
    return gallery.add(
        "time-series",
        draw_time_series(application.cvs, dt=dt, states=application.states),
        alt="Collective variables over time, with their histograms.",
        caption="The variables of the model over time, coloured by state. Their scale "
        "is that of training, where each has a variance of 1.",
        kind="png",
    )


def _distance(
    application: Application, gallery: Gallery, dt: float | None
) -> html.Html:
    novelty = application.novelty
    if novelty is None:
        return html.note(
            "The model holds no record of its training data, which earlier releases "
            "did not keep; learn it again to see how far these frames lie from it."
        )
    columns = [own[:, None] for own in novelty.distances]
    drawn = draw_time_series(columns, dt=dt)
    drawn.axes[0].set_ylabel("distance")
    drawn.axes[0].axhline(1, color=UNSEEN_COLOR, lw=1, ls="--")
    parts: list[html.Child] = [
        gallery.add(
            "distance",
            drawn,
            alt="Distance of the frames from the training data over time.",
            caption="Distance of the features from those of training. One of a "
            "thousand training frames lies beyond 1 (dashed line); what the model says "
            "of frames far beyond it means nothing."
            + (
                " Tokens that are changed or missing are left out of it."
                if application.alignment is not None and not application.alignment.whole
                else ""
            ),
            kind="png",
        )
    ]
    if application.farthest:
        parts.append(
            html.table(
                ["file", "frame", "distance"],
                [[o.file, o.frame, number(d)] for o, d in application.farthest],
                caption="The frames that lie farthest out, counted from 0.",
                numeric=(1, 2),
            )
        )
    parts.append(_shifts(application.labels, novelty.shifts))
    return html.join(parts)


def _shifts(labels: Sequence[str], shifts: np.ndarray) -> html.Html:
    order = np.argsort(shifts)[::-1][:MAX_ROWS]
    return html.table(
        ["token in training", "shift"],
        [[labels[i], number(float(shifts[i]))] for i in order],
        caption="Where the frames differ most from training on average: how far the "
        "mean features of a token have moved, in standard deviations of training.",
        numeric=(1,),
    )
