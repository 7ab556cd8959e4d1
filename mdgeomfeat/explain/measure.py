"""What is measured of sampled frames, so that states can be compared in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from MDAnalysis.lib.distances import self_capped_distance
from numpy.typing import NDArray

from mdgeomfeat.boxes import has_box
from mdgeomfeat.descriptors import (
    closest_distances,
    plan_angles,
    rank_in_chain,
)
from mdgeomfeat.errors import InputError
from mdgeomfeat.explain.exposure import MAX_ATOMS, accessible_surface
from mdgeomfeat.explain.observables import (
    Angles,
    Classes,
    Fluctuations,
    Kind,
    Numbers,
    Observable,
    Shares,
)
from mdgeomfeat.explain.secondary import Backbone

if TYPE_CHECKING:
    from mdgeomfeat.structure import Structure

__all__ = ["CONTACT", "SALT_BRIDGE", "measure"]

#: Closest heavy atoms of two tokens in contact, Å.
CONTACT: Final = 4.5
#: A carboxylate oxygen and a nitrogen in a salt bridge, Å (Barlow & Thornton, J. Mol.
#: Biol. 168, 867, 1983).
SALT_BRIDGE: Final = 4.0
#: A ligand that moves less has neither come nor gone, Å.
LIGAND_MARGIN: Final = 1.0
#: A smaller change of the radius of gyration, as a share of it, is no other shape.
RADIUS_MARGIN: Final = 0.1
#: An area that one water molecule covers; smaller changes do not count, Å².
EXPOSURE_MARGIN: Final = 10.0
#: Frames in which pairs in contact are looked for before they are measured.
_SEARCHED: Final = 400
#: Tokens that are closer along a chain always touch; in chains shorter than twice
#: the distance, all but neighbours are compared.
_APART: Final = 3
#: Frames whose coordinates are taken in double precision at once.
_BLOCK: Final = 500

_ACIDS: Final = {"ASP": ("OD1", "OD2"), "GLU": ("OE1", "OE2")}
_CHAIN_END: Final = (("O", "OXT"), ("OT1", "OT2"), ("O1", "O2"))
_BASES: Final = {
    "LYS": ("NZ",),
    "ARG": ("NE", "NH1", "NH2"),
    "HIP": ("ND1", "NE2"),
    "HSP": ("ND1", "NE2"),
}
#: Side chains whose end looks the same after half a turn.
_SYMMETRIC: Final = {
    ("PHE", "chi2"),
    ("TYR", "chi2"),
    ("TYM", "chi2"),
    ("PTR", "chi2"),
    ("ASP", "chi2"),
    ("GLU", "chi3"),
}


def measure(
    structure: Structure,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None = None,
) -> list[Observable]:
    """Measure all that applies to a structure.

    Parameters
    ----------
    structure : Structure
    positions : (n, A, 3) ndarray, Å
        Frames with whole molecules, side by side.
    boxes : (n, 6) ndarray, optional
        Lengths in Å, angles in degrees. Distances between parts that nothing connects
        are those of the nearest image.

    Returns
    -------
    list of Observable
        Without those that the structure does not have.

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
    >>> from mdgeomfeat.explain import measure
    >>> [observable.kind.value for observable in measure(structure, positions)]
    ['contact', 'torsion', 'solvent_exposure', 'radius_of_gyration', 'rmsf']
    """
    if boxes is not None and not has_box(boxes).any():
        boxes = None
    ligands = _ligands(structure)
    polymer = np.setdiff1d(np.arange(structure.n_tokens), ligands)
    found = [
        *_ligand_distances(structure, positions, boxes, ligands, polymer),
        *_contacts(structure, positions, boxes),
        *_torsions(structure, positions, boxes),
        *_backbone(structure, positions),
        *_salt_bridges(structure, positions, boxes),
        *_exposure(structure, positions),
        *_sizes(structure, positions, polymer),
    ]
    return [observable for observable in found if observable.names]


def _heavy(structure: Structure) -> NDArray[np.bool_]:
    heavy = np.asarray(structure.numbers) > 1
    return heavy if heavy.any() else np.ones(structure.n_atoms, dtype=bool)


def _ligands(structure: Structure) -> NDArray[np.int64]:
    """Return tokens that nothing connects to another, beside molecules of several.

    A single residue between two gaps of a chain is none.
    """
    component = np.asarray(structure.component)
    token = np.asarray(structure.token_of_atom)
    pairs = np.unique(np.stack([component, token], axis=1), axis=0)
    owners, sizes = np.unique(pairs[:, 0], return_counts=True)
    if sizes.max() < 2:
        return np.empty(0, dtype=np.int64)
    alone = np.isin(pairs[:, 0], owners[sizes == 1])
    several = np.isin(np.arange(structure.n_tokens), pairs[~alone, 1])
    residue = np.zeros(structure.n_tokens, dtype=bool)
    names = np.asarray(structure.names)
    for trio in (("N", "CA", "C"), ("C3'", "C4'", "C5'")):
        has = [np.isin(np.arange(len(residue)), token[names == name]) for name in trio]
        residue |= np.logical_and.reduce(has)
    return np.flatnonzero(~several & ~residue)


def _closest(
    structure: Structure,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
    groups: Sequence[NDArray[np.int64]],
    pairs: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the distances (n, P) of the closest atoms of pairs of groups."""
    atoms = np.concatenate(groups)
    starts = np.cumsum([0, *(len(g) for g in groups[:-1])]).astype(np.int64)
    component = np.asarray(structure.component)[atoms]
    return closest_distances(positions, boxes, atoms, starts, component, pairs)


