"""The page of a model that was applied to other files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure

from mdgeomfeat.report import html
from mdgeomfeat.report.data import FrameOrigin, Record
from mdgeomfeat.report.figures import draw_time_series
from mdgeomfeat.report.figures.style import figure, figure_style, state_color
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
from mdgeomfeat.text import number, percent

if TYPE_CHECKING:
    from mdgeomfeat.variables import Novelty, TokenAlignment, TrainingRecord

__all__ = ["Application", "application_page", "draw_old_map"]

MAX_ROWS: Final = 20
_POINTS: Final = 5000  # of the new frames on the map
_BINS: Final = 80
_UNSEEN_COLOR = "#D55E00"


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
        return np.bincount(np.concatenate(self.states), minlength=self.n_states)

    @property
    def shares(self) -> np.ndarray:
        """(S,) share of the frames in each state."""
        return self.counts / self.counts.sum()

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
            for state in np.unique(own)
        }
        return np.bincount([s for _, s in pairs], minlength=self.n_states)

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
            "n_frames": int(self.counts.sum()),
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
    return html.table(
        ["state", "frames", "share", "share in training", "trajectories"],
        rows,
        caption="Frames in each state, of these files and of training, as they were "
        "counted; a run that has not converged has the shares of where it began. The "
        "last column tells how many trajectories were in the state.",
        numeric=(1, 2, 3, 4),
    )


def _map(application: Application, gallery: Gallery) -> html.Html:
    known = application.training is not None
    beyond = (
        " Circles mark frames beyond a distance of 1."
        if application.novelty is not None
        else ""
    )
    return gallery.add(
        "map",
        draw_old_map(application),
        alt="The new frames over those of training, in the first variables.",
        caption="The first variables of the new frames, coloured by state"
        + (", over those of the training frames (grey)." if known else ".")
        + beyond,
        kind="png",
    )


def draw_old_map(application: Application) -> Figure:
    """Draw the new frames over those of training, in the first one or two variables.

    Parameters
    ----------
    application : Application
    """
    cvs, states = np.concatenate(application.cvs), np.concatenate(application.states)
    rows = np.unique(np.linspace(0, len(cvs) - 1, min(_POINTS, len(cvs))).astype(int))
    sample = None if application.training is None else application.training.sample
    with figure_style():
        if cvs.shape[1] == 1:
            return _histograms(cvs[:, 0], states, sample, application.n_states)
        fig = figure(4.6, 5.4)
        ax = fig.subplots()
        if sample is not None:
            ax.plot(*sample[:, :2].T, ".", ms=3, mew=0, color="#d1d5db", zorder=1)
        for state in range(application.n_states):
            own = rows[states[rows] == state]
            ax.plot(
                *cvs[own, :2].T, ".", ms=3, mew=0, color=state_color(state), alpha=0.6,
                label=f"state {state + 1}", zorder=2,
            )  # fmt: skip
        if application.novelty is not None:
            far = rows[np.concatenate(application.novelty.unseen)[rows]]
            ax.plot(
                *cvs[far, :2].T, "o", ms=4, mfc="none", mew=0.5, color=_UNSEEN_COLOR,
                label="unseen", zorder=3,
            )  # fmt: skip
        ax.set_xlabel("CV 1")
        ax.set_ylabel("CV 2")
        fig.legend(loc="outside upper right", ncols=5, markerscale=2)
    return fig


def _histograms(
    values: np.ndarray, states: np.ndarray, sample: np.ndarray | None, n_states: int
) -> Figure:
    """Draw how often each value occurs, here by state and in training."""
    every = values if sample is None else np.concatenate([values, sample[:, 0]])
    edges = np.linspace(every.min(), every.max() + 1e-9, _BINS + 1)
    fig = figure(2.8, 5.4)
    ax = fig.subplots()
    if sample is not None:
        weight = np.full(len(sample), 1 / len(sample))
        ax.hist(sample[:, 0], edges, weights=weight, color="#d1d5db", label="training")
    for state in range(n_states):
        own = values[states == state]
        ax.hist(
            own, edges, weights=np.full(len(own), 1 / len(values)), histtype="step",
            lw=1.4, color=state_color(state), label=f"state {state + 1}",
        )  # fmt: skip
    ax.set_xlabel("CV 1")
    ax.set_ylabel("share of the frames")
    fig.legend(loc="outside upper right", ncols=5)
    return fig


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
    drawn.axes[0].axhline(1, color=_UNSEEN_COLOR, lw=1, ls="--")
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
