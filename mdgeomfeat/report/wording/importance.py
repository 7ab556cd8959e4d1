"""Which residues matter, in words."""

from __future__ import annotations

from typing import Final

import numpy as np

from mdgeomfeat.explain import Quantity, QuantityKind, TokenImportance
from mdgeomfeat.text import enumerate_words, number

__all__ = ["importance_in_words", "leading_tokens", "quantity_in_words"]

#: Residues that are named for each quantity, and variables that get a sentence.
MAX_NAMED: Final = 3
MAX_VARIABLES: Final = 3
#: Smallest share of the variance that is named.
LEAST_NAMED: Final = 0.05
#: Rank correlations from which two methods agree, and up to which they do not.
_ALIKE: Final = 0.7
_UNLIKE: Final = 0.4


def importance_in_words(importance: TokenImportance) -> list[str]:
    """Return one sentence for each of the first variables, then one on the methods.

    Parameters
    ----------
    importance : TokenImportance

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.explain import Quantity, QuantityKind, TokenImportance
    >>> from mdgeomfeat.explain import summarize
    >>> first = Quantity(kind=QuantityKind.VARIABLE, numbers=(0,), direction=np.ones(1))
    >>> importance = TokenImportance(
    ...     labels=("A:ACE1", "A:ALA2", "A:NME3"), quantities=(first,),
    ...     permutation=summarize([np.array([[[0.1, 0.8, 0.05]]])], twin=[]),
    ...     gradient=None, no_gradient="not computed", n_folds=1, n_pairs=500,
    ...     n_frames=0,
    ... )
    >>> from mdgeomfeat.report import importance_in_words
    >>> print(importance_in_words(importance)[0])
    Variable 1 rests most on A:ALA2 (0.80) and A:ACE1 (0.10).
    """
    sentences = []
    agreement = importance.agreement
    for r, quantity in enumerate(importance.quantities):
        if quantity.kind is not QuantityKind.VARIABLE:
            continue
        if quantity.numbers[0] >= MAX_VARIABLES:
            break
        sentences.append(_sentence(importance, r, float(agreement[r])))
    if importance.no_gradient is not None:
        sentences.append(
            "How steeply variables rise with the position of a residue is not known, "
            f"because {importance.no_gradient}."
        )
    return sentences


def quantity_in_words(quantity: Quantity) -> str:
    """Return what residues matter for.

    Parameters
    ----------
    quantity : Quantity
    """
    if quantity.kind is QuantityKind.SCORE:
        return "VAMP-2 score"
    if quantity.kind is QuantityKind.VARIABLE:
        return f"variable {quantity.numbers[0] + 1}"
    first, second = quantity.numbers
    return f"states {first + 1} and {second + 1}"


def leading_tokens(importance: TokenImportance, r: int) -> list[int]:
    """Return the tokens, at most three, that surely matter for a quantity.

    Those whose effect is above twice its standard error over folds, the largest first.

    Parameters
    ----------
    importance : TokenImportance
    r : int
        Of the quantities.
    """
    values = importance.permutation.values[r]
    error = importance.permutation.sd_folds[r] / np.sqrt(importance.n_folds)
    least = np.maximum(LEAST_NAMED, 2 * np.nan_to_num(error))
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    return [int(k) for k in order[:MAX_NAMED] if values[k] > least[k]]


def _sentence(importance: TokenImportance, r: int, agreement: float) -> str:
    name = quantity_in_words(importance.quantities[r]).capitalize()
    named = leading_tokens(importance, r)
    values = importance.permutation.values[r]
    if named:
        told = [f"{importance.labels[k]} ({number(values[k])})" for k in named]
        text = f"{name} rests most on {enumerate_words(told)}"
    else:
        most = int(np.argmax(np.nan_to_num(values, nan=-np.inf)))
        text = (
            f"{name} rests on no residue by itself: what each adds is little (at most "
            f"{number(values[most])}, {importance.labels[most]}), or differs between "
            "held-out parts, as it does where several carry the same information"
        )
    return f"{text}{_agreement(agreement)}."


def _agreement(agreement: float) -> str:
    """Say how far both methods agree, as the end of a sentence."""
    if not np.isfinite(agreement):
        return ""
    how = "differently"
    if agreement >= _ALIKE:
        how = "alike"
    elif agreement > _UNLIKE:
        how = "partly alike"
    return (
        f"; permutations and gradients rank the residues {how} (Spearman correlation "
        f"{number(agreement)})"
    )