def _by_token(structure: Structure) -> list[NDArray[np.int64]]:
    """Return the heavy atoms of every token."""
    heavy = np.flatnonzero(_heavy(structure))
    token = np.asarray(structure.token_of_atom)[heavy]
    order = np.argsort(token, kind="stable")
    return np.split(
        heavy[order],
        np.searchsorted(token[order], np.arange(1, structure.n_tokens)),
    )


def _ligand_distances(
    structure: Structure,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
    ligands: NDArray[np.int64],
    polymer: NDArray[np.int64],
) -> Iterator[Observable]:
    """Yield how far each ligand is from what it may be bound to."""
    if not len(ligands):
        return
    groups = _by_token(structure)
    host = np.concatenate([groups[t] for t in polymer])
    kept = [int(t) for t in ligands if len(groups[t])]
    pairs = np.stack([np.arange(len(kept)), np.full(len(kept), len(kept))], axis=1)
    labels = structure.token_labels()
    yield Numbers(
        kind=Kind.LIGAND_DISTANCE,
        names=tuple(labels[t] for t in kept),
        tokens=tuple((t,) for t in kept),
        values=_closest(
            structure, positions, boxes, [*(groups[t] for t in kept), host], pairs
        ),
        margin=LIGAND_MARGIN,
    )


def _contacts(
    structure: Structure,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
) -> Iterator[Observable]:
    """Yield which tokens touch, of the pairs that do in some of the frames."""
    pairs = _touching(structure, positions, boxes)
    if not len(pairs):
        return
    groups = _by_token(structure)
    used, index = np.unique(pairs, return_inverse=True)
    near = _closest(
        structure,
        positions,
        boxes,
        [groups[t] for t in used],
        index.reshape(-1, 2).astype(np.int64),
    )
    labels = structure.token_labels()
    yield Shares(
        kind=Kind.CONTACT,
        names=tuple(f"{labels[i]}-{labels[j]}" for i, j in pairs),
        tokens=tuple((int(i), int(j)) for i, j in pairs),
        there=near < CONTACT,
    )


