"""Molecules as the pre-training data sets hand them on, and what names them."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = [
    "Keys",
    "Molecule",
    "canonical_smiles",
    "key_from_coordinates",
    "key_of_mol",
    "key_of_smiles",
    "open_file",
    "require_rdkit",
    "split_of",
]

#: What molecules are named by: SMILES, which RDKit writes, or `graph_keys`.
Keys = Literal["smiles", "graph"]


@dataclass(frozen=True, eq=False)
class Molecule:
    """Conformations of one molecule.

    Parameters
    ----------
    numbers : ndarray, shape (A,), uint8
        Atomic numbers, hydrogens included.
    positions : ndarray, shape (K, A, 3), float32
        Positions of the K conformations, Å.
    key : str
        What the data sets are split by (see `key_of_mol`, `graph_keys`).
    """

    numbers: NDArray[np.uint8]
    positions: NDArray[np.float32]
    key: str


def require_rdkit() -> None:
    """Import RDKit, or say which extra brings it; silence its parser's log.

    Raises
    ------
    InputError
        If RDKit is not installed.
    """
    try:
        from rdkit import rdBase
    except ImportError as error:
        raise InputError(
            "RDKit is not installed, but it distinguishes the molecules; "
            "install it with: pip install 'mdgeomfeat[pretraining]', or write "
            'keys = "graph" at the top of the data configuration if its sources hold '
            "coordinates."
        ) from error
    rdBase.DisableLog("rdApp.*")


@contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes, through gzip if it ends in ``.gz``."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        yield cast("IO[bytes]", file)


def canonical_smiles(mol: Mol) -> str:
    """Canonical SMILES without stereochemistry, isotopes and atom maps."""
    from rdkit import Chem

    plain = Chem.RemoveHs(mol)
    for atom in plain.GetAtoms():
        atom.SetAtomMapNum(0)
    return Chem.MolToSmiles(plain, isomericSmiles=False)


def key_of_mol(mol: Mol) -> str:
    """Name of a molecule that needs no bond orders.

    It is the stereo-free canonical SMILES of the molecule with explicit
    hydrogens, in which every bond is single and no atom is charged or aromatic.
    Where hydrogens stand fixes bond orders and charges up to resonance, so the
    key tells molecules apart as their canonical SMILES does, and can also be had
    from a file that holds coordinates only.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
        With or without explicit hydrogens.

    Returns
    -------
    str
    """
    from rdkit import Chem

    skeleton = Chem.RWMol(Chem.AddHs(mol))
    for atom in skeleton.GetAtoms():
        atom.SetAtomMapNum(0)
        atom.SetIsotope(0)
        atom.SetFormalCharge(0)
        atom.SetNumRadicalElectrons(0)
        atom.SetIsAromatic(False)
        atom.SetNoImplicit(True)
        atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    for bond in skeleton.GetBonds():
        bond.SetBondType(Chem.BondType.SINGLE)
        bond.SetIsAromatic(False)
        bond.SetStereo(Chem.BondStereo.STEREONONE)
    plain = skeleton.GetMol()
    plain.UpdatePropertyCache(strict=False)
    return Chem.MolToSmiles(plain, isomericSmiles=False)


@lru_cache(maxsize=4096)
def key_of_smiles(smiles: str) -> str | None:
    """Key of a SMILES string; None if RDKit cannot read it."""
    from rdkit import Chem

    mol = Chem.MolFromSmiles(smiles)
    return None if mol is None else key_of_mol(mol)


def key_from_coordinates(
    numbers: NDArray[np.integer], positions: NDArray[np.floating]
) -> str:
    """Key of a molecule of which only the coordinates are known.

    Bonds are those of RDKit's connect-the-dots rule (covalent radii).

    Parameters
    ----------
    numbers : ndarray, shape (A,)
        Atomic numbers, hydrogens included.
    positions : ndarray, shape (A, 3)
        Å.

    Returns
    -------
    str
    """
    from rdkit import Chem
    from rdkit.Chem import rdDetermineBonds
    from rdkit.Geometry import Point3D

    mol = Chem.RWMol()
    conformer = Chem.Conformer(len(numbers))
    for index, (number, position) in enumerate(zip(numbers, positions, strict=True)):
        mol.AddAtom(Chem.Atom(int(number)))
        conformer.SetAtomPosition(index, Point3D(*(float(x) for x in position)))
    mol.AddConformer(conformer)
    rdDetermineBonds.DetermineConnectivity(mol)
    for atom in mol.GetAtoms():
        atom.SetNoImplicit(True)
    return key_of_mol(mol)


def split_of(key: str, validation: float = 0.02) -> str:
    """Part that a molecule belongs to, decided by its key alone.

    Parameters
    ----------
    key : str
        Of `key_of_mol`.
    validation : float
        Share of the molecules kept for validation.

    Returns
    -------
    str
        ``"train"`` or ``"validation"``.
    """
    digest = hashlib.sha256(key.encode()).digest()
    part = int.from_bytes(digest[:8], "big") / 2**64
    return "validation" if part < validation else "train"
