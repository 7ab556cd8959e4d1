"""Which atoms are analysed: the default choice, and what a user's choice means."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.structure.elements import UNKNOWN, VIRTUAL, element_numbers
from mdgeomfeat.structure.left_out import say_left_out
from mdgeomfeat.structure.residues import CO_SOLVENTS
from mdgeomfeat.structure.topology import AtomTable
from mdgeomfeat.structure.unmatched import say_unmatched

if TYPE_CHECKING:
    import mdtraj
    from MDAnalysis.core.groups import AtomGroup
    from MDAnalysis.core.universe import Universe

__all__ = [
    "default_atoms",
    "mdtraj_atoms",
    "one_location",
    "pick",
    "select_atoms",
    "solute",
]

# Atoms of one name nearer than this are one atom (Å).
_SAME_PLACE = 0.1


def select_atoms(
    universe_or_atomgroup: Universe | AtomGroup, select: str | None = None
) -> AtomGroup:
    """Pick the atoms to analyse.

    Parameters
    ----------
    universe_or_atomgroup : MDAnalysis Universe or AtomGroup
        An AtomGroup is itself a choice: without ``select``, its heavy atoms.
    select : str, optional
        An MDAnalysis selection, taken at its word (hydrogens included) except for
        virtual sites and dummy atoms. It may also say ``group default`` (what is
        chosen without ``select``) and ``group heavy`` (all heavy atoms), as in
        ``group default or (group heavy and resname NDP)``. By default: the heavy
        atoms of the protein
        (residues that MDAnalysis calls protein, residues with N, CA and C, caps
        attached to those), else of the nucleic acids, else of everything that is
        neither solvent nor ion.

    Returns
    -------
    AtomGroup
        In the order of the topology, each atom once, one of the alternate locations.

    Raises
    ------
    InputError
        If the selection cannot be read or matches nothing.

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat.structure import select_atoms
    >>> u = mda.Universe("top.pdb")
    >>> u.atoms.n_atoms, select_atoms(u).n_atoms
    (19, 9)
    >>> select_atoms(u, "name CA").names.tolist()
    ['CA']
    >>> select_atoms(u, "resname LEU")
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: select='resname LEU' matches none of the 19 ...
    """
    table = AtomTable.from_universe(universe_or_atomgroup.universe)
    return universe_or_atomgroup.universe.atoms[
        pick(universe_or_atomgroup, select, table)
    ]


def pick(
    universe_or_atomgroup: Universe | AtomGroup, select: str | None, table: AtomTable
) -> np.ndarray:
    """Find the atoms that :func:`select_atoms` returns, (A,) int64.

    Parameters
    ----------
    universe_or_atomgroup, select
        As there.
    table : AtomTable
        Of the Universe.

    Raises
    ------
    InputError
        As there.
    """
    group = universe_or_atomgroup.atoms
    whole = universe_or_atomgroup is group.universe
    if select is not None:
        if not isinstance(select, str):
            raise InputError(
                f"select={select!r} is not text; write a selection like 'protein and "
                "not name H*', or pass an AtomGroup in place of the Universe."
            )
        group = _matching(universe_or_atomgroup, select, table)
    if select is None and whole:
        indices = default_atoms(table)
    else:
        indices = np.unique(group.ix)
        numbers, _ = element_numbers(table, indices)
        if select is None:
            indices = indices[(numbers > 1) | (numbers == UNKNOWN)]
            described = "The AtomGroup holds no heavy atoms"
        else:
            _say_sites(table, indices[numbers == VIRTUAL])
            indices = indices[numbers != VIRTUAL]
            described = f"select={select!r} holds only virtual sites or dummy atoms"
        if not len(indices):
            raise InputError(
                f"{described}; choose atoms that have a nucleus, for instance "
                "select='all'."
            )
    return one_location(table, indices)


def default_atoms(table: AtomTable) -> np.ndarray:
    """Find the heavy atoms of what is analysed by default.

    Parameters
    ----------
    table : AtomTable

    Returns
    -------
    (A,) ndarray of int64

    Raises
    ------
    InputError
        If nothing but solvent and ions is there.
    """
    heavy, chosen, word = _default(table)
    atoms = np.flatnonzero(chosen[table.residue])
    numbers, _ = element_numbers(table, atoms)
    _say_sites(table, atoms[numbers == VIRTUAL])
    others = ~chosen & ~table.is_water
    say_left_out(table, others, heavy, select="group default", word=word)
    return heavy


def _default(table: AtomTable) -> tuple[np.ndarray, np.ndarray, str]:
    """Return the default atoms (A,), the residues they are of (R,), what these are."""
    for word, chosen in (
        ("protein", table.is_protein),
        ("nucleic acid", table.is_nucleic),
        ("solute", solute(table)),
    ):
        atoms = np.flatnonzero(chosen[table.residue])
        numbers, _ = element_numbers(table, atoms)
        # Unknown names are kept here, to be refused by name later.
        heavy = atoms[(numbers > 1) | (numbers == UNKNOWN)]
        if len(heavy):
            return heavy, chosen, word
    raise InputError(
        f"The topology holds only solvent and ions ({_kinds(table.resnames)}); name "
        "the atoms to analyse with select, for instance select='all'."
    )


def one_location(table: AtomTable, indices: np.ndarray) -> np.ndarray:
    """Keep one of several alternate locations per residue, and every atom once.

    Both are said. An atom is there twice where one of the same name stands in the same
    residue at the same place, without being called an alternate location.

    Parameters
    ----------
    table : AtomTable
    indices : (A,) ndarray of int64

    Returns
    -------
    (A',) int64 array
        Without the atoms of all locations but the one of highest occupancy (the
        first by name if equal) of each residue position, and without repeats.
    """
    return _each_once(table, _fullest(table, indices))


def _fullest(table: AtomTable, indices: np.ndarray) -> np.ndarray:
    alternate = table.altlocs[indices] != ""
    if not alternate.any():
        return indices
    places: dict[tuple[Any, ...], dict[str, list[float]]] = {}
    keys = {}
    for atom in indices[alternate]:
        r = table.residue[atom]
        # Without the residue name: the locations may be different residues.
        key = (table.segids[r], table.chainids[r], table.resids[r], table.icodes[r])
        keys[int(atom)] = key
        weights = places.setdefault(key, {}).setdefault(str(table.altlocs[atom]), [])
        weights.append(float(table.occupancies[atom]))
    kept = {
        key: min(found, key=lambda a: (-float(np.mean(found[a])), a))
        for key, found in places.items()
    }
    drop = {a for a, key in keys.items() if table.altlocs[a] != kept[key]}
    if drop:
        several = [key for key, found in places.items() if len(found) > 1]
        shown = ", ".join(f"{k[1] or k[0]}:{k[2]}{k[3]}" for k in several[:5])
        warnings.warn(
            f"Alternate locations in {len(several)} of the residues ({shown}"
            f"{', …' if len(several) > 5 else ''}): the one of highest occupancy is "
            f"kept, {len(drop)} atoms are left out.",
            MDGeomFeatWarning,
            stacklevel=5,
        )
    return np.array([a for a in indices if int(a) not in drop], dtype=np.int64)


def _each_once(table: AtomTable, indices: np.ndarray) -> np.ndarray:
    # A first frame without any extent holds no places.
    if table.positions is None or not np.ptp(table.positions, axis=0).any():
        return indices
    named: dict[tuple[Any, ...], list[int]] = {}
    for atom in indices.tolist():
        r = table.residue[atom]
        # Whole residues that stand twice in a file are two in the table.
        key = (
            table.segids[r], table.chainids[r], table.resids[r], table.icodes[r],
            table.resnames[r], table.names[atom],
        )  # fmt: skip
        named.setdefault(key, []).append(atom)
    drop: list[int] = []
    for key, atoms in named.items():
        places = table.positions[atoms]
        if len(atoms) == 1 or not key[-1]:
            continue
        for i in range(1, len(atoms)):
            apart = np.linalg.norm(places[:i] - places[i], axis=1)
            if apart.min() < _SAME_PLACE:
                drop.append(atoms[i])
    if drop:
        shown = ", ".join(
            f"{table.chainids[r] or table.segids[r]}:{table.resnames[r]}"
            f"{table.resids[r]}{table.icodes[r]}:{table.names[a]}"
            for a in drop[:5]
            for r in [table.residue[a]]
        )
        warnings.warn(
            f"{len(drop)} atoms stand in the topology once more, at the same place in "
            f"the same residue ({shown}{', …' if len(drop) > 5 else ''}): one of each "
            "is kept.",
            MDGeomFeatWarning,
            stacklevel=5,
        )
    return indices[~np.isin(indices, drop)]


def mdtraj_atoms(
    topology: mdtraj.Topology, table: AtomTable, select: str
) -> np.ndarray:
    """Find the atoms of a selection in mdtraj's language, (A,) int64.

    Parameters
    ----------
    topology : mdtraj.Topology
    table : AtomTable
        Of the same atoms.
    select : str

    Raises
    ------
    InputError
        If mdtraj does not understand the selection, or it picks no atom.
    """
    indices: np.ndarray
    try:
        indices = np.unique(np.asarray(topology.select(select), dtype=np.int64))
    except Exception as error:  # mdtraj raises what its parser and eval raise
        raise InputError(
            f"select={select!r} is not a selection that mdtraj understands "
            f"({' '.join(str(error).split())}); write one like 'protein and not "
            "element H'."
        ) from error
    numbers, _ = element_numbers(table, indices)
    _say_sites(table, indices[numbers == VIRTUAL])
    indices = indices[numbers != VIRTUAL]
    if not len(indices):
        raise InputError(
            f"select={select!r} matches none of the {table.n_atoms} atoms; the "
            f"residues here are {_kinds(table.resnames)}."
        )
    return indices


def _matching(group: Universe | AtomGroup, select: str, table: AtomTable) -> AtomGroup:
    atoms = group.universe.atoms
    named = {}
    words = select.replace("(", " ").replace(")", " ").split()
    others = np.zeros(table.n_residues, dtype=bool)
    if "default" in words:
        heavy, chosen, _ = _default(table)
        others = ~chosen & ~table.is_water
        named["default"] = atoms[heavy]
    if "heavy" in words:
        numbers, _ = element_numbers(table, np.arange(table.n_atoms))
        named["heavy"] = atoms[(numbers > 1) | (numbers == UNKNOWN)]
    try:
        found = group.select_atoms(select, **named)
    except Exception as error:  # the parser raises whatever it stumbles over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"select={select!r} is not a selection that MDAnalysis understands "
            f"({reason}); write one like 'protein and not name H*'."
        ) from error
    if not len(found):
        raise InputError(
            f"select={select!r} matches none of the {len(group.atoms)} atoms; the "
            f"residues here are {_kinds(_resnames(group))}."
        )
    say_unmatched(group, select, named, _kinds(_resnames(group)))
    # What the user's own words have added is no longer left out.
    others[table.residue[found.ix]] = False
    say_left_out(table, others, found.ix, select=f"({select})", word="selection")
    return found


def _resnames(group: Universe | AtomGroup) -> np.ndarray:
    return getattr(group.atoms.residues, "resnames", np.array([], dtype=object))


def solute(table: AtomTable) -> np.ndarray:
    """Return which residues (R,) are neither solvent nor single ions.

    Parameters
    ----------
    table : AtomTable
    """
    solvent = table.is_water | np.isin(table.resnames, list(CO_SOLVENTS))
    lone = (table.residue_size == 1) & (
        np.bincount(table.residue, weights=table.bond_count) == 0
    )
    # A file without residue names may give one residue per atom: no ions then.
    if not any(table.resnames):
        lone[:] = False
    rest: np.ndarray = ~solvent & ~lone
    return rest


def _kinds(resnames: np.ndarray, limit: int = 8) -> str:
    names, counts = np.unique([str(r) for r in resnames], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    listed = ", ".join(
        f"{names[i] or '(no name)'} ({counts[i]})" for i in order[:limit]
    )
    return listed + (", …" if len(names) > limit else "") or "(none)"


def _say_sites(table: AtomTable, sites: np.ndarray) -> None:
    if len(sites):
        names = sorted({str(n) for n in table.names[sites]})
        warnings.warn(
            f"{len(sites)} virtual sites or dummy atoms are left out ("
            f"{' '.join(names[:8])}{' …' if len(names) > 8 else ''}).",
            MDGeomFeatWarning,
            stacklevel=5,
        )
