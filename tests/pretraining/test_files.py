import gzip
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rdkit")

from rdkit import Chem

from mdgeomfeat.errors import InputError
from mdgeomfeat.pretraining.datasets import (
    KINDS,
    build_dataset,
    open_source,
    source_options,
)
from mdgeomfeat.pretraining.files import READERS, molecules_of
from mdgeomfeat.pretraining.molecules import key_of_smiles

STATED = "Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5"


def read(kind, **options):
    source = READERS[kind]("name", {}, **options)
    return list(source.molecules), source.tally


def xyz_text(molecule, *, extended=False):
    symbols = [
        Chem.GetPeriodicTable().GetElementSymbol(int(z)) for z in molecule.numbers
    ]
    text = ""
    for frame in molecule.positions:
        comment = STATED if extended else ""
        text += f"{len(symbols)}\n{comment}\n"
        for symbol, (x, y, z) in zip(symbols, frame, strict=True):
            more = " 0.1 0.2 0.3" if extended else ""
            text += f"{symbol} {x:.6f} {y:.6f} {z:.6f}{more}\n"
    return text


def same(found, wanted):
    assert [m.key for m in found] == [m.key for m in wanted]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a.numbers, b.numbers)
        np.testing.assert_allclose(a.positions, b.positions, atol=1e-4)


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("suffix", [".xyz", ".xyz.gz"])
def test_multi_frame_xyz(molecules, tmp_path, extended, suffix):
    text = "".join(xyz_text(m, extended=extended) for m in molecules)
    path = tmp_path / f"all{suffix}"
    path.write_bytes(
        gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode()
    )
    found, _ = read("xyz", files=[str(path)])
    same(found, molecules)


def test_a_folder_of_xyz_files(molecules, tmp_path):
    for i, molecule in enumerate(molecules):
        (tmp_path / "deeper").mkdir(exist_ok=True)
        (tmp_path / "deeper" / f"{i}.xyz").write_text(xyz_text(molecule))
    same(read("xyz", files=[str(tmp_path)])[0], molecules)


def test_a_broken_xyz_names_the_file(tmp_path):
    path = tmp_path / "bad.xyz"
    path.write_text("2\n\nC 0 0 0\nXx 0 0 1\n")
    with pytest.raises(InputError, match=r"bad\.xyz is not a multi-frame xyz"):
        read("xyz", files=[str(path)])


def test_npz_layout(molecules, tmp_path):
    frames = [(m, f, i) for i, m in enumerate(molecules) for f in m.positions]
    np.savez(
        tmp_path / "a.npz",
        z=np.concatenate([m.numbers for m, _, _ in frames]),
        pos=np.concatenate([f for _, f, _ in frames]),
        ptr=np.concatenate([[0], np.cumsum([len(f) for _, f, _ in frames])]),
        mol_index=np.array([i for _, _, i in frames]),
    )
    found, tally = read("npz", files=[str(tmp_path / "a.npz")], every=2, offset=1)
    same(found, molecules[1::2])
    assert tally["left out by every/offset"] == len(molecules[::2])
    thin, _ = read("npz", files=[str(tmp_path / "a.npz")], max_conformations=2)
    assert {len(m.positions) for m in thin} == {2}


def test_sdf(tmp_path):
    from rdkit.Chem import rdDistGeom

    good = Chem.AddHs(Chem.MolFromSmiles("C[C@H](N)C(=O)[O-]"))
    rdDistGeom.EmbedMolecule(good, randomSeed=1)
    bare = Chem.RemoveHs(good)
    flat = Chem.Mol(good)
    points = flat.GetConformer().GetPositions()
    points[:, 2] = 0
    flat.GetConformer().SetPositions(points)
    metal = Chem.MolFromSmiles("[Zn+2]")
    metal.AddConformer(Chem.Conformer(1))
    path = tmp_path / "a.sdf"
    with Chem.SDWriter(str(path)) as writer:
        for mol in (good, bare, flat, metal):
            writer.write(mol)
    (tmp_path / "a.sdf.gz").write_bytes(gzip.compress(path.read_bytes()))
    for file in (path, tmp_path / "a.sdf.gz"):
        found, tally = read("sdf", files=[str(file)], elements=[1, 6, 7, 8])
        assert [m.key for m in found] == [key_of_smiles("CC(N)C(=O)[O-]")]
        wanted = {"hydrogens missing": 1, "flat drawings": 1, "other elements": 1}
        assert tally == Counter(wanted)


def test_spice_hdf5(molecules, tmp_path):
    h5py = pytest.importorskip("h5py")
    bohr = 0.529177210903
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for i, smiles in enumerate(("CC", "CO")):
            mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
            from rdkit.Chem import rdDistGeom

            rdDistGeom.EmbedMolecule(mol, randomSeed=1)
            for atom in mol.GetAtoms():
                atom.SetAtomMapNum(atom.GetIdx() + 1)
            group = file.create_group(smiles)
            group["smiles"] = [Chem.MolToSmiles(mol)]
            group["subset"] = ["SPICE Dipeptides v1" if i else "SPICE PubChem v1"]
            x = mol.GetConformer().GetPositions()
            data = group.create_dataset("conformations", data=np.stack([x, x]) / bohr)
            data.attrs["units"] = "bohr"
            if i:
                group["atomic_numbers"] = [a.GetAtomicNum() for a in mol.GetAtoms()]
    found, _ = read("spice", files=[str(tmp_path / "a.hdf5")], max_conformations=1)
    assert [m.key for m in found] == [key_of_smiles("CC"), key_of_smiles("CO")]
    assert found[0].numbers.tolist() == [6, 6, 1, 1, 1, 1, 1, 1]
    carbon = np.linalg.norm(found[0].positions[0, 0] - found[0].positions[0, 1])
    assert 1.4 < carbon < 1.6
    chosen, tally = read("spice", files=[str(tmp_path / "a.hdf5")], subset="Dipeptides")
    assert len(chosen) == 1
    assert tally["of another subset"] == 1


