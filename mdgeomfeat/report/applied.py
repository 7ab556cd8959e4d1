"""The page of a model that was applied to other files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from mdgeomfeat.report import html
from mdgeomfeat.report.application import Application
from mdgeomfeat.report.data import Record, StateFrames
from mdgeomfeat.report.figures import draw_old_map, draw_time_series
from mdgeomfeat.report.figures.old_map import UNSEEN_COLOR
from mdgeomfeat.report.gallery import Gallery
from mdgeomfeat.report.sections.record import (
    analysed_section,
    run_section,
    warnings_block,
)
from mdgeomfeat.report.sections.states import structures
from mdgeomfeat.report.wording.application import (
    alignment_in_words,
    application_in_words,
    conclusion_in_words,
)
from mdgeomfeat.text import count, number, percent

if TYPE_CHECKING:
    from mdgeomfeat.variables import TokenAlignment

__all__ = ["application_page"]

MAX_ROWS: Final = 20


def application_page(
    application: Application,
    record: Record,
    gallery: Gallery,
    dt: float | None,
    frames: StateFrames | None = None,
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
    frames : StateFrames, optional
        Typical frames of the states, which are shown.
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
        *(
            []
            if frames is None
            else [("structures", "Structures", structures(frames, gallery))]
        ),
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