def _touching(
    structure: Structure,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
) -> NDArray[np.int64]:
    """Return pairs (P, 2) of tokens that touch in some of the frames."""
    heavy = np.flatnonzero(_heavy(structure))
    token = np.asarray(structure.token_of_atom)[heavy]
    n = structure.n_tokens
    seen = np.empty(0, dtype=np.int64)
    some = np.linspace(0, len(positions) - 1, min(len(positions), _SEARCHED))
    for f in some.astype(np.int64).tolist():
        frame = positions[f][heavy]
        box = None if boxes is None or not has_box(boxes[f]).all() else boxes[f]
        near = self_capped_distance(
            (frame - frame[0]).astype(np.float32),
            CONTACT,
            box=None if box is None else np.asarray(box, np.float32),
            return_distances=False,
        )
        near = np.sort(token[near], axis=1)
        seen = np.union1d(seen, near[:, 0] * n + near[:, 1])
    i, j = seen // n, seen % n
    chain, rank = np.asarray(structure.chain), rank_in_chain(structure)
    length = np.bincount(chain)[chain[i]]
    apart = np.where(length < 2 * _APART, 2, _APART)
    kept = (chain[i] != chain[j]) | (np.abs(rank[i] - rank[j]) >= apart)
    return np.stack([i[kept], j[kept]], axis=1)


def _torsions(
    structure: Structure,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
) -> Iterator[Observable]:
    try:
        plan = plan_angles(structure, positions[0], side_chains=True)
    except InputError:
        return  # no residue with named torsions
    labels = structure.token_labels()
    owner = {label: token for token, label in enumerate(labels)}
    split = [name.rpartition(":")[::2] for name in plan.names]
    tokens = [owner[label] for label, _ in split]
    resnames = structure.tokens["resname"]
    folds = [
        2 if (str(resnames[token]), kind) in _SYMMETRIC else 1
        for token, (_, kind) in zip(tokens, split, strict=True)
    ]
    yield Angles(
        kind=Kind.TORSION,
        names=tuple(plan.names),
        tokens=tuple((token,) for token in tokens),
        values=plan.compute(positions, boxes),
        folds=np.array(folds, dtype=np.int64),
    )


