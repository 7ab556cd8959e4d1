"""Atomic numbers of atoms, from whatever a topology knows about them.

The order is: the element column where it is not blank; the type, if all types of
the topology are element symbols; the name read together with the residue name. A
mass only decides between elements that the name allows (``CA`` in a ligand), and
never in a system with repartitioned hydrogen masses. Virtual sites, lone pairs,
Drude particles and dummy atoms get the number 0.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.errors import AssumptionWarning, InputError
from mdgeomfeat.structure.residues import (
    ION_NAMES,
    SYMBOLS,
    WATERS,
    nucleic_names,
    protein_names,
)
from mdgeomfeat.structure.topology import AtomTable

if TYPE_CHECKING:
    from MDAnalysis.core.groups import AtomGroup

__all__ = [
    "SYMBOLS",
    "UNKNOWN",
    "VIRTUAL",
    "element_numbers",
    "is_unmistakable",
    "resolve_elements",
    "symbol_of",
]

VIRTUAL = 0
UNKNOWN = -1

_NUMBER = {s.upper(): z for z, s in enumerate(SYMBOLS) if z} | {"D": 1, "T": 1}
_SITE_SYMBOLS = frozenset({"X", "VS", "EP", "LP", "M", "MW", "DU", "DUMMY"})
# Elements a molecule's atom name may start with although the name has more letters.
_ORGANIC = frozenset("HCNOSPFIB")
_BIOPOLYMER = frozenset("HCNOSP")
# Two-letter names that are the metal (or heavier atom) rather than C, N, S, P or F
# with a label, when nothing follows them but digits.
_TWO_FIRST = frozenset({"CL", "BR", "FE", "SE", "SI", "CU", "PT"})
# Elements that, in a residue of several atoms, are likelier a light atom with a label
# in small letters: Ca13 is the carbon "a13" unless a mass says that it is calcium.
_LONERS = frozenset({"CA", "NA", "CS", "HE", "NE", "BA", "HO", "CE", "ND", "HF"})
# What two letters mean in a column of elements even in capitals or with a number.
_UNMISTAKABLE = frozenset({"CL", "BR", "SI", "SE", "FE"})
_SYMBOL_NAME = re.compile(r"^([A-Za-z]{1,2})(\d*)$")
# Names in capitals that begin so are halogens with a label, as in CLAC and BRAB.
_HALOGENS = frozenset({"CL", "BR"})
_SELENIUM_RESIDUES = frozenset({"MSE", "SEC", "CSE", "SEM", "CYSE"})
# Masses (u) of the elements whose symbol can be mistaken for a labelled light atom.
_MASS = {
    "H": 1.008, "B": 10.81, "C": 12.011, "N": 14.007, "O": 15.999, "F": 18.998,
    "P": 30.974, "S": 32.06, "K": 39.098, "V": 50.942, "Y": 88.906, "I": 126.904,
    "W": 183.84, "U": 238.029, "HE": 4.003, "LI": 6.94, "BE": 9.012, "NE": 20.18,
    "NA": 22.99, "MG": 24.305, "AL": 26.982, "SI": 28.085, "CL": 35.45, "CA": 40.078,
    "SC": 44.956, "CR": 51.996, "MN": 54.938, "FE": 55.845, "CO": 58.933,
    "NI": 58.693, "CU": 63.546, "ZN": 65.38, "SE": 78.971, "BR": 79.904,
    "SR": 87.62, "NB": 92.906, "PD": 106.42, "CD": 112.414, "IN": 114.818,
    "SN": 118.71, "SB": 121.76, "CS": 132.905, "BA": 137.327, "CE": 140.116,
    "ND": 144.242, "SM": 150.36, "HO": 164.93, "HF": 178.486, "OS": 190.23,
    "IR": 192.217, "PT": 195.084, "HG": 200.592, "PB": 207.2, "BI": 208.98,
}  # fmt: skip
_MASS_TOLERANCE = 0.6
_LETTERS = re.compile(r"^[^A-Za-z]*([A-Za-z]+)(.*)$")
_SITE_NAME = re.compile(
    r"^(?:DM\d+|DU\d*|DUM\w*|X{1,2}\d*|LP\w*|LN\d\w*|EP\d*|EPW|VS\d*|MW\d*|IW)$"
)
_WATER_SITE = re.compile(r"^(?:M\w*|EP\w*|LP\w*|L\d|OM|VW\d*|IW)$")


def resolve_elements(ag: AtomGroup, *, warn: bool = True) -> np.ndarray:
    """Atomic numbers of the atoms of an AtomGroup.

    Parameters
    ----------
    ag : MDAnalysis AtomGroup of A atoms
        Neighbouring atoms of the same residues are looked at, too.
    warn : bool
        Say in one :class:`~mdgeomfeat.errors.AssumptionWarning` what was guessed.

    Returns
    -------
    (A,) ndarray of int64
        0 stands for a virtual site, lone pair, Drude particle or dummy atom.

    Raises
    ------
    InputError
        For names that fit no element (coarse-grained beads, unknown ions).

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat.structure import resolve_elements
    >>> u = mda.Universe("top.pdb")
    >>> resolve_elements(u.select_atoms("name N CA C O")).tolist()[:4]
    [6, 8, 7, 6]
    """
    table = AtomTable.from_universe(ag.universe, positions=False)
    numbers, guessed = element_numbers(table, ag.ix)
    refuse_unknown(table, ag.ix, numbers)
    if warn:
        warn_guessed(table, ag.ix, numbers, guessed)
    return numbers


def element_numbers(
    table: AtomTable, indices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers of some atoms of a table, without complaining.

    Parameters
    ----------
    table : AtomTable
    indices : (A,) ndarray of int

    Returns
    -------
    numbers : (A,) ndarray of int64
        0 for sites without a nucleus, -1 where nothing fits.
    guessed : (A,) ndarray of bool
        True where the element was not stated by the topology.
    """
    indices = np.asarray(indices, dtype=np.int64)
    numbers = np.full(len(indices), UNKNOWN, dtype=np.int64)
    guessed = np.zeros(len(indices), dtype=bool)
    residue = table.residue[indices]
    lone = (table.residue_size[residue] == 1) & (table.bond_count[indices] == 0)
    stated = _stated(table, indices)
    names, resnames = table.names[indices], table.resnames[residue]
    types = table.symbol_types[indices] if table.symbol_types is not None else None
    masses = table.masses[indices] if table.masses is not None else None
    use_mass = masses is not None and not _repartitioned(table)

    # Atoms with the same name, residue name and hints get the same answer.
    partners: dict[str, frozenset[str]] = {}
    answers: dict[tuple[object, ...], tuple[int, bool]] = {}
    for i, (name, resname) in enumerate(zip(names, resnames, strict=True)):
        element = stated[i] if stated is not None else ""
        kind = types[i] if types is not None else ""
        mass = round(float(masses[i]), 3) if masses is not None else None
        key = (name, resname, bool(lone[i]), element, kind, mass)
        if key not in answers:
            if resname not in partners:
                partners[resname] = table.names_in(resname)
            answers[key] = _resolve(
                str(name), str(resname), bool(lone[i]), str(element), str(kind),
                mass, use_mass, partners[resname],
            )  # fmt: skip
        numbers[i], guessed[i] = answers[key]
    return numbers, guessed


