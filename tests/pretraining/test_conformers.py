import numpy as np
import pytest

pytest.importorskip("rdkit")

from mdgeomfeat.errors import InputError
from mdgeomfeat.pretraining.conformers import (
    ConformerSettings,
    candidates,
    conformers,
    read_smiles,
)
from mdgeomfeat.pretraining.exclusion import excluded_keys
from mdgeomfeat.pretraining.molecules import (
    key_from_coordinates,
    key_of_mol,
    key_of_smiles,
)
from mdgeomfeat.pretraining.packed import load_packed, pack

DRUGS = [
    "CC(=O)Nc1ccc(O)cc1",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "Cn1ccnc1SCC(=O)Nc1ccc(Oc2ccccc2)cc1",
]


def built(smiles, **settings):
    source = conformers(smiles, ConformerSettings(**settings))
    return list(source.molecules), source.tally


def test_geometries_have_the_bonds_of_their_smiles():
    found, _ = built([*DRUGS, "C[NH3+]", "CC(=O)[O-]"], snapshots=2, interval=0.05)
    assert len(found) == 6
    for molecule in found:
        assert molecule.positions.shape == (2 * 3, len(molecule.numbers), 3)
        for frame in molecule.positions:
            assert key_from_coordinates(molecule.numbers, frame) == molecule.key
    assert found[4].key == key_of_smiles("C[NH3+]")  # the charge is kept


def test_snapshots_are_warm():
    """Bond stretching at 600 K: the spread follows equipartition."""
    found, _ = built(["CC"], n_conformers=1, snapshots=200, temperatures=(600.0, 600.0))
    x = found[0].positions[20:]
    carbon = np.linalg.norm(x[:, 0] - x[:, 1], axis=1)
    # k = 4.258 mdyn/Å = 613 kcal/mol/Å² in MMFF94 for C-C: sd = sqrt(kT / k).
    expected = np.sqrt(0.0019872 * 600 / 613)
    assert 0.7 * expected < carbon.std() < 1.4 * expected
    assert abs(carbon.mean() - 1.51) < 0.03


def test_failures_are_counted():
    bad = ["C(C", "[Fe]", "CC", "CC", "C.C", "C" * 40, "[CH3]"]
    found, tally = built(bad)
    assert len(found) == 1
    assert tally == {
        "not parsed": 1,
        "other elements": 1,
        "duplicates": 1,
        "several molecules in one line": 1,
        "too large": 1,
        "radicals": 1,
    }


def test_fragments_are_whole_small_molecules():
    found, _ = built(DRUGS, mode="fragments", n_conformers=1, max_heavy=12)
    assert len(found) >= 3
    for molecule in found:
        assert (molecule.numbers > 1).sum() <= 12
        same = key_from_coordinates(molecule.numbers, molecule.positions[0])
        assert same == molecule.key


def _first_fragment(gaps):
    """Mask of the pairs between the fragment of atom 0 and the others."""
    inside = np.zeros(len(gaps), bool)
    inside[0] = True
    for _ in gaps:
        inside |= (gaps[inside] < 1.75).any(axis=0)
    return inside[:, None] & ~inside[None]


def test_pairs_are_two_molecules_in_contact():
    found, _ = built(
        [*DRUGS, "CCO", "CCN"], mode="pairs", n_conformers=1, snapshots=1, max_heavy=9
    )
    assert found
    for molecule in found:
        assert molecule.key.count(".") == 1
        x = molecule.positions[0]
        assert key_from_coordinates(molecule.numbers, x) == molecule.key
        # Cut the list of atoms where the two fragments lie closest to each other.
        gaps = np.linalg.norm(x[:, None] - x[None], axis=2)
        between = _first_fragment(gaps)
        assert 1.4 < gaps[between].min() < 4.0


def test_built_data_hold_no_excluded_molecule(tmp_path):
    excluded = "CC(=O)N[C@@H](C)C(=O)NC"
    source = conformers([excluded, *DRUGS], ConformerSettings(n_conformers=1))
    manifest = pack([source], tmp_path / "a.npz")
    assert manifest["sources"][0]["dropped"]["on the exclusion list"] == 1
    assert excluded_keys().isdisjoint(load_packed(tmp_path / "a.npz").keys)


def test_equal_seeds_give_equal_conformations():
    one, _ = built(DRUGS[:2], snapshots=1, seed=5)
    two, _ = built(DRUGS[:2], snapshots=1, seed=5)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.positions, b.positions)


def test_mistakes_are_explained(tmp_path):
    with pytest.raises(InputError, match="choose whole, fragments or pairs"):
        ConformerSettings(mode="half")
    with pytest.raises(InputError, match="does not exist"):
        read_smiles(tmp_path / "none.smi")
    (tmp_path / "a.smi").write_text("CC\tethane\n\nCO methanol\n")
    assert read_smiles(tmp_path / "a.smi") == ["CC", "CO"]


@pytest.mark.parametrize("mode", ["whole", "fragments"])
def test_candidates_are_what_is_built(mode):
    settings = ConformerSettings(mode=mode, n_conformers=1, max_heavy=26)
    smiles = [*DRUGS, "C(C", "CCO", "OCC"]
    built_keys = [m.key for m in conformers(smiles, settings).molecules]
    assert [key_of_mol(mol) for mol in candidates(smiles, settings)] == built_keys
    assert len(built_keys) == len(set(built_keys)) > 4
