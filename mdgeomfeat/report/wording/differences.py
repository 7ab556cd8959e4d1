"""What differs between states, in words."""

from __future__ import annotations

from typing import Final

from mdgeomfeat.explain import Difference, Kind, StateComparison, StateDifferences
from mdgeomfeat.text import count, number, percent, pretty_angle

__all__ = ["difference_in_words", "differences_in_words", "told_differences"]

#: Differences that are told of each state.
MAX_TOLD: Final = 3
#: Smallest effect that is told: below it, states overlap widely.
LEAST_TOLD: Final = 0.3
#: Shares of frames from which something is there or is not.
_MOSTLY: Final = 2 / 3
_SELDOM: Final = 1 / 3

#: Mean angles that are nearer than this do not tell how two distributions differ.
_ALIKE: Final = 20.0

_MORE: Final = {
    Kind.CONTACT: "contact",
    Kind.TORSION: "torsion",
    Kind.SALT_BRIDGE: "salt bridge",
    Kind.HYDROGEN_BOND: "hydrogen bond",
}

_CLASSES: Final = ("coil", "helix", "strand")


def differences_in_words(differences: StateDifferences) -> list[str]:
    """Return one sentence for each state with what tells it from the reference.

    Parameters
    ----------
    differences : StateDifferences

    Examples
    --------
    >>> from mdgeomfeat.explain import Difference, Kind, StateComparison
    >>> from mdgeomfeat.explain import StateDifferences
    >>> from mdgeomfeat.report import differences_in_words
    >>> import numpy as np
    >>> turn = Difference(
    ...     kind=Kind.TORSION, name="A:ALA2:phi", tokens=(1,), before=-80.0, after=60.0,
    ...     effect=0.9, held_out=0.88, stable=True,
    ... )
    >>> found = StateDifferences(
    ...     reference=0, split="trajectories", n_frames=np.array([500, 200]),
    ...     compared=(StateComparison(state=1, checked=True, differences=(turn,)),),
    ...     radius_of_gyration=np.full(2, 3.2), rmsf=np.full((2, 3), 0.5),
    ... )
    >>> print(differences_in_words(found)[0])
    State 2, compared with state 1: φ of A:ALA2 turns from ...
    """
    return [_sentence(one, differences) for one in differences.compared]


def _sentence(one: StateComparison, differences: StateDifferences) -> str:
    told = told_differences(one)
    head = f"State {one.state + 1}, compared with state {differences.reference + 1}: "
    if not told:
        return (
            f"{head}none of the contacts, torsions and other quantities that were "
            "compared differs much."
        )
    text = head + "; ".join(told) + "."
    if not one.checked:
        text += (
            " This could not be checked, because only one half of the "
            + ("trajectories" if differences.split == "trajectories" else "trajectory")
            + " visits both states often enough."
        )
    return text


def told_differences(one: StateComparison) -> list[str]:
    """Return the differences, at most three, that are sure and large, in words.

    The largest of every kind come first: where domains move, twenty contacts change
    together, and the torsion at the hinge says more than the second of them.

    Parameters
    ----------
    one : StateComparison
    """
    worth = [d for d in one.differences if _worth_telling(d)]
    leading = list({d.kind: d for d in reversed(worth)}.values())
    told = sorted(leading, key=worth.index)[:MAX_TOLD]
    told += [d for d in worth if d not in told][: MAX_TOLD - len(told)]
    texts = [difference_in_words(d) for d in told]
    for place, kind in enumerate(d.kind for d in told):
        more = sum(d.kind is kind for d in worth) - sum(d.kind is kind for d in told)
        last = all(d.kind is not kind for d in told[place + 1 :])
        if more > 0 and last and kind in _MORE:
            change = "changes" if more == 1 else "change"
            texts[place] += f", and {count(more, f'more {_MORE[kind]}')} {change}"
    return texts


def _worth_telling(difference: Difference) -> bool:
    """Whether a difference is sure and large enough for a sentence."""
    size = difference.effect if difference.held_out is None else difference.held_out
    if difference.stable is False or size < LEAST_TOLD:
        return False
    return difference.kind not in (Kind.RMSF, Kind.SOLVENT_EXPOSURE)


def difference_in_words(difference: Difference) -> str:
    """Return what changes from the reference state to the other.

    Parameters
    ----------
    difference : Difference
    """
    kind, name = difference.kind, difference.name
    before, after = difference.before, difference.after
    if isinstance(before, tuple) or isinstance(after, tuple):
        return _secondary(difference)
    if kind is Kind.TORSION:
        if abs((after - before + 180) % 360 - 180) < _ALIKE:
            return (
                f"{_angle(name)} spreads differently (mean {_degrees(before)} and then "
                f"{_degrees(after)})"
            )
        return f"{_angle(name)} turns from {_degrees(before)} to {_degrees(after)}"
    if kind is Kind.CONTACT:
        return _appears(f"contact {_pair(name)}", before, after)
    if kind is Kind.SALT_BRIDGE:
        return _appears(f"salt bridge {_pair(name)}", before, after)
    if kind is Kind.HYDROGEN_BOND:
        return _appears(f"hydrogen bond {_pair(name)}", before, after)
    if kind is Kind.LIGAND_DISTANCE:
        verb = "goes away" if after > before else "comes closer"
        return (
            f"ligand {name} {verb} (closest heavy atoms from {number(before, 1)} to "
            f"{number(after, 1)} Å)"
        )
    if kind is Kind.SOLVENT_EXPOSURE:
        verb = "more exposed" if after > before else "more buried"
        return (
            f"{name} is {verb} (surface that solvent can reach from "
            f"{number(before, 0)} to {number(after, 0)} Å²)"
        )
    verb = "grows" if after > before else "shrinks"
    what = f"RMSF of {name}" if kind is Kind.RMSF else name
    return f"{what} {verb} from {number(before)} to {number(after)} Å"


def _appears(what: str, before: float, after: float) -> str:
    """Tell a change of the share of frames in which something is there."""
    shares = f"(from {percent(before)} to {percent(after)} of the frames)"
    if before >= _MOSTLY and after <= _SELDOM:
        return f"{what} is lost {shares}"
    if before <= _SELDOM and after >= _MOSTLY:
        return f"{what} is made {shares}"
    return f"{what} becomes {'rarer' if after < before else 'more frequent'} {shares}"


def _secondary(difference: Difference) -> str:
    before, after = (
        dict(zip(_CLASSES, shares, strict=True))
        for shares in (difference.before, difference.after)
        if isinstance(shares, tuple)
    )
    old, new = (max(_CLASSES, key=shares.__getitem__) for shares in (before, after))
    if old != new:
        return (
            f"{difference.name} turns from {old} to {new} ({new} in "
            f"{percent(before[new])} and then {percent(after[new])} of the frames)"
        )
    word = max(_CLASSES, key=lambda c: abs(after[c] - before[c]))
    return _appears(f"{word} at {difference.name}", before[word], after[word])


def _pair(name: str) -> str:
    """Write a pair with a dash, unless a residue's number or name has one itself."""
    return name.replace("-", "\N{EN DASH}") if name.count("-") == 1 else name


def _angle(name: str) -> str:
    letter, _, owner = pretty_angle(name).partition(" ")
    return f"{letter} of {owner}"


def _degrees(angle: float) -> str:
    return f"{number(angle, 0)}°"