def refuse_unknown(table: AtomTable, indices: np.ndarray, numbers: np.ndarray) -> None:
    """Raise an InputError that names the atoms whose number is -1, if any."""
    bad = np.flatnonzero(numbers == UNKNOWN)
    if not len(bad):
        return
    remedy = (
        "state the elements with universe.add_TopologyAttr('elements', [...]) or a "
        "topology that has them"
    )
    nameless = sum(not str(table.names[i]).strip() for i in indices[bad])
    if nameless:
        raise InputError(
            f"{nameless} selected atoms have neither an element nor a name to read it "
            f"from (LAMMPS data files have none); {remedy}."
        )
    where: dict[str, list[str]] = {}
    for i in bad:
        atom = indices[i]
        names = where.setdefault(str(table.resnames[table.residue[atom]]), [])
        if table.names[atom] not in names:
            names.append(str(table.names[atom]))
    listed = "; ".join(
        f"residue {r or '(no name)'}: {_some(n)}" for r, n in list(where.items())[:5]
    )
    more = f" and {len(where) - 5} other residue names" if len(where) > 5 else ""
    raise InputError(
        f"{len(bad)} selected atoms have names that fit no element ({listed}{more}); "
        "only atomistic models can be used, so leave coarse-grained beads and unknown "
        f"ions out of the selection, or {remedy}."
    )


