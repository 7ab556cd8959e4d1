"""Plain quantities of every token in two sets of frames, beside what a network sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.explain.observables import Angles, Kind, Observable
from mdgeomfeat.explain.sample import Sample

__all__ = ["PlainToken", "Turn", "plain_tokens"]

#: Change of the share of frames from which a contact counts as made or lost.
CHANGED: Final = 0.3


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A torsion in both sets of frames.

    Attributes
    ----------
    name : str
        Such as ``"A:LEU42:phi"``.
    before, after : float
        Circular means, degrees.
    effect : float
        Half the distance of the mean points on the circle, 0 to 1.

    Examples
    --------
    >>> from mdgeomfeat.explain import Turn
    >>> turn = Turn(name="A:LEU42:phi", before=-60.0, after=150.0, effect=0.9)
    >>> (turn.after - turn.before) % 360  # degrees
    210.0
    """

    name: str
    before: float
    after: float
    effect: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able record."""
        return {
            "name": self.name,
            "before": self.before,
            "after": self.after,
            "effect": self.effect,
        }


@dataclass(frozen=True, kw_only=True)
class PlainToken:
    """What plain quantities say of a token.

    Attributes
    ----------
    turn : Turn or None
        The torsion of the main or side chain that differs most.
    rmsf : tuple of float, Å
        Fluctuation of the token's centre in either set; NaN where it is not known.
    made, lost : tuple of int
        Tokens with which contacts are made or lost in at least 30 % of the frames.

    Examples
    --------
    >>> from mdgeomfeat.explain import PlainToken, Turn
    >>> turn = Turn(name="A:LEU42:phi", before=-60.0, after=150.0, effect=0.9)
    >>> token = PlainToken(turn=turn, rmsf=(0.6, 1.4), made=(3,))
    >>> token.turn.name, token.made, token.lost
    ('A:LEU42:phi', (3,), ())
    """

    turn: Turn | None = None
    rmsf: tuple[float, float] = (np.nan, np.nan)
    made: tuple[int, ...] = ()
    lost: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able record, with tokens counted from 1."""
        return {
            "turn": None if self.turn is None else self.turn.to_dict(),
            "rmsf": list(self.rmsf),
            "contacts_made": [token + 1 for token in self.made],
            "contacts_lost": [token + 1 for token in self.lost],
        }


@dataclass
class _Found:
    turns: list[Turn] = field(default_factory=list)
    rmsf: tuple[float, float] = (np.nan, np.nan)
    made: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)


def plain_tokens(
    observables: Sequence[Observable], sample: Sample, n_tokens: int
) -> tuple[PlainToken, ...]:
    """Say what differs between the frames of state 0 and those of state 1, by token.

    Parameters
    ----------
    observables : sequence of Observable
        Of the sample, see :func:`~mdgeomfeat.explain.measure.measure`.
    sample : Sample
        Of two states: the two sets of frames.
    n_tokens : int

    Returns
    -------
    tuple of N PlainToken

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> import numpy as np
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.explain import draw_sample
    >>> from mdgeomfeat.structure import select_atoms
    >>> u = mda.Universe("top.pdb", "run.xtc")
    >>> atoms = select_atoms(u)
    >>> structure = Structure.from_atomgroup(atoms)
    >>> positions = np.array([atoms.positions.copy() for _ in u.trajectory])
    >>> ends = np.linalg.norm(positions[:, 0] - positions[:, -1], axis=1)
    >>> states = (ends > np.median(ends)).astype(int)  # compact and extended
    >>> sample = draw_sample(states, np.arange(200) // 50, 2)
    >>> from mdgeomfeat.explain import measure, plain_tokens
    >>> tokens = plain_tokens(measure(structure, positions), sample, structure.n_tokens)
    >>> len(tokens), tokens[1].turn.name
    (3, 'A:GLY2:psi')
    """
    found = [_Found() for _ in range(n_tokens)]
    a, b = (sample.of(side) for side in range(2))
    of_a, of_b = (sample.weights[own] / sample.weights[own].sum() for own in (a, b))
    for one in observables:
        values = [one.value(a, of_a), one.value(b, of_b)]
        if one.kind is Kind.TORSION and isinstance(one, Angles):
            _add_turns(found, one, values, one.contrast(a, b, of_a, of_b))
        elif one.kind is Kind.CONTACT:
            _add_contacts(found, one, values)
        elif one.kind is Kind.RMSF:
            for (token,), before, after in zip(one.tokens, *values, strict=True):
                found[token].rmsf = (float(before), float(after))
    return tuple(
        PlainToken(
            turn=max(f.turns, key=lambda turn: turn.effect, default=None),
            rmsf=f.rmsf,
            made=tuple(f.made),
            lost=tuple(f.lost),
        )
        for f in found
    )


def _add_turns(
    found: list[_Found],
    angles: Angles,
    values: list[NDArray[np.float64]],
    contrast: NDArray[np.float64],
) -> None:
    effects = angles.scale * np.linalg.norm(contrast, axis=1)
    for k, name in enumerate(angles.names):
        turn = Turn(
            name=name,
            before=float(values[0][k]),
            after=float(values[1][k]),
            effect=float(effects[k]),
        )
        found[angles.tokens[k][0]].turns.append(turn)


def _add_contacts(
    found: list[_Found], contacts: Observable, values: list[NDArray[np.float64]]
) -> None:
    for (i, j), before, after in zip(contacts.tokens, *values, strict=True):
        if abs(after - before) < CHANGED:
            continue
        for token, other in ((i, j), (j, i)):
            side = found[token].made if after > before else found[token].lost
            side.append(other)
