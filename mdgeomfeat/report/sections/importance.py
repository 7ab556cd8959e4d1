"""The section on which residues matter."""

from __future__ import annotations

from typing import Final

import numpy as np

from mdgeomfeat.explain import Quantity, QuantityKind, TokenImportance
from mdgeomfeat.report import html
from mdgeomfeat.report.figures import draw_importance
from mdgeomfeat.report.gallery import Gallery
from mdgeomfeat.report.wording import importance_in_words, quantity_in_words
from mdgeomfeat.text import count, number

__all__ = ["importance_section"]

#: Variables and boundaries that are drawn, and residues that a table names.
MAX_DRAWN: Final = 3
MAX_NAMED: Final = 3


def importance_section(
    importance: TokenImportance, gallery: Gallery, *, established: bool = True
) -> html.Html:
    """Show how much every residue matters, and how far two methods agree.

    Parameters
    ----------
    importance : TokenImportance
    gallery : Gallery
        Receives the figure.
    established : bool
        Whether there is a slow motion for residues to matter for.
    """
    return html.join(
        [
            html.items(importance_in_words(importance)),
            _figure(importance, gallery),
            _table(importance),
            _reading(importance, established),
        ]
    )


def _figure(importance: TokenImportance, gallery: Gallery) -> html.Html:
    drawn = [r for r, q in enumerate(importance.quantities) if _rank(q, importance) < 0]
    permutation, gradient = importance.permutation, importance.gradient
    figure = draw_importance(
        [quantity_in_words(importance.quantities[r]) for r in drawn],
        importance.labels,
        permutation.values[drawn],
        permutation.sd_folds[drawn],
        permutation.twin[drawn],
        None if gradient is None else gradient.values[drawn],
        None if gradient is None else gradient.sd_seeds[drawn],
    )
    return gallery.add(
        "importance",
        figure,
        alt="Bars along the sequence: how much each residue matters.",
        caption="How much each residue matters. Bars: what is lost when the features "
        "of a residue are exchanged between held-out frames, of the score in its own "
        "units and of variables and boundaries between states as a share of the "
        "variance, mean and standard deviation over "
        f"{count(importance.n_folds, 'held-out part')}. Dashes: the same with a "
        "network that was never trained. Dots: mean gradient by the positions of the "
        f"residue's atoms{_seeds(importance)}. All numbers are in importance.csv.",
    )


def _seeds(importance: TokenImportance) -> str:
    """Say what the error bars of gradients are, if there are any."""
    gradient = importance.gradient
    if gradient is None or not np.isfinite(gradient.sd_seeds).any():
        return ""
    return ", with the standard deviation over networks of different seeds"


def _rank(quantity: Quantity, importance: TokenImportance) -> int:
    """Return how many places behind the last drawn one of its kind it is, from 0."""
    alike = [q for q in importance.quantities if q.kind is quantity.kind]
    return next(i for i, q in enumerate(alike) if q is quantity) - MAX_DRAWN


def _table(importance: TokenImportance) -> html.Html:
    permutation, gradient = importance.permutation, importance.gradient
    rows = []
    for r, quantity in enumerate(importance.quantities):
        slopes = None if gradient is None else gradient.values[r]
        rows.append(
            [
                quantity_in_words(quantity),
                _named(importance, permutation.values[r]),
                number(None) if slopes is None else _named(importance, slopes, None),
                number(float(importance.agreement[r])),
                number(float(importance.twin_agreement[r])),
            ]
        )
    return html.table(
        ["what", "permutations", "gradients", "agreement", "untrained"],
        rows,
        caption="Residues that matter most by either method. Agreement is the Spearman "
        "correlation of the two over all residues, and untrained that of permutations "
        "with trained and untrained features: where it is high, the ranking does not "
        "come from pre-training.",
        numeric=(3, 4),
    )


def _named(
    importance: TokenImportance, values: np.ndarray, digits: int | None = 2
) -> str:
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")[:MAX_NAMED]
    named = [
        importance.labels[k] + ("" if digits is None else f" {number(values[k])}")
        for k in order
        if np.isfinite(values[k])
    ]
    return ", ".join(named) or number(None)


def _reading(importance: TokenImportance, established: bool) -> html.Html:
    has_states = any(q.kind is QuantityKind.BOUNDARY for q in importance.quantities)
    told = [
        "Permutations: the features of one residue are shuffled among "
        f"{count(importance.n_pairs, 'pair')} of frames of each held-out part, and "
        "those of all others stay. The score falls by what the model cannot tell "
        "without this residue. For a variable, the share of its variance is shown in "
        "which the residue takes part, alone or together with others (total effect; "
        "Jansen, 1999). Shares need not add up to 1.",
        "Residues that carry the same information share it, so each of them "
        "matters little by itself. The features of a residue also depend on its "
        "neighbours within the cutoff.",
        "Gradients: by how much a variable, whose standard deviation is 1, changes for "
        "each Å that the atoms of a residue move in the steepest direction, mean over "
        f"{count(importance.n_frames, 'frame')}. They tell what the saved model "
        "reacts to, permutations also how much of that happens.",
        "B-factors of the files in the folder states are the fall of the score, 100 "
        "where it is largest. colour.cxc (ChimeraX), colour.pml (PyMOL) and "
        "colour.vmd.tcl (VMD) show them; run them in that folder."
        if established
        else "B-factors of the files in the folder states are 0, because these numbers "
        "may be noise.",
    ]
    if importance.gradient is None:
        del told[2]
    if has_states:
        told.insert(
            2,
            "For two states, frames of both count the same, and the variable is the "
            "line from the mean of one to the mean of the other.",
        )
    return html.details("How this was found", html.items(told))
