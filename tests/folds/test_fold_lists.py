"""The fold benchmark's files: both layouts give the same, and damage is refused."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from fold_files import CLASSES, LISTS, piece, write_benchmark, write_hdf5, write_pdb

from mdgeomfeat import InputError
from mdgeomfeat.folds import read_domain, read_domains, read_fold_lists
from mdgeomfeat.folds.domains import refuse_elements
from mdgeomfeat.gnn import load_model

PARTS = tuple(LISTS)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    return write_benchmark(tmp_path_factory.mktemp("folds") / "pdb")


@pytest.fixture
def copy(tmp_path):
    return write_benchmark(tmp_path / "folds")


def test_the_lists_give_parts_and_classes(benchmark):
    lists = read_fold_lists(benchmark, PARTS)
    assert lists.classes == CLASSES
    for part, domains in LISTS.items():
        names, labels = lists.parts[part]
        assert names == tuple(domains)
        assert [CLASSES[i] for i in labels] == list(domains.values())


def test_the_class_is_the_last_column_that_the_map_names(copy):
    (copy / "validation.txt").write_text("d1hvrb1\t24\tb.50\tb.50.1\n")
    labels = read_fold_lists(copy, PARTS).parts["validation"][1]
    assert [CLASSES[i] for i in labels] == ["b.50"]


def test_a_part_is_read_with_its_labels(benchmark):
    domains, labels = read_domains(read_fold_lists(benchmark, PARTS), "training")
    assert [d.name for d in domains] == list(LISTS["training"])
    assert [CLASSES[i] for i in labels] == list(LISTS["training"].values())
    assert [d.n_residues for d in domains] == [
        piece(d.name).n_residues for d in domains
    ]


def test_the_public_lists_can_be_read(shared):
    lists = read_fold_lists(shared / "data" / "folds")
    assert len(lists.classes) == 1195
    counts = {part: len(names) for part, (names, _) in lists.parts.items()}
    assert counts == {
        "training": 12312,
        "validation": 736,
        "test_fold": 718,
        "test_superfamily": 1254,
        "test_family": 1272,
    }


def test_hdf5_and_pdb_hold_the_same(tmp_path):
    for name in ("d1hvra1", "d1lmb41", "d1t2ya_"):
        write_hdf5(tmp_path / f"{name}.hdf5", piece(name))
        write_pdb(tmp_path / f"{name}.pdb", piece(name))
        one, two = (read_domain(tmp_path / f"{name}.{e}") for e in ("hdf5", "pdb"))
        assert one.residues == two.residues
        assert one.structure.numbers.tolist() == two.structure.numbers.tolist()
        assert one.structure.names.tolist() == two.structure.names.tolist()
        assert (
            one.structure.token_of_atom.tolist() == two.structure.token_of_atom.tolist()
        )
        assert one.structure.chain.tolist() == two.structure.chain.tolist()
        moved = one.positions - one.positions[0] + two.positions[0]
        np.testing.assert_allclose(moved, two.positions, atol=2e-3)


def test_of_several_conformations_the_first_is_taken(tmp_path):
    atoms = piece("d1lmb41")
    both = np.stack([atoms.positions, atoms.positions + 1])
    write_hdf5(tmp_path / "d1lmb41.hdf5", atoms, atom_pos=both)
    found = read_domain(tmp_path / "d1lmb41.hdf5").positions
    np.testing.assert_array_equal(found, atoms.positions)


def test_what_is_no_amino_acid_and_hydrogens_are_left_out(tmp_path):
    atoms = piece("d1lmb41")
    path = tmp_path / "d1lmb41.hdf5"
    _, amino = np.unique(atoms.resindices, return_inverse=True)
    amino[-3:] = -1
    write_hdf5(path, atoms, atom_amino_id=amino)
    with h5py.File(path, "r+") as file:
        types = file["atom_types"]
        assert types[1] == 5  # carbon
        types[0] = 0  # as the layout numbers hydrogen
    domain = read_domain(path)
    assert domain.structure.n_atoms == len(atoms) - 4
    assert domain.structure.names[0] == "CA"


def test_a_gap_ends_a_chain(tmp_path):
    atoms = piece("d1lmb41")
    atoms = atoms.select_atoms("not resid 15")
    write_hdf5(tmp_path / "gap.hdf5", atoms)
    chain = read_domain(tmp_path / "gap.hdf5").structure.chain
    assert chain.tolist() == [0] * 9 + [1] * 10


def test_the_backbone_is_where_its_atoms_are(tmp_path):
    atoms = piece("d1lmb41")
    write_hdf5(tmp_path / "one.hdf5", atoms.select_atoms("not (resid 7 and name C)"))
    backbone = read_domain(tmp_path / "one.hdf5").backbone
    assert np.isnan(backbone[1, 2]).all()
    assert np.isfinite(np.delete(backbone.reshape(-1, 3), 5, axis=0)).all()
    alpha = atoms.select_atoms("name CA").positions
    np.testing.assert_allclose(
        backbone[:, 1] - backbone[0, 1], alpha - alpha[0], atol=1e-3
    )


def test_domains_without_a_file_are_refused_or_skipped(copy):
    (copy / "training" / "d1hvra2.pdb").unlink()
    lists = read_fold_lists(copy, PARTS)
    with pytest.raises(InputError, match=r"no file for 1 of 4 domains \(d1hvra2\)"):
        read_domains(lists, "training")
    domains, labels = read_domains(lists, "training", missing="skip")
    assert [d.name for d in domains] == ["d1hvra1", "d1lmb41", "d1t2ya_"]
    assert [CLASSES[i] for i in labels] == ["b.50", "a.35", "g.46"]
    for path in (copy / "validation").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="no file for 1 of 1 domains"):
        lists.files("validation", "skip")


def test_classes_of_tests_only_are_refused(copy):
    (copy / "training.txt").write_text("d1hvra1\tb.50\nd1hvra2\tb.51\nd1lmb41\ta.35")
    (copy / "test_fold.txt").write_text("d1hvrb2\t24\tg.46\tg.46\n")
    with pytest.raises(InputError, match=r"1 classes that no domain .* \(g.46\)"):
        read_fold_lists(copy, PARTS)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("validation.txt", "d1hvra1\tb.50\n", "d1hvra1 is listed in training.txt and"),
        ("validation.txt", "d1hvrb1\tz.99\n", "line 1 holds no class"),
        ("validation.txt", "b.50\n", "line 1 holds no class"),
        ("validation.txt", "\n", "lists no domain"),
        ("class_map.txt", "a.35\t0\nb.50\tone\n", "line 2 must hold a class"),
        ("class_map.txt", "a.35\t0\na.35\t1\n", "line 2 must hold a class"),
        ("class_map.txt", "a.35\t0\nb.50\t2\n", "must be 0 to 1"),
        ("class_map.txt", None, "cannot be read"),
    ],
)
def test_damaged_lists_are_refused(copy, file, text, message):
    if text is None:
        (copy / file).unlink()
    else:
        (copy / file).write_text(text)
    with pytest.raises(InputError, match=message):
        read_fold_lists(copy, PARTS)


def test_positions_that_are_not_numbers_are_refused(tmp_path):
    atoms = piece("d1lmb41")
    positions = atoms.positions[None].copy()
    positions[0, :3] = np.nan
    write_hdf5(tmp_path / "d1lmb41.hdf5", atoms, atom_pos=positions)
    with pytest.raises(InputError, match=rf"3 of {len(atoms)} atoms with posit"):
        read_domain(tmp_path / "d1lmb41.hdf5")


def test_large_proteins_are_refused(benchmark):
    path = benchmark / "training" / "d1lmb41.pdb"
    assert read_domain(path, max_residues=20).n_residues == 20
    with pytest.raises(InputError, match="20 residues, more than the 19"):
        read_domain(path, max_residues=19)


def test_damaged_files_are_refused(tmp_path):
    atoms = piece("d1lmb41")
    write_hdf5(tmp_path / "a.hdf5", atoms, atom_types=None)
    with pytest.raises(InputError, match="lacks atom_types;"):
        read_domain(tmp_path / "a.hdf5")
    write_hdf5(tmp_path / "b.hdf5", atoms, atom_types=np.full(5, 5))
    with pytest.raises(InputError, match=rf"have 5, {len(atoms)} entries"):
        read_domain(tmp_path / "b.hdf5")
    (tmp_path / "c.hdf5").write_text("not HDF5")
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        read_domain(tmp_path / "c.hdf5")
    none = np.full(len(atoms), -1)
    write_hdf5(tmp_path / "d.hdf5", atoms, atom_amino_id=none)
    with pytest.raises(InputError, match="no atom of an amino acid"):
        read_domain(tmp_path / "d.hdf5")


def test_elements_that_the_network_never_saw_are_refused(tmp_path):
    atoms = piece("d1t2ya_")
    from mdgeomfeat.structure.elements import SYMBOLS

    numbers = np.array([SYMBOLS.index(e.capitalize()) for e in atoms.elements])
    sulfur = numbers == 16
    assert sulfur.any()
    with_sulfur = np.isin(atoms.resindices, atoms.resindices[sulfur])
    names = np.where(with_sulfur, "MSE", atoms.resnames)
    write_hdf5(
        tmp_path / "se.hdf5",
        atoms,
        atom_types=np.where(sulfur, 34, numbers) - 1,
        atom_residue_names=np.array([n.encode() for n in names]),
    )
    network = load_model()
    with pytest.raises(InputError, match=r"never seen Se, which 1 domains hold \(se\)"):
        refuse_elements([read_domain(tmp_path / "se.hdf5")], network)
    domain = read_domain(tmp_path / "se.hdf5", selenium_as_sulfur=True)
    refuse_elements([domain], network)
    assert (domain.structure.numbers == numbers).all()
