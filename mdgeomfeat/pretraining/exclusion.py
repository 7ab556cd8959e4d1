"""The molecules that nothing may be trained on, because models are judged on them.

``exclusions.txt`` lists them as stereo-free canonical SMILES, one a line.
Matching uses `key_of_mol`, so that it also works for files that hold
coordinates only. ``exclusions-graph.txt`` lists the keys that `graph_keys` gives the
same molecules, for data that are built without RDKit.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from importlib import resources

import numpy as np

from .graph_keys import graph_key
from .molecules import Keys, key_of_smiles, require_rdkit

__all__ = [
    "HELD_OUT_PAIRS",
    "LETTERS",
    "RESIDUES",
    "SIDE_CHAINS",
    "excluded_keys",
    "graph_keys_of_list",
    "held_out_peptides",
    "peptide_smiles",
]

#: The amino acids, and their common protonation states by OpenMM's names.
LETTERS = "ACDEFGHIKLMNPQRSTVWY"
RESIDUES = (
    *("ALA", "CYS", "ASP", "GLU", "PHE", "GLY", "HIE", "ILE", "LYS", "LEU"),
    *("MET", "ASN", "PRO", "GLN", "ARG", "SER", "THR", "VAL", "TRP", "TYR"),
)

#: Amino-acid pairs X-Y whose peptide ACE-X-Y-NME is never trained on: 40 of the
#: 400, each amino acid twice in the first place and twice in the second.
HELD_OUT_PAIRS: frozenset[str] = frozenset(
    LETTERS[i] + LETTERS[(factor * i + shift) % 20]
    for i in range(20)
    for factor, shift in ((3, 5), (7, 12))
)

#: Side chains as SMILES, by OpenMM's residue names; proline is written whole.
SIDE_CHAINS: dict[str, str] = {
    "ALA": "C",
    "CYS": "CS",
    "CYM": "C[S-]",
    "ASP": "CC(=O)[O-]",
    "ASH": "CC(=O)O",
    "GLU": "CCC(=O)[O-]",
    "GLH": "CCC(=O)O",
    "PHE": "Cc1ccccc1",
    "GLY": "",
    "HIE": "Cc1c[nH]cn1",
    "HID": "Cc1cnc[nH]1",
    "HIP": "Cc1c[nH]c[nH+]1",
    "ILE": "C(C)CC",
    "LYS": "CCCC[NH3+]",
    "LYN": "CCCCN",
    "LEU": "CC(C)C",
    "MET": "CCSC",
    "ASN": "CC(=O)N",
    "GLN": "CCC(=O)N",
    "ARG": "CCCNC(=[NH2+])N",
    "SER": "CO",
    "THR": "C(C)O",
    "VAL": "C(C)C",
    "TRP": "Cc1c[nH]c2ccccc12",
    "TYR": "Cc1ccc(O)cc1",
}


def peptide_smiles(residues: list[str], *, capped: bool = True) -> str:
    """SMILES of a peptide (without stereochemistry).

    Parameters
    ----------
    residues : list of str
        Names of `SIDE_CHAINS`, and ``"PRO"``.
    capped : bool
        Between ACE and NME; otherwise with charged termini.

    Returns
    -------
    str
    """
    parts = []
    for name in residues:
        if name == "PRO":
            parts.append("N8CCCC8C(=O)")
        elif name == "GLY":
            parts.append("NCC(=O)")
        else:
            parts.append(f"NC({SIDE_CHAINS[name]})C(=O)")
    chain = "".join(parts)
    if capped:
        return f"CC(=O){chain}NC"
    return f"[NH3+]{chain[1:]}[O-]"


@lru_cache(maxsize=2)
def excluded_keys(keys: Keys = "smiles") -> frozenset[str]:
    """Keys of everything on the committed list.

    Parameters
    ----------
    keys : {"smiles", "graph"}
        The rule that names molecules; the first needs RDKit.

    Returns
    -------
    frozenset of str

    Raises
    ------
    InputError
        If RDKit is needed and not installed.
    RuntimeError
        If a line of the list is not a SMILES string.
    """
    if keys == "graph":
        return frozenset(_lines("exclusions-graph.txt"))
    require_rdkit()
    found = set()
    for line in _lines("exclusions.txt"):
        key = key_of_smiles(line)
        if key is None:
            raise RuntimeError(f"exclusions.txt holds a bad line: {line!r}")
        found.add(key)
    return frozenset(found)


def graph_keys_of_list() -> list[str]:
    """Return what ``exclusions-graph.txt`` has to hold, worked out with RDKit.

    Returns
    -------
    list of str
        Sorted, each once.
    """
    from rdkit import Chem

    found = set()
    for line in _lines("exclusions.txt"):
        mol = Chem.AddHs(Chem.MolFromSmiles(line))
        bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()]
        numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
        found.add(graph_key(numbers, np.array(bonds)))
    return sorted(found)


def _lines(name: str) -> list[str]:
    text = (resources.files(__package__) / name).read_text()
    return [line for line in text.splitlines() if not line.startswith("#")]


def held_out_peptides() -> list[tuple[str, str]]:
    """Name and SMILES of every evaluation peptide, in all protonation states.

    Returns
    -------
    list of (str, str)
    """
    states = {
        "D": ["ASP", "ASH"],
        "E": ["GLU", "GLH"],
        "H": ["HIE", "HID", "HIP"],
        "K": ["LYS", "LYN"],
        "C": ["CYS", "CYM"],
    }
    letters = dict(zip(LETTERS, RESIDUES, strict=True))
    peptides = []
    for sequence in ["A", "G", *sorted(HELD_OUT_PAIRS)]:
        choices = [states.get(a, [letters[a]]) for a in sequence]
        for residues in itertools.product(*choices):
            name = "ACE-" + "-".join(residues) + "-NME"
            peptides.append((name, peptide_smiles(list(residues))))
    for sequence in ("WLALL", "RDQAHGKLFW"):
        names = [letters[a] for a in sequence]
        peptides += [
            (sequence, peptide_smiles(names, capped=capped)) for capped in (False, True)
        ]
    return peptides