def warn_guessed(
    table: AtomTable, indices: np.ndarray, numbers: np.ndarray, guessed: np.ndarray
) -> None:
    """List in one warning which elements were read from which atom names."""
    if not guessed.any():
        return
    read: dict[int, list[str]] = {}
    for atom, number in zip(indices[guessed], numbers[guessed], strict=True):
        names = read.setdefault(int(number), [])
        if table.names[atom] not in names:
            names.append(str(table.names[atom]))
    listed = "; ".join(
        f"{'no element' if z == VIRTUAL else SYMBOLS[z]} from {_some(read[z], 12)}"
        for z in sorted(read)
    )
    warnings.warn(
        f"The topology states no element for {int(guessed.sum())} of the selected "
        f"atoms, which were guessed from names and residue names: {listed}.",
        AssumptionWarning,
        stacklevel=3,
    )


def symbol_of(name: str) -> str | None:
    """Return the element that an entry of a column of elements means.

    Some programs write atom names into such columns, where CA is a carbon and HG1 a
    hydrogen.

    Parameters
    ----------
    name : str
        A symbol, in capitals or small letters too, a symbol and a number, or an atomic
        number.

    Returns
    -------
    str or None
        None where it may as well be an atom name: two letters of which the first is the
        symbol of a light element, if they are not written as a symbol is.
    """
    text = name.strip()
    if text.isdigit():
        return SYMBOLS[int(text)] if 0 < int(text) < len(SYMBOLS) else None
    if text.upper() in _SITE_SYMBOLS:
        return "X"
    match = _SYMBOL_NAME.match(text)
    if match is None or match[1].upper() not in _NUMBER:
        return None
    letters, number = match[1].upper(), match[2]
    exact = text == letters.capitalize()
    sure = is_unmistakable(letters)
    one = len(letters) == 1 and letters in _ORGANIC
    if (
        exact
        or one
        or (len(letters) == 2 and sure)
        or (len(letters) == 1 and not number)
    ):
        return letters.capitalize()
    return None


def is_unmistakable(symbol: str) -> bool:
    """Whether a symbol can be no light atom with a label, as CA can.

    Parameters
    ----------
    symbol : str
        In capitals or as it is written.
    """
    return symbol.upper() in _UNMISTAKABLE or symbol[0].upper() not in _ORGANIC


def _some(names: list[str], limit: int = 8) -> str:
    more = f" … ({len(names)} names)" if len(names) > limit else ""
    return " ".join(names[:limit]) + more


def _stated(table: AtomTable, indices: np.ndarray) -> np.ndarray | None:
    return table.elements[indices] if table.elements is not None else None


def _repartitioned(table: AtomTable) -> bool:
    """Whether any hydrogen weighs more than a hydrogen (mass repartitioning)."""
    if table.masses is None:
        return False
    light = (table.masses > 1.5) & (table.masses < 4.5)
    return any(
        (m := _LETTERS.match(str(n))) is not None and m[1][0].upper() in "HD"
        for n in np.unique(table.names[light])
    )


def _resolve(
    name: str,
    resname: str,
    lone: bool,
    element: str,
    kind: str,
    mass: float | None,
    use_mass: bool,
    partners: frozenset[str],
) -> tuple[int, bool]:
    """Atomic number of one atom, and whether it was guessed."""
    candidates = _candidates(name, resname, lone, mass, partners)
    stated = element.strip().upper()
    if stated in _NUMBER:
        number = _NUMBER[stated]
        # Some writers fill the column with the first letter of the name; an ion
        # alone in its residue cannot be carbon, whatever the column says.
        mistaken = lone and stated in _BIOPOLYMER and stated not in candidates
        if not mistaken or resname in WATERS:
            return number, False
    elif stated in _SITE_SYMBOLS:
        return VIRTUAL, False
    if "X" in candidates:
        return VIRTUAL, True
    if not candidates:
        return UNKNOWN, True
    if kind and kind.upper() in candidates:
        return _NUMBER[kind.upper()], True
    if use_mass and mass is not None and len(candidates) > 1:
        near = [c for c in candidates if abs(_MASS.get(c, -9) - mass) < _MASS_TOLERANCE]
        if near:
            return _NUMBER[near[0]], True
    return _NUMBER[candidates[0]], True


