"""The section on held-out scores of the features and of every baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.report import html
from mdgeomfeat.report.figures import ScoreBar, draw_scores
from mdgeomfeat.report.gallery import Gallery
from mdgeomfeat.text import Clock, count, number

if TYPE_CHECKING:
    from mdgeomfeat.kinetics import Score, StudyResult

__all__ = ["scores_section"]


def scores_section(study: StudyResult, clock: Clock, gallery: Gallery) -> html.Html:
    """Show what each input scores on data that its training has not seen."""
    known = [s for s in study.scores if s.score is not None]
    parts: list[html.Child] = [_convention(study, clock)]
    if known:
        bars = [_bar(s) for s in known]
        figure = draw_scores(bars, ceiling=study.ceiling, upper=study.dim + 1)
        parts.append(
            gallery.add(
                "scores",
                figure,
                alt="Held-out VAMP-2 scores of all inputs.",
                caption="Held-out VAMP-2 scores: mean over held-out parts, "
                "bars show one standard deviation over held-out parts."
                + (
                    " The grey tick is what the same outputs score by chance (the "
                    "null)."
                    if any(s.null is not None for s in known)
                    else ""
                ),
            )
        )
    for method in dict.fromkeys(s.method for s in study.scores):
        rows = [s for s in study.scores if s.method == method]
        parts.append(_table(method, rows))
    parts.append(_reading(study))
    return html.join(parts)


def _bar(score: Score) -> ScoreBar:
    return ScoreBar(
        label=score.input,
        method=score.method,
        mean=float(score.score if score.score is not None else np.nan),
        spread=score.sd_folds,
        null=score.null,
        independent=score.independent,
    )


def _convention(study: StudyResult, clock: Clock) -> html.Html:
    """Say what the score is and where its limits are."""
    if study.ceiling is not None:
        ceiling = (
            "With the timescales of the Markov model, which passes its "
            "Chapman-Kolmogorov test, a perfect model would score "
            f"{number(study.ceiling)}."
        )
    elif not study.evidence.established:
        ceiling = (
            "There is no ceiling to compare with where no motion is known to be slow."
        )
    elif _passed(study):
        ceiling = (
            "The ceiling is unknown: some of these scores are above what the "
            "timescales of the Markov model allow, so there is a slower motion than "
            "its variables show."
        )
    else:
        ceiling = (
            "The ceiling is unknown, because no Markov model has a timescale above "
            "the lag and passes its Chapman-Kolmogorov test."
        )
    fold = study.folds[0]
    held_out = (
        "whole trajectories"
        if fold.kind == "trajectories"
        else f"thirds of trajectories, {clock.show(fold.gap)} apart,"
    )
    independent = (
        ""
        if fold.independent
        else " The held-out parts are too close to the training parts: these scores "
        "are not independent."
    )
    return html.paragraph(
        f"VAMP-2 scores with {count(study.dim, 'output')} at a lag of "
        f"{clock.show(study.lag)}, on {held_out} that neither training nor stopping "
        f"has seen ({count(len(study.folds), 'part')}, one covariance over each). The "
        "score counts the constant, so 1 means that nothing was found, and "
        f"{study.dim + 1} is the upper limit. {ceiling}{independent}"
    )


def _passed(study: StudyResult) -> bool:
    """Whether the Markov model passes its test and has a timescale above its lag."""
    states = study.states
    passed = states.ck is not None and states.ck.passed is True
    return passed and bool(states.timescales[0] > states.lag)


def _table(method: str, scores: Sequence[Score]) -> html.Html:
    header = [
        "input",
        "score",
        "± parts",
        "± seeds",
        "difference",
        "training",
        "null",
        "width",
        "parameters",
    ]
    several_seeds = scores[0].n_seeds > 1
    if not several_seeds:
        header.remove("± seeds")
    rows = []
    for s in scores:
        width: html.Child = f"{s.width:,}"
        if s.pca is not None and s.pca < s.width:
            # on a line of its own, so that the table is no wider than the page
            width = html.join([width, html.Html("<br>"), f"→ PCA {s.pca:,}"])
        row = [
            s.input,
            number(s.score, 3),
            number(s.sd_folds, 3),
            number(s.sd_seeds, 3),
            "" if s.primary else _difference(s),
            number(s.train, 3),
            number(s.null, 3),
            width,
            f"{s.n_parameters:,}",
        ]
        if not several_seeds:
            del row[3]
        rows.append(row)
    caption = method
    if method != "TICA":
        caption += f", {count(scores[0].n_seeds, 'seed')}"
    if not scores[0].independent:
        caption += " (not independent)"
    return html.table(
        header,
        rows,
        caption=caption,
        numeric=range(1, len(header)),
        highlight=[i for i, s in enumerate(scores) if s.primary],
    )


def _difference(score: Score) -> str:
    if score.minus_primary is None:
        return number(None)
    sign = "+" if score.minus_primary >= 0 else ""
    text = f"{sign}{number(score.minus_primary, 3)}"
    if score.minus_primary_sd is None:
        return text
    return f"{text} ± {number(score.minus_primary_sd, 3)}"


def _reading(study: StudyResult) -> html.Html:
    """Say how to read the tables."""
    return html.details(
        "How to read the tables",
        html.items(
            [
                "± parts is the standard deviation over held-out parts. It is mostly "
                "the parts' own difference: to compare inputs, use the paired "
                f"differences from the {study.primary}, which are taken part by part.",
                "The score is that of the networks of all seeds joined; ± seeds is the "
                "standard deviation over seeds by themselves.",
                "The null is the score of the same outputs when their lagged half is "
                "shifted far beyond the slowest timescale: what chance gives. There is "
                "a dash where the held-out parts are too short for that.",
                "A training score far above the held-out one means overfitting.",
                "Width is how many numbers describe a frame. TICA sees wide inputs "
                "through a PCA of the training part, and VAMPNets see them whole.",
                "All inputs share the lag, the number of outputs, the held-out parts "
                "and the training budget. Random weights are a network of the same "
                "shape that was never trained: its score comes from the shape, not "
                "from pre-training.",
            ]
        ),
    )
