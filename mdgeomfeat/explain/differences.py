"""What differs between states, ranked by what one half of the data tells of the other.

A difference that is picked because it is large is larger than it truly is, and of many
that were looked at some are large by chance. So every difference is measured in two
halves: how far half B differs in the direction found in half A, and the reverse. The
mean of the two is the held-out effect. Noise has one of about 0, and it alone ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.explain.measure import measure
from mdgeomfeat.explain.observables import Kind, Observable
from mdgeomfeat.explain.sample import MIN_FRAMES, Sample
from mdgeomfeat.kinetics.arrays import listed
from mdgeomfeat.structure import Structure

__all__ = [
    "Difference",
    "StateComparison",
    "StateDifferences",
    "compare_measured",
    "compare_states",
]

#: Differences of a state that are kept, and the smallest effect of one.
MAX_KEPT: Final = 40
MIN_EFFECT: Final = 0.1
#: Of the effect found in a half, what the other must show for it to be stable.
_STABLE: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One quantity in a state, compared with the reference state.

    Attributes
    ----------
    kind : Kind
    name : str
        Of the torsion, the pair, the residue or the ligand.
    tokens : tuple of int
        The tokens that it concerns.
    before, after : float or tuple of float
        Its value in the reference state and in this one: degrees of torsions, shares
        of frames of contacts, bridges and bonds, shares of coil, helix and strand of
        secondary structure, Å² of solvent exposure, else Å.
    effect : float
        Effect size over all frames, 0 to 1, see
        :mod:`mdgeomfeat.explain.observables`.
    held_out : float or None
        Effect size in each half along the direction found in the other, mean of
        both, -1 to 1; None where a state is not in both halves.
    stable : bool or None
        Whether each half shows at least half of the effect found in the other.

    Examples
    --------
    >>> from mdgeomfeat.explain import Difference, Kind
    >>> turn = Difference(
    ...     kind=Kind.TORSION, name="A:ALA2:phi", tokens=(1,), before=-80.0, after=60.0,
    ...     effect=0.9, held_out=0.88, stable=True,
    ... )
    >>> turn.name, turn.effect
    ('A:ALA2:phi', 0.9)
    """

    kind: Kind
    name: str
    tokens: tuple[int, ...]
    before: float | tuple[float, ...]
    after: float | tuple[float, ...]
    effect: float
    held_out: float | None
    stable: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able record, with tokens counted from 1."""
        return {
            "kind": self.kind.value,
            "name": self.name,
            "tokens": [token + 1 for token in self.tokens],
            "before": self.before,
            "after": self.after,
            "effect": self.effect,
            "held_out": self.held_out,
            "stable": self.stable,
        }


@dataclass(frozen=True, kw_only=True)
class StateComparison:
    """A state, compared with the reference state.

    Attributes
    ----------
    state : int
        Counted from 0.
    checked : bool
        Whether both states are in both halves, so that effects could be held out.
    differences : tuple of Difference
        The largest first: by held-out effect where there is one.

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
    >>> from mdgeomfeat.explain import compare_states
    >>> (one,) = compare_states(structure, positions, None, sample).compared
    >>> one.state, one.checked, one.differences[0].kind.value
    (1, True, 'contact')
    """

    state: int
    checked: bool
    differences: tuple[Difference, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able record, with states counted from 1."""
        return {
            "state": self.state + 1,
            "checked": self.checked,
            "ranked": [difference.to_dict() for difference in self.differences],
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class StateDifferences:
    """What differs between states.

    Attributes
    ----------
    reference : int
        The state that others are compared with, counted from 0.
    split : {"trajectories", "times"}
        What the halves are.
    n_frames : (S,) ndarray of int64
        Frames of each state that were looked at.
    compared : tuple of StateComparison
        One for each other state with enough frames.
    radius_of_gyration : (S,) ndarray, Å
        Mean over the frames of a state of that of the heavy atoms, equally weighted,
        without ligands; NaN for a state with too few frames.
    rmsf : (S, N) ndarray, Å
        Fluctuation of each token's centre within a state, NaN as above.

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
    >>> from mdgeomfeat.explain import compare_states
    >>> found = compare_states(structure, positions, None, sample)
    >>> [one.state for one in found.compared], found.rmsf.shape
    ([1], (2, 3))
    """

    reference: int
    split: str
    n_frames: NDArray[np.int64]
    compared: tuple[StateComparison, ...]
    radius_of_gyration: NDArray[np.float64]
    rmsf: NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able record, with states counted from 1."""
        return {
            "reference": self.reference + 1,
            "split": self.split,
            "n_frames": self.n_frames.tolist(),
            "compared": [one.to_dict() for one in self.compared],
            "radius_of_gyration": listed(self.radius_of_gyration),
            "rmsf": listed(self.rmsf),
        }


def compare_states(
    structure: Structure,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
    sample: Sample,
    *,
    reference: int = 0,
) -> StateDifferences | None:
    """Rank what differs between a reference state and every other.

    Looked at are contacts of tokens (closest heavy atoms within 4.5 Å, at least three
    apart along a chain, two in chains of less than six), named torsions, secondary
    structure and backbone hydrogen bonds (MDAnalysis's DSSP), salt bridges within 4 Å,
    distances of ligands, the surface of tokens that solvent can reach (up to 2,000
    heavy atoms), the radius of gyration, and fluctuations of tokens about the mean
    structure of a state.

    Parameters
    ----------
    structure : Structure
    positions : (n, A, 3) ndarray, Å
        The sampled frames, with whole molecules.
    boxes : (n, 6) ndarray or None
        Lengths in Å, angles in degrees.
    sample : Sample
        Which frames they are.
    reference : int
        State that the others are compared with, counted from 0.

    Returns
    -------
    StateDifferences or None
        None where fewer than two states, or not the reference, have at least ten
        frames.

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
    >>> from mdgeomfeat.explain import compare_states
    >>> found = compare_states(structure, positions, None, sample)
    >>> found.reference, found.n_frames.tolist()
    (0, [100, 100])
    """
    enough = _enough(sample)
    if not enough[reference] or sum(enough) < 2:
        return None
    return compare_measured(
        measure(structure, positions, boxes),
        sample,
        structure.n_tokens,
        reference=reference,
    )


def compare_measured(
    observables: Sequence[Observable],
    sample: Sample,
    n_tokens: int,
    *,
    reference: int = 0,
) -> StateDifferences:
    """Rank what differs between a reference state and every other.

    Parameters
    ----------
    observables : sequence of Observable
        Of the sampled frames.
    sample : Sample
        With enough frames of the reference state.
    n_tokens : int
    reference : int
        State that the others are compared with, counted from 0.

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
    >>> from mdgeomfeat.explain import compare_measured, measure
    >>> observables = measure(structure, positions)
    >>> found = compare_measured(observables, sample, structure.n_tokens)
    >>> len(found.compared)
    1
    """
    enough = _enough(sample)
    others = [s for s in range(sample.n_states) if enough[s] and s != reference]
    known = np.flatnonzero(enough).tolist()
    radius, rmsf = (
        _per_state(observables, kind, sample, known, width)
        for kind, width in (
            (Kind.RADIUS_OF_GYRATION, 1),
            (Kind.RMSF, n_tokens),
        )
    )
    return StateDifferences(
        reference=reference,
        split=sample.split,
        n_frames=np.bincount(sample.states, minlength=sample.n_states),
        compared=tuple(_compare(observables, sample, reference, s) for s in others),
        radius_of_gyration=radius[:, 0],
        rmsf=rmsf,
    )


def _enough(sample: Sample) -> list[bool]:
    """Return which states have frames enough to be compared."""
    return [len(sample.of(s)) >= MIN_FRAMES for s in range(sample.n_states)]


def _per_state(
    observables: Sequence[Observable],
    kind: Kind,
    sample: Sample,
    states: Sequence[int],
    width: int,
) -> NDArray[np.float64]:
    """Return (S, width) values of one kind, NaN for other states."""
    out = np.full((sample.n_states, width), np.nan)
    for observable in observables:
        if observable.kind is kind:
            for state in states:
                places = sample.of(state)
                out[state] = observable.value(places, _weights(sample, places))
    return out


def _compare(
    observables: Sequence[Observable], sample: Sample, reference: int, state: int
) -> StateComparison:
    checked = all(
        len(sample.of(s, half)) >= MIN_FRAMES
        for s in (reference, state)
        for half in range(2)
    )
    found: list[Difference] = []
    for observable in observables:
        found += _differences(observable, sample, reference, state, checked)
    ranked = sorted(found, key=_rank)
    return StateComparison(
        state=state, checked=checked, differences=tuple(ranked[:MAX_KEPT])
    )


def _rank(difference: Difference) -> tuple[float, int, float]:
    """Return what orders differences: the surest first, then by kind and size."""
    size = difference.effect if difference.held_out is None else difference.held_out
    return (
        -round(size, 2),
        list(Kind).index(difference.kind),
        -difference.effect,
    )


def _differences(
    observable: Observable, sample: Sample, reference: int, state: int, checked: bool
) -> list[Difference]:
    """Return the differences of one kind whose effect is not small."""
    everything = _contrast(observable, sample, reference, state, None)
    effect = observable.scale * np.linalg.norm(everything, axis=1)
    held_out: NDArray[np.float64] | None = None
    stable: NDArray[np.bool_] | None = None
    if checked:
        a, b = (
            observable.scale * _contrast(observable, sample, reference, state, half)
            for half in range(2)
        )
        size_a, size_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        common = (a * b).sum(axis=1)
        b_along_a = common / np.maximum(size_a, 1e-12)
        a_along_b = common / np.maximum(size_b, 1e-12)
        held_out = (b_along_a + a_along_b) / 2
        stable = (b_along_a >= _STABLE * size_a) & (a_along_b >= _STABLE * size_b)
    before, after = (_value(observable, sample, s) for s in (reference, state))
    size = effect if held_out is None else np.minimum(effect, held_out)
    return [
        Difference(
            kind=observable.kind,
            name=observable.names[i],
            tokens=observable.tokens[i],
            before=_plain(before[i]),
            after=_plain(after[i]),
            effect=float(effect[i]),
            held_out=None if held_out is None else float(held_out[i]),
            stable=None if stable is None else bool(stable[i]),
        )
        for i in np.flatnonzero(size >= MIN_EFFECT)
    ]


def _contrast(
    observable: Observable,
    sample: Sample,
    reference: int,
    state: int,
    half: int | None,
) -> NDArray[np.float64]:
    a, b = sample.of(reference, half), sample.of(state, half)
    return observable.contrast(a, b, _weights(sample, a), _weights(sample, b))


def _value(observable: Observable, sample: Sample, state: int) -> NDArray[np.float64]:
    places = sample.of(state)
    return observable.value(places, _weights(sample, places))


def _weights(sample: Sample, places: NDArray[np.int64]) -> NDArray[np.float64]:
    weights = sample.weights[places]
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _plain(value: NDArray[np.float64]) -> float | tuple[float, ...]:
    return tuple(value.tolist()) if value.ndim else float(value)