def _candidates(
    name: str, resname: str, lone: bool, mass: float | None, partners: frozenset[str]
) -> tuple[str, ...]:
    """Upper-case symbols that a name allows, the likeliest first; X for a site."""
    match = _LETTERS.match(name)
    if match is None:
        return ()
    letters, rest = match[1].upper(), match[2]
    water = resname in WATERS
    polymer = resname in protein_names() or resname in nucleic_names()
    if _is_site(name.upper(), letters, mass, partners, water=water, polymer=polymer):
        return ("X",)
    if lone and not water and not polymer:
        return _ion(name, letters, resname)
    first = letters[0]
    if first == "D" and (water or polymer):
        return ("H",)
    if water:
        return (first,) if first in "HO" else ()
    if polymer:
        if resname in _SELENIUM_RESIDUES and letters.startswith("SE"):
            return ("SE", "S")
        return (first,) if first in _BIOPOLYMER else ()
    two = letters[:2]
    mixed_case = len(match[1]) > 1 and match[1][0].isupper() and match[1][1].islower()
    known_two = len(two) == 2 and two in _MASS
    if known_two and mixed_case and two in _LONERS:
        return (first, two) if first in _ORGANIC else (two,)
    if known_two and (mixed_case or first not in _ORGANIC):
        return (two, first) if first in _ORGANIC else (two,)
    if two in _TWO_FIRST and letters == two and not rest.strip("0123456789+-'"):
        return (two, first) if first in _ORGANIC else (two,)
    if match[1][:2] in _HALOGENS and not _in_row(match[1], partners):
        return (two, first)
    if first in _ORGANIC:
        return (first, two) if known_two else (first,)
    if first == "D":
        return ("H",)
    if two in _NUMBER and len(two) == 2:
        return (two,)
    return ()


def _in_row(letters: str, partners: frozenset[str]) -> bool:
    """Whether a name such as CLA is one of a row of carbons: CKA, CLA, CMA."""
    before, after = chr(ord(letters[1]) - 1), chr(ord(letters[1]) + 1)
    row = {f"{letters[0]}{x}{letters[2:]}" for x in (before, after)}
    return letters[0] == "C" and len(letters) > 2 and row <= partners


def _is_site(
    name: str,
    letters: str,
    mass: float | None,
    partners: frozenset[str],
    *,
    water: bool,
    polymer: bool,
) -> bool:
    """Whether a name is that of a site without a nucleus."""
    if _SITE_NAME.match(name) or (water and _WATER_SITE.match(name)):
        # OM is a site in four-site water beside its oxygen, else an oxygen.
        return name != "OM" or len(partners) > 3
    # CHARMM calls the Drude particle of atom CB "DCB".
    if name.startswith("D") and name[1:] in partners:
        return mass is None or mass < 1.5
    # GROMACS replaces methyl and amino groups by mass centres MCB1, MNZ2, MTRP.
    if polymer and letters.startswith("M"):
        return True
    return mass == 0 and letters[0] not in _ORGANIC and letters[0] != "D"


def _ion(name: str, letters: str, resname: str) -> tuple[str, ...]:
    """Elements for an atom that is alone in its residue and has no bonds."""
    if name == "C0":  # calcium in Amber's older libraries
        return ("CA",)
    for text in (letters, *_words(resname)):
        if text in ION_NAMES:
            return (ION_NAMES[text].upper(),)
        if text in _NUMBER:
            return (text,)
    return ()


def _words(resname: str) -> tuple[str, ...]:
    match = _LETTERS.match(resname)
    return (match[1].upper(),) if match else ()