def test_trajectories(data):
    folder = data / "gly2"
    files = [str(folder / "gly2.pdb"), str(sorted(folder.glob("*.xtc"))[0])]
    found, _ = read("trajectory", files=files, step=500)
    (molecule,) = found
    assert molecule.key == key_of_smiles("CC(=O)NCC(=O)NC")
    assert molecule.positions.shape[0] > 3
    with pytest.raises(InputError, match="matches no atom"):
        read("trajectory", files=files, select="resname TRP")


def test_torch_geometric_layout(molecules):
    torch = pytest.importorskip("torch")
    from torch_geometric.data import Data

    flat = [
        Data(z=torch.from_numpy(m.numbers.astype(int)), pos=torch.from_numpy(f))
        for m in molecules
        for f in m.positions
    ]
    groups = [[3 * i, 3 * i + 1, 3 * i + 2] for i in range(len(molecules))]
    same(list(molecules_of(flat, groups)), molecules)
    with pytest.raises(InputError, match="choose QM9 or MD17"):
        read("geometric", dataset="QM10", folder=".")


def test_a_configuration_builds_a_file(tmp_path, molecules):
    (tmp_path / "a.smi").write_text("CC(=O)Nc1ccc(O)cc1 x\nCC(=O)NC(C)C(=O)NC ala2\n")
    (tmp_path / "m.xyz").write_text("".join(xyz_text(m) for m in molecules))
    (tmp_path / "d.toml").write_text(
        '[[source]]\nkind = "conformers"\nname = "drugs"\nfiles = ["a.smi"]\n'
        'licence = "MIT"\nn_conformers = 1\n'
        '[[source]]\nkind = "xyz"\nfile = "m.xyz"\n'
    )
    manifest = build_dataset(tmp_path / "d.toml", tmp_path / "d.npz")
    drugs, xyz = manifest["sources"]
    assert drugs["molecules"] == 1
    assert drugs["licence"] == "MIT"
    assert drugs["dropped"] == {"on the exclusion list": 1}
    # The small molecules of these tests are evaluation molecules as well.
    assert xyz["dropped"]["on the exclusion list"] + xyz["molecules"] == len(molecules)
    only = build_dataset(
        tmp_path / "d.toml", tmp_path / "e.npz", only=["xyz"], evaluation=True
    )
    assert only["sources"][0]["molecules"] == len(molecules)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.hdf5").write_bytes(b"")
    (tmp_path / "d.toml").write_text('[[source]]\nkind = "spice"\nfile = "a.hdf5"\n')
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"h5py is not installed.*\[pretraining\]"):
        build_dataset(tmp_path / "d.toml", tmp_path / "d.npz")


def test_mistakes_in_a_configuration_are_explained(tmp_path):
    with pytest.raises(InputError, match="kind='smi' is not a data source"):
        open_source({"kind": "smi"}, tmp_path)
    with pytest.raises(
        InputError, match="'conformers' cannot be used: files is missing"
    ):
        open_source({"kind": "conformers"}, tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        open_source({"kind": "xyz", "file": "none.xyz"}, tmp_path)
    with pytest.raises(InputError, match=r"evry is unknown; its options are files, ev"):
        open_source({"kind": "npz", "file": "a.npz", "evry": 2}, tmp_path)
    with pytest.raises(InputError, match="files is missing"):
        open_source({"kind": "sdf"}, tmp_path)
    with pytest.raises(InputError, match="both file and files"):
        open_source({"kind": "xyz", "file": "a", "files": ["b"]}, tmp_path)
    with pytest.raises(InputError, match="length_ is unknown"):
        open_source({"kind": "peptides", "length_": 2}, tmp_path)
    with pytest.raises(InputError, match="an option of a wrong type"):
        open_source({"kind": "peptides", "length": "two"}, tmp_path)
    (tmp_path / "a.toml").write_text("")
    with pytest.raises(InputError, match="names no"):
        build_dataset(tmp_path / "a.toml", tmp_path / "a.npz")


def test_file_and_files_mean_the_same(tmp_path, molecules):
    for i, molecule in enumerate(molecules):
        (tmp_path / f"{i}.xyz").write_text(xyz_text(molecule))
    one = {"kind": "xyz", "file": "0.xyz"}, {"kind": "xyz", "files": "0.xyz"}
    for table in (*one, {"kind": "xyz", "files": ["0.xyz"]}):
        source = open_source(table, tmp_path)
        same(list(source.molecules), molecules[:1])
        assert source.about["files"] == ["0.xyz"]
    names = [f"{i}.xyz" for i in range(len(molecules))]
    for word in ("file", "files"):
        source = open_source({"kind": "xyz", word: names}, tmp_path)
        same(list(source.molecules), molecules)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_option_of_a_source_is_documented(kind):
    page = Path(__file__).parents[2] / "docs" / "pretraining.md"
    (row,) = [r for r in page.read_text().splitlines() if r.startswith(f"| `{kind}`")]
    for option in source_options(kind):
        assert f"`{option}`" in row
