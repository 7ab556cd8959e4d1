"""Labels are read in their units, and what cannot be learnt from is refused."""

import json

import numpy as np
import pytest
import torch
from labelled_molecules import TARGETS
from torch_geometric.data import Data

from mdgeomfeat.errors import InputError
from mdgeomfeat.finetuning import from_graphs, read_labels
from mdgeomfeat.finetuning.units import read_unit

WATER = """3
Properties=species:S:1:pos:R:3:forces:R:3 energy=-76.4 gap=0.5 pbc="F F F"
O 0.0 0.0 0.0 0.0 0.0 -0.2
H 0.8 0.6 0.0 0.1 0.0 0.1
H -0.8 0.6 0.0 -0.1 0.0 0.1
"""
TABLE = (
    "SMILES,Elements,XYZ_Ang,gap,kind\n"
    "\"O\",\"['O','H','H']\",\"[[0.,0.,1.2*^-6],[0.8,0.6,0.],[-0.8,0.6,-1.*^-1]]\","
    "0.3615,1\n"
    "\"C#N\",\"['C','N','H']\",\"[[0.,0,0],[0,0,1.15],[0,0,-1.07]]\",5.*^-1,0\n"
)


@pytest.mark.parametrize(
    ("text", "force", "factor"),
    [
        ("Hartree", False, 27.211386),
        ("kcal/mol", False, 0.0433641),
        ("kJ/mol", False, 0.010364270),
        ("meV", False, 1e-3),
        ("e*bohr", False, 2.541746),
        ("e*Å", False, 4.803205),
        ("bohr^3", False, 1.0),
        ("Hartree/bohr", True, 51.422067),
        ("kcal/mol/Å", True, 0.0433641),
        ("kcal/mol", True, 0.0433641),
        ("kJ/mol/nm", True, 0.0010364270),
        ("eV/Angstrom", True, 1.0),
    ],
)
def test_units(text, force, factor):
    assert read_unit(text, force=force).factor == pytest.approx(factor, rel=1e-6)


@pytest.mark.parametrize("text", ["", "volts", "eV/Å", "Hartree/bohr"])
def test_units_that_are_not_known_are_refused(text):
    with pytest.raises(InputError, match="is not known; state one of eV"):
        read_unit(text)


@pytest.mark.parametrize("text", ["", "D", "D/Å", "eV/mol/Å"])
def test_units_of_forces_are_energies_over_lengths(text):
    with pytest.raises(InputError, match="is not known; state one of eV"):
        read_unit(text, force=True)


def test_extended_xyz(tmp_path):
    pytest.importorskip("ase")
    path = tmp_path / "water.xyz"
    path.write_text(WATER * 2)
    data = read_labels(path, kind="conservative", unit="Hartree", force_unit="eV/Å")
    assert len(data) == 2
    one = data.graphs[1]
    assert one.z.tolist() == [8, 1, 1]
    assert one.y.item() == pytest.approx(-76.4 * 27.211386246, rel=1e-9)
    assert one.forces[0].tolist() == [0, 0, -0.2]
    assert data.elements == (1, 8)
    assert set(data.keys) == {"8 1 1"}
    again = read_labels(str(path), kind="conservative", unit="Hartree")
    # Without a unit of their own, forces have the energy's over Å.
    assert again.graphs[0].forces[0, 2].item() == pytest.approx(-0.2 * 27.211386246)
    gaps = read_labels(path, kind="intensive", target="gap", unit="eV")
    assert [g.y.item() for g in gaps.graphs] == [0.5, 0.5]


def test_the_table_of_qm9(tmp_path):
    pytest.importorskip("rdkit")
    path = tmp_path / "qm9.csv"
    path.write_text(TABLE)
    data = read_labels(path, kind="intensive", target="gap", unit="Hartree")
    first, second = data.graphs
    np.testing.assert_allclose(
        first.pos, [[0, 0, 1.2e-6], [0.8, 0.6, 0], [-0.8, 0.6, -0.1]], rtol=1e-6
    )
    assert first.y.item() == pytest.approx(0.3615 * 27.211386246)
    assert second.y.item() == pytest.approx(0.5 * 27.211386246)
    assert second.z.tolist() == [6, 7, 1]
    assert data.smiles == ["O", "C#N"]
    classes = read_labels(path, kind="classes", target="kind")
    assert [int(g.y) for g in classes.graphs] == [1, 0]


def test_sdf_with_fields_and_with_a_table_beside_it(tmp_path):
    Chem = pytest.importorskip("rdkit.Chem")
    from rdkit.Chem import AllChem

    path = tmp_path / "two.sdf"
    with Chem.SDWriter(str(path)) as writer:
        for smiles, gap in (("CO", 0.25), ("CC=O", 0.5)):
            mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
            AllChem.EmbedMolecule(mol, randomSeed=1)
            mol.SetDoubleProp("gap", gap)
            writer.write(mol)
    read = {"kind": "intensive", "target": "gap", "unit": "eV"}
    data = read_labels(path, **read)
    assert [g.y.item() for g in data.graphs] == [0.25, 0.5]
    assert [len(g.z) for g in data.graphs] == [6, 7]
    assert data.smiles == ["CO", "CC=O"]
    (tmp_path / "two.sdf.csv").write_text("mol_id,gap\na,1.5\nb,2.5\n")
    assert [g.y.item() for g in read_labels(path, **read).graphs] == [1.5, 2.5]
    (tmp_path / "two.sdf.csv").write_text("mol_id,gap\na,1.5\n")
    with pytest.raises(InputError, match=r"2 molecules and two\.sdf\.csv 1 rows"):
        read_labels(path, **read)


