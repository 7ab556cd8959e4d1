"""What differs between two ensembles, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from mdgeomfeat.explain.ensembles import LEVEL
from mdgeomfeat.report.wording.differences import told_differences
from mdgeomfeat.text import count, enumerate_words, number

if TYPE_CHECKING:
    from mdgeomfeat.explain import EnsembleTest, Pairing
    from mdgeomfeat.report.data import EnsembleComparison

__all__ = ["ensembles_in_words", "pairing_in_words"]

#: Residues and atoms that a sentence names.
_SHOWN: Final = 5
#: Runs of each ensemble from which the smallest p is below the level.
_ENOUGH: Final = "four runs of each are enough"


def ensembles_in_words(comparison: EnsembleComparison) -> list[str]:
    """Say which residues differ, how surely, and what plain quantities say of it.

    Parameters
    ----------
    comparison : EnsembleComparison
    """
    sentences = [_verdict(comparison)]
    differences = comparison.differences
    if differences is not None and differences.compared:
        told = told_differences(differences.compared[0])
        sentences.append(
            f"From the first ensemble to the second, {'; '.join(told)}."
            if told
            else "None of the contacts, torsions and other plain quantities that were "
            "compared differs much."
        )
    return sentences + pairing_in_words(comparison.pairing)


def pairing_in_words(pairing: Pairing) -> list[str]:
    """Say which atoms were left out because one ensemble does not have them.

    Parameters
    ----------
    pairing : Pairing
    """
    sentences = []
    changed = [token for token in pairing.partial if token.changed]
    if changed:
        named = [
            f"{t.first} is {t.second} there (compared by {' '.join(t.atoms)})"
            for t in changed
        ]
        it = "it is" if len(changed) == 1 else "they are"
        sentences.append(
            f"{_some(named)}; {it} left out of the test, because what differs there "
            "may be chemistry alone and not a change in motion."
        )
    others = [token.first for token in pairing.partial if not token.changed]
    if others:
        sentences.append(
            f"Compared by the atoms that both ensembles have: {_some(others)}."
        )
    for which, labels in (("first", pairing.missing), ("second", pairing.extra)):
        if labels:
            sentences.append(
                f"Only in the {which} ensemble, and left out: {_some(labels)}."
            )
    return sentences


def _verdict(comparison: EnsembleComparison) -> str:
    test = comparison.test
    largest = int(np.argmax(np.where(test.tested, test.effects, -np.inf)))
    leader = f"{comparison.labels[largest]} (effect {number(test.effects[largest], 3)})"
    if comparison.single:
        return (
            f"There is only one run of the {_which(comparison.single)}, so how much "
            "runs of the same kind differ is not known, and effects are given without "
            "p: halves of a run are not independent evidence, because they share its "
            f"start and all that it did not cross. The largest effect is that of "
            f"{leader}."
        )
    a, b = test.n_runs
    if not test.decidable:
        return (
            f"Which residues differ cannot be decided: with {a} and {b} runs no p is "
            f"below {number(test.smallest)}, and {LEVEL} is needed; {_ENOUGH}. The "
            f"largest effect is that of {leader}."
        )
    how = _how(test)
    if not len(test.different):
        assert test.corrected is not None
        least = int(np.argmin(np.nan_to_num(test.corrected, nan=np.inf)))
        return (
            "No residue differs by more than runs of the same ensemble may differ by "
            f"chance (smallest corrected p {_p(test, least)}, of "
            f"{comparison.labels[least]}; {how})."
        )
    named = [
        f"{comparison.labels[k]} (effect {number(test.effects[k], 3)}, p {_p(test, k)})"
        for k in test.different
    ]
    verb = "differs" if len(named) == 1 else "differ"
    return (
        f"{len(named)} of {count(int(test.tested.sum()), 'token')} {verb} between the "
        f"ensembles: {_some(named)}; p is corrected for all of them ({how})."
    )


def _which(sides: tuple[int, ...]) -> str:
    names = ("first", "second")
    if len(sides) == 2:
        return "first and one of the second ensemble"
    return f"{names[sides[0]]} ensemble"


def _how(test: EnsembleTest) -> str:
    ways = f"{test.n_divisions:,}"
    kind = f"all {ways}" if test.exact else f"{ways} of the"
    return f"{kind} ways to divide the runs into {test.n_runs[0]} and {test.n_runs[1]}"


def _p(test: EnsembleTest, token: int) -> str:
    assert test.corrected is not None
    return number(float(test.corrected[token]), 3 if test.n_divisions < 1000 else 4)


def _some(names: list[str] | tuple[str, ...]) -> str:
    shown = list(names[:_SHOWN])
    more = len(names) - len(shown)
    return enumerate_words(shown + ([f"{more} more"] if more > 0 else []))
