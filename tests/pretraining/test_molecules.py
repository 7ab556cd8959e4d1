import sys

import numpy as np
import pytest

pytest.importorskip("rdkit")

from rdkit import Chem
from rdkit.Chem import rdDistGeom

from mdgeomfeat.errors import InputError
from mdgeomfeat.pretraining.exclusion import (
    HELD_OUT_PAIRS,
    excluded_keys,
    held_out_peptides,
)
from mdgeomfeat.pretraining.molecules import (
    canonical_smiles,
    key_from_coordinates,
    key_of_mol,
    key_of_smiles,
    require_rdkit,
    split_of,
)


@pytest.mark.parametrize(
    "smiles",
    [
        "C",
        "c1ccccc1O",
        "C[N+](C)(C)CC(=O)[O-]",
        "CC(=O)NC",
        "O=S(=O)(N)c1ccc(Br)cc1",
        "C[C@H](N)C(=O)O",
        "FC(Cl)(I)P",
        "C[N+](=O)[O-]",
    ],
)
def test_a_key_is_the_same_from_smiles_and_from_coordinates(smiles):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=3) == 0
    numbers = np.array([a.GetAtomicNum() for a in mol.GetAtoms()])
    order = np.random.default_rng(0).permutation(len(numbers))
    positions = mol.GetConformer().GetPositions()
    key = key_from_coordinates(numbers[order], positions[order])
    assert key == key_of_smiles(smiles) == key_of_mol(mol)


def test_keys_forget_stereochemistry_and_tell_isomers_apart():
    assert key_of_smiles("C[C@H](N)C(=O)O") == key_of_smiles("C[C@@H](N)C(=O)O")
    assert key_of_smiles("C/C=C/C") == key_of_smiles("C/C=C\\C")
    assert key_of_smiles("CCO") != key_of_smiles("COC")
    assert key_of_smiles("CC(=O)O") != key_of_smiles("CC(=O)[O-]")
    assert key_of_smiles("C1CCCCC1") != key_of_smiles("c1ccccc1")
    assert key_of_smiles("[13CH4]") == key_of_smiles("C")
    assert key_of_smiles("not a molecule") is None


def test_canonical_smiles_drops_maps_and_stereochemistry():
    mol = Chem.MolFromSmiles("[CH3:4][C@H:1]([NH2:2])[C:3](=O)O")
    assert canonical_smiles(mol) == canonical_smiles(Chem.MolFromSmiles("CC(N)C(O)=O"))


def test_every_amino_acid_is_held_out_twice_in_either_place():
    assert len(HELD_OUT_PAIRS) == 40
    for place in (0, 1):
        letters = sorted(pair[place] for pair in HELD_OUT_PAIRS)
        assert letters == sorted(2 * "ACDEFGHIKLMNPQRSTVWY")


def test_evaluation_peptides_are_on_the_list():
    keys = {key_of_smiles(smiles) for _, smiles in held_out_peptides()}
    assert None not in keys
    assert keys <= excluded_keys()
    # Alanine dipeptide, from the outside.
    assert key_of_smiles("CC(=O)N[C@@H](C)C(=O)NC") in excluded_keys()
    assert key_of_smiles("CC(=O)N[C@@H](CO)C(=O)NC") not in excluded_keys()


def test_evaluation_monomers_are_on_the_list(shared):
    with np.load(shared / "data/molecules3d/spice-des-monomers.npz") as file:
        odd = [str(s) for s in file["mol_smiles"][1::2]]
        even = [str(s) for s in file["mol_smiles"][::2]]
    assert len(odd) == 189
    assert {key_of_smiles(s) for s in odd} <= excluded_keys()
    dropped = [s for s in even if key_of_smiles(s) in excluded_keys()]
    assert len(dropped) < 5


def test_splits_are_fixed_by_the_key():
    keys = [f"molecule {i}" for i in range(4000)]
    share = np.mean([split_of(key, 0.1) == "validation" for key in keys])
    assert 0.08 < share < 0.12
    # a molecule that validates does so for every larger share as well
    for key in keys[:500]:
        parts = [split_of(key, share) for share in (0.02, 0.1, 0.5, 0.9)]
        assert parts == sorted(parts)
    assert split_of("C", 0.0) == "train"
    assert split_of("C", 1.0) == "validation"


def test_a_missing_rdkit_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(InputError, match=r"install 'mdgeomfeat\[pretraining\]'"):
        require_rdkit()