def test_graphs_of_torch_geometric(graphs):
    many = [
        Data(z=g.z, pos=g.pos, y=torch.arange(19.0).reshape(1, 19)) for g in graphs[:2]
    ]
    data = from_graphs(many, kind="intensive", column=4, unit="eV")
    assert [g.y.item() for g in data.graphs] == [4.0, 4.0]
    kcal = from_graphs(graphs[:2], kind="forces", unit="kcal/mol")
    np.testing.assert_allclose(
        kcal.graphs[1].forces, graphs[1].force * 0.0433641, rtol=1e-6
    )


def spoiled(graphs, **changes):
    return [graphs[0], Data(**{**graphs[1].to_dict(), **changes})]


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("intensive", {"energy": torch.tensor([[np.nan]])}, "not a finite number"),
        ("intensive", {"energy": torch.tensor([[np.inf]])}, "not a finite number"),
        ("intensive", {"energy": torch.ones(1, 2)}, "2 values of 'energy'"),
        ("dipole", {"dipole": torch.ones(1, 1)}, "one value of 'dipole', others three"),
        ("intensive", {"energy": None}, "has no 'energy'"),
        ("forces", {"force": None}, "has no 'force'"),
        ("classes", {"kind": 1.5}, "number the classes from 0"),
        ("classes", {"kind": -1}, "number the classes from 0"),
        ("classes", {"kind": "helix"}, "number the classes from 0"),
        ("classes", {"kind": np.nan}, "number the classes from 0"),
        ("forces", {"force": torch.ones(2, 3)}, "are not . finite vectors"),
        ("conservative", {"pos": torch.ones(2, 3)}, "are not . finite points"),
    ],
)
def test_labels_that_cannot_be_used(graphs, kind, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        from_graphs(spoiled(graphs, **changes), kind=kind, **TARGETS[kind])
    assert "Graph 1" in str(caught.value) or "others three" in message


def test_forces_that_do_not_sum_to_zero(graphs):
    pull = graphs[1].force + torch.tensor([0.5, 0.0, 0.0])
    with pytest.raises(InputError, match=r"Graph 1 has forces that sum to .* not to"):
        from_graphs(spoiled(graphs, force=pull), kind="forces", unit="eV")
    rounded = graphs[1].force.round(decimals=3)
    from_graphs(spoiled(graphs, force=rounded), kind="forces", unit="eV")


def test_errors_of_forces_may_add_up_with_the_root_of_the_atoms():
    """Noise of a twentieth, on many atoms, is no sign of surroundings."""
    rng = np.random.default_rng(1)
    n = 400
    force = rng.normal(size=(n, 3))
    force -= force.mean(axis=0)
    size = np.sqrt((force**2).sum(axis=1).mean())
    pos = torch.tensor(rng.normal(size=(n, 3)) * 9)
    z = torch.full((n,), 6)
    for share, fits in ((0.05, True), (0.2, False)):
        pull = force + np.array([share * size * np.sqrt(n) / n, 0, 0])
        graph = Data(z=z, pos=pos, force=torch.tensor(pull))
        if fits:
            from_graphs([graph], kind="forces", unit="eV")
            continue
        with pytest.raises(InputError, match="has forces that sum to"):
            from_graphs([graph], kind="forces", unit="eV")


def test_molecules_over_a_size(graphs):
    with pytest.raises(InputError, match="more than max_atoms=2"):
        from_graphs(graphs, kind="forces", unit="eV", max_atoms=2)


@pytest.mark.parametrize(
    ("kind", "unit", "message"),
    [
        ("conservative", "D", "The unit of the energy is 'D'"),
        ("dipole", "eV", "The unit of the dipoles is 'eV'"),
        ("intensive", "", "The unit of the labels is ''"),
    ],
)
def test_units_have_to_fit_the_kind(graphs, kind, unit, message):
    with pytest.raises(InputError, match=message):
        from_graphs(graphs, kind=kind, target="energy", unit=unit)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.xyz", WATER.replace("F F F", "T T T"), "Frame 0 of .* is periodic"),
        ("a.xyz", WATER + "3\nbroken\n", "Frame 1 of .* cannot be read"),
        ("a.xyz", WATER.replace("gap=0.5", ""), "has no 'gap'"),
        ("a.xyz", WATER.replace("gap=0.5", "gap=nan"), "not a finite number"),
        ("a.xyz", "", "There are no labelled molecules"),
        ("a.csv", TABLE.replace("gap", "lumo"), "lacks the columns gap; it has SMI"),
        ("a.csv", TABLE.replace("'N'", "'Zz'"), "Line 3 of .* cannot be read"),
        ("a.csv", TABLE.replace("0.3615", "none"), "Line 2 of .* not a finite numb"),
        ("a.csv", TABLE.replace("C#N", "C#N#C"), "Molecule 1 has the SMILES string"),
        ("a.txt", "", "does not end in .xyz"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, name, text, message):
    pytest.importorskip("ase")
    pytest.importorskip("rdkit")
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_labels(path, kind="intensive", target="gap", unit="eV")


def test_files_without_what_is_asked_for(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_labels(tmp_path / "none.xyz", kind="forces", unit="eV")
    (tmp_path / "a.csv").write_text(TABLE)
    with pytest.raises(InputError, match="holds no forces"):
        read_labels(tmp_path / "a.csv", kind="forces", unit="eV")


def test_the_hash_knows_labels_and_positions(graphs, labels):
    one, two = labels("intensive"), labels("intensive")
    assert one.sha256 == two.sha256
    two.graphs[3].y += 1e-6
    assert one.sha256 != two.sha256
    pulled, other = labels("forces"), labels("forces")
    assert pulled.sha256 == other.sha256
    other.graphs[3].forces[0, 0] += 1e-6
    assert pulled.sha256 != other.sha256
    assert json.dumps(one.about) == "{}"