def _backbone(
    structure: Structure, positions: NDArray[np.floating]
) -> Iterator[Observable]:
    """Yield secondary structure, and hydrogen bonds of the main chain."""
    backbone = Backbone(structure)
    if len(backbone.tokens) < 2:
        return
    labels = structure.token_labels()
    tokens = backbone.tokens.tolist()
    classes, bonds = backbone.assign(positions)
    yield Classes(
        kind=Kind.SECONDARY_STRUCTURE,
        names=tuple(labels[t] for t in tokens),
        tokens=tuple((t,) for t in tokens),
        member=classes,
    )
    n = len(tokens)
    keys = [pairs[:, 0] * n + pairs[:, 1] for pairs in bonds]
    every, counts = np.unique(np.concatenate(keys), return_counts=True)
    every = every[counts > 1]  # what is seen once tells nothing of a state
    there = np.array([np.isin(every, own) for own in keys]).reshape(len(keys), -1)
    ends = [(tokens[key // n], tokens[key % n]) for key in every.tolist()]
    yield Shares(
        kind=Kind.HYDROGEN_BOND,
        names=tuple(f"{labels[i]}:N-{labels[j]}:O" for i, j in ends),
        tokens=tuple(ends),
        there=there,
    )


def _salt_bridges(
    structure: Structure,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
) -> Iterator[Observable]:
    """Yield bridges between carboxylates and the charged ends of side chains."""
    named: list[dict[str, int]] = [{} for _ in range(structure.n_tokens)]
    for atom, (token, name) in enumerate(
        zip(structure.token_of_atom.tolist(), structure.names.tolist(), strict=True)
    ):
        named[token][name] = atom
    acids, bases = [], []
    for token, atoms in enumerate(named):
        resname = str(structure.tokens["resname"][token])
        chain_ends = _CHAIN_END if "CA" in atoms else ()
        acids += _ends(token, atoms, [_ACIDS.get(resname, ()), *chain_ends])
        bases += _ends(token, atoms, [_BASES.get(resname, ())])
    if not acids or not bases:
        return
    groups = [np.array(atoms, dtype=np.int64) for _, atoms in (*acids, *bases)]
    pairs = np.array(
        [
            (i, len(acids) + j)
            for i, (acid, _) in enumerate(acids)
            for j, (base, _) in enumerate(bases)
            if acid != base
        ],
        dtype=np.int64,
    ).reshape(-1, 2)
    if not len(pairs):
        return
    owner = [token for token, _ in (*acids, *bases)]
    near = _closest(structure, positions, boxes, groups, pairs) < SALT_BRIDGE
    labels = structure.token_labels()
    kept = np.flatnonzero(near.any(axis=0))
    ends_of = [(owner[i], owner[j]) for i, j in pairs[kept].tolist()]
    yield Shares(
        kind=Kind.SALT_BRIDGE,
        names=tuple(f"{labels[i]}-{labels[j]}" for i, j in ends_of),
        tokens=tuple(ends_of),
        there=near[:, kept],
    )


def _ends(
    token: int, atoms: dict[str, int], ends: Sequence[tuple[str, ...]]
) -> list[tuple[int, list[int]]]:
    """Return token and atoms of the charged ends that are all there."""
    return [
        (token, [atoms[name] for name in end])
        for end in ends
        if end and set(end) <= atoms.keys()
    ]


def _exposure(
    structure: Structure, positions: NDArray[np.floating]
) -> Iterator[Observable]:
    """Yield the accessible surface of every token, where that is cheap."""
    heavy = np.flatnonzero(np.asarray(structure.numbers) > 1)
    if not 0 < len(heavy) <= MAX_ATOMS:
        return
    tokens = np.unique(np.asarray(structure.token_of_atom)[heavy]).tolist()
    labels = structure.token_labels()
    yield Numbers(
        kind=Kind.SOLVENT_EXPOSURE,
        names=tuple(labels[t] for t in tokens),
        tokens=tuple((t,) for t in tokens),
        values=accessible_surface(structure, positions, heavy)[:, tokens],
        margin=EXPOSURE_MARGIN,
    )


def _sizes(
    structure: Structure, positions: NDArray[np.floating], polymer: NDArray[np.int64]
) -> Iterator[Observable]:
    """Yield the radius of gyration without ligands, and fluctuations of tokens."""
    token = np.asarray(structure.token_of_atom)
    heavy = _heavy(structure)
    inside = np.flatnonzero(heavy & np.isin(token, polymer))
    centres = np.empty((len(positions), structure.n_tokens, 3))
    radii = np.empty(len(positions))
    members = _by_token(structure)
    for f in range(0, len(positions), _BLOCK):
        block = positions[f : f + _BLOCK].astype(np.float64)
        for t, atoms in enumerate(members):
            own = atoms if len(atoms) else np.flatnonzero(token == t)
            centres[f : f + _BLOCK, t] = block[:, own].mean(axis=1)
        shape = block[:, inside] - block[:, inside].mean(axis=1, keepdims=True)
        radii[f : f + _BLOCK] = np.sqrt((shape**2).sum(axis=2).mean(axis=1))
    yield Numbers(
        kind=Kind.RADIUS_OF_GYRATION,
        names=("radius of gyration",),
        tokens=((),),
        values=radii[:, None],
        margin=RADIUS_MARGIN * float(radii.mean()),
    )
    if len(polymer) > 2:
        fitted = np.isin(np.arange(structure.n_tokens), polymer).astype(np.float64)
        yield Fluctuations(
            kind=Kind.RMSF,
            names=tuple(structure.token_labels()),
            tokens=tuple((t,) for t in range(structure.n_tokens)),
            points=centres,
            fitted=fitted,
        )
