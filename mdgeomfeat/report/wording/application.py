"""Sentences for what a model finds in files that it was not learnt from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from mdgeomfeat.text import count, enumerate_words, percent

if TYPE_CHECKING:
    from mdgeomfeat.report.application import Application
    from mdgeomfeat.variables import TokenAlignment

__all__ = ["alignment_in_words", "application_in_words", "conclusion_in_words"]

_SHOWN: Final = 4  # states and tokens that a sentence names
#: Shares of unseen frames up to which states may be read as in training, and from which
#: they may not be read at all.
_FEW, _MOST = 0.05, 0.5
#: Identical residues below which an alignment of proteins is often wrong (B. Rost,
#: Protein Eng. 12, 85 (1999)).
_TWILIGHT: Final = 0.3


def application_in_words(application: Application) -> list[str]:
    """Say which states the frames are in and how like the training data they are.

    Parameters
    ----------
    application : Application
    """
    here = application.shares
    before = application.shares_in_training
    named = []
    for state in range(min(len(here), _SHOWN)):
        text = f"{percent(here[state])} of the frames are in state {state + 1}"
        if before is not None:
            text += f" ({percent(before[state])} in training)"
        named.append(text)
    sentences = [f"{enumerate_words(named)}."]
    if application.novelty is not None:
        sentences.append(
            f"{percent(application.novelty.share)} of the frames lie farther from the "
            "training data than 99.9 % of these do."
        )
    if application.alignment is not None:
        sentences += alignment_in_words(application.alignment)
    return sentences


def alignment_in_words(alignment: TokenAlignment) -> list[str]:
    """Say which tokens are the same, changed, missing and left out.

    Parameters
    ----------
    alignment : TokenAlignment
    """
    n = len(alignment.labels)
    same = int(alignment.same.sum())
    sentences = [
        f"{same} of the model's {count(n, 'token')} have the same atoms in these files."
    ]
    if alignment.changed:
        named = [
            f"{c.before} ({c.elements_before}) is {c.after} ({c.elements_after})"
            for c in alignment.changed[:_SHOWN]
        ]
        more = len(alignment.changed) - _SHOWN
        named += [f"{more} more are other ones"] if more > 0 else []
        sentences.append(f"{enumerate_words(named)}.")
    if alignment.missing:
        sentences.append(
            f"Missing here, and taken to be as they were on average in training: "
            f"{_names(alignment.missing)}."
        )
    if alignment.extra:
        sentences.append(
            f"Unknown to the model, and left out: {_names(alignment.extra)}."
        )
    return sentences


def conclusion_in_words(application: Application) -> list[str]:
    """Say what may be concluded from the states, and what may not.

    Parameters
    ----------
    application : Application
    """
    alignment, novelty = application.alignment, application.novelty
    other = alignment is not None and not alignment.whole
    sentences = []
    if novelty is None:
        sentences.append(
            "An earlier release learnt the model and kept no record of its data, so "
            "nothing tells whether it has seen frames like these; learn it again."
        )
    elif novelty.share > _MOST:
        sentences.append(
            "Most frames are unlike any that the model has seen, so its states and "
            "their shares are not to be believed here; learn from frames of this "
            "molecule together with those of training, or apart from them."
        )
    elif novelty.share > _FEW:
        sentences.append(
            "The states of frames beyond a distance of 1 are not to be believed; those "
            "of the other frames may be read as in training."
        )
    elif not other:
        sentences.append(
            "The frames are like those of training, so variables and states may be "
            "read as there."
        )
    if other:
        sentences.append(
            "Where a token has changed, the network sees atoms that the model was not "
            "learnt from. Its variables often keep the order of frames and not the "
            "boundaries between states, so shares of states need a check, for example "
            "by torsions. States carry over where the model is learnt from atoms that "
            "both molecules have (--select)."
        )
        assert alignment is not None
        if np.mean(alignment.same) < _TWILIGHT:
            sentences.append(
                f"Only {percent(float(np.mean(alignment.same)))} of the tokens are the "
                "same, and the alignment of so different sequences is often wrong; "
                "look at which tokens were matched."
            )
    return sentences


def _names(labels: tuple[str, ...]) -> str:
    shown = list(labels[: 2 * _SHOWN])
    more = len(labels) - len(shown)
    return enumerate_words(shown + ([f"{more} more"] if more > 0 else []))
