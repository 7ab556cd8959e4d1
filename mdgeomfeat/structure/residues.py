"""Names: the element symbols, and what residue names mean.

Only names that more than one package or file format uses are listed. The names of
amino acids and nucleotides that MDAnalysis already knows are taken from its
``protein`` and ``nucleic`` selections when they are needed.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = [
    "CAPS",
    "CO_SOLVENTS",
    "ION_NAMES",
    "SYMBOLS",
    "WATERS",
    "nucleic_names",
    "protein_names",
]

#: Symbols by atomic number; index 0 stands for a site without a nucleus.
SYMBOLS = [
    "X",
    "H",
    "He",
    "Li",
    "Be",
    "B",
    "C",
    "N",
    "O",
    "F",
    "Ne",
    "Na",
    "Mg",
    "Al",
    "Si",
    "P",
    "S",
    "Cl",
    "Ar",
    "K",
    "Ca",
    "Sc",
    "Ti",
    "V",
    "Cr",
    "Mn",
    "Fe",
    "Co",
    "Ni",
    "Cu",
    "Zn",
    "Ga",
    "Ge",
    "As",
    "Se",
    "Br",
    "Kr",
    "Rb",
    "Sr",
    "Y",
    "Zr",
    "Nb",
    "Mo",
    "Tc",
    "Ru",
    "Rh",
    "Pd",
    "Ag",
    "Cd",
    "In",
    "Sn",
    "Sb",
    "Te",
    "I",
    "Xe",
    "Cs",
    "Ba",
    "La",
    "Ce",
    "Pr",
    "Nd",
    "Pm",
    "Sm",
    "Eu",
    "Gd",
    "Tb",
    "Dy",
    "Ho",
    "Er",
    "Tm",
    "Yb",
    "Lu",
    "Hf",
    "Ta",
    "W",
    "Re",
    "Os",
    "Ir",
    "Pt",
    "Au",
    "Hg",
    "Tl",
    "Pb",
    "Bi",
    "Po",
    "At",
    "Rn",
    "Fr",
    "Ra",
    "Ac",
    "Th",
    "Pa",
    "U",
    "Np",
    "Pu",
    "Am",
    "Cm",
    "Bk",
    "Cf",
    "Es",
    "Fm",
    "Md",
    "No",
    "Lr",
]

#: Terminal groups that belong to a protein when they are attached to one.
CAPS = frozenset({"ACE", "FOR", "NAC", "NH2", "NHE", "NMA", "NME"})

#: Water models: atomistic, with virtual sites, polarisable, coarse-grained.
WATERS = frozenset(
    [
        "H2O",
        "HOH",
        "OH2",
        "HHO",
        "OHH",
        "DOD",
        "D2O",
        "T3P",
        "T4P",
        "T5P",
        "T3H",
        "SOL",
        "WAT",
        "TIP",
        "TIP2",
        "TIP3",
        "TIP4",
        "TIP5",
        "TIP3P",
        "TIP4P",
        "TIP5P",
        "TIPS",
        "TP3",
        "TP4",
        "TP5",
        "TP3M",
        "TP4E",
        "TP4V",
        "SPC",
        "SPCE",
        "OPC",
        "OPC3",
        "FB3",
        "FB4",
        "SWM4",
        "SWM6",
        "SWM",
        "W",
        "WF",
        "PW",
        "WN",
    ]
)

#: Small molecules that are a solvent when a protein or nucleic acid is absent.
CO_SOLVENTS = frozenset(
    ["CHCL3", "CL3", "DMSO", "DMS", "MEOH", "MOH", "ACN", "C3N", "HEX", "ETOH", "EOH"]
)

#: Names of single ions that are not simply an element symbol.
ION_NAMES = {
    "SOD": "Na",
    "QN": "Na",
    "IP": "Na",
    "CLA": "Cl",
    "CLO": "Cl",
    "CIM": "Cl",
    "CHL": "Cl",
    "IM": "Cl",
    "POT": "K",
    "QK": "K",
    "CAL": "Ca",
    "LIT": "Li",
    "QL": "Li",
    "RUB": "Rb",
    "QR": "Rb",
    "CES": "Cs",
    "QC": "Cs",
    "CO": "Co",
    "IB": "Br",
    "IOD": "I",
    "BAR": "Ba",
    "CAD": "Cd",
    "ZND": "Zn",
    "MGH": "Mg",
    "MGA": "Mg",
    "IRON": "Fe",
}

_NUCLEIC_EXTRA = frozenset(
    [
        "I",
        "DI",
        "DU5",
        "DU3",
        "DU",
        "DAN",
        "DCN",
        "DGN",
        "DTN",
        "RAN",
        "RCN",
        "RGN",
        "RUN",
        "OHE",
        "A5",
        "C5",
        "G5",
        "U5",
        "A3",
        "C3",
        "G3",
        "U3",
        "AN",
        "CN",
        "GN",
        "UN",
    ]
)


@lru_cache(maxsize=1)
def protein_names() -> frozenset[str]:
    """Return the residue names that MDAnalysis's ``protein`` selection knows."""
    from MDAnalysis.core.selection import ProteinSelection

    return frozenset(ProteinSelection.prot_res)


@lru_cache(maxsize=1)
def nucleic_names() -> frozenset[str]:
    """Return the names of nucleotides: MDAnalysis's and Amber's terminal ones."""
    from MDAnalysis.core.selection import NucleicSelection

    return frozenset(NucleicSelection.nucl_res) | _NUCLEIC_EXTRA
