"""Data sets are built, told apart and kept from evaluation molecules without RDKit."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mdgeomfeat.errors import InputError
from mdgeomfeat.pretraining import exclusion
from mdgeomfeat.pretraining.datasets import build_dataset, open_source
from mdgeomfeat.pretraining.exclusion import excluded_keys
from mdgeomfeat.pretraining.files import molecules_of
from mdgeomfeat.pretraining.graph_keys import graph_key, graph_key_from_coordinates
from mdgeomfeat.pretraining.molecules import Molecule
from mdgeomfeat.pretraining.packed import Source, load_packed, merge, pack

# Atomic numbers, positions (Å) and the bonds between heavy atoms of two isomers.
ETHANOL = (
    [6, 6, 8, 1, 1, 1, 1, 1, 1],
    [(-1.19, 0.24, 0.0), (0.0, -0.56, 0.0), (1.19, 0.22, 0.0), (1.93, -0.37, 0.0),
     (-1.16, 0.89, 0.88), (-1.16, 0.89, -0.88), (-2.08, -0.39, 0.0),
     (0.0, -1.21, 0.88), (0.0, -1.21, -0.88)],
)  # fmt: skip
ETHER = (
    [6, 8, 6, 1, 1, 1, 1, 1, 1],
    [(-1.16, -0.20, 0.0), (0.0, 0.59, 0.0), (1.16, -0.20, 0.0),
     (-2.02, 0.47, 0.0), (-1.20, -0.83, 0.89), (-1.20, -0.83, -0.89),
     (2.02, 0.47, 0.0), (1.20, -0.83, 0.89), (1.20, -0.83, -0.89)],
)  # fmt: skip
METHANE = (
    [6, 1, 1, 1, 1],
    [(0, 0, 0), (0.63, 0.63, 0.63), (-0.63, -0.63, 0.63), (-0.63, 0.63, -0.63),
     (0.63, -0.63, -0.63)],
)  # fmt: skip
SYMBOLS = {1: "H", 6: "C", 8: "O"}


def molecule(which):
    return np.array(which[0], np.uint8), np.array(which[1], np.float32)


@pytest.fixture
def no_rdkit(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)


def xyz(path, *which):
    text = ""
    for numbers, positions in which:
        text += f"{len(numbers)}\n\n"
        for z, x in zip(numbers, positions, strict=True):
            text += f"{SYMBOLS[z]} {x[0]} {x[1]} {x[2]}\n"
    path.write_text(text)
    return path


def test_keys_do_not_depend_on_order_or_conformation():
    numbers, positions = molecule(ETHANOL)
    key = graph_key_from_coordinates(numbers, positions)
    rng = np.random.default_rng(1)
    order = rng.permutation(len(numbers))
    moved = positions[order] + rng.normal(0, 0.03, positions.shape)
    assert graph_key_from_coordinates(numbers[order], moved) == key
    assert graph_key_from_coordinates(*molecule(ETHER)) != key
    assert graph_key(numbers, np.array(
        [(0, 1), (1, 2), (2, 3), (0, 4), (0, 5), (0, 6), (1, 7), (1, 8)]
    )) == key  # fmt: skip


def test_keys_stay_what_they_are():
    # Splits and the list of exclusions rest on them.
    assert graph_key([8, 1, 1], np.array([(0, 1), (0, 2)])) == (
        "g2200851f89389a97bbe32b77"
    )
    assert graph_key([2], np.empty((0, 2), int)) == "g245c24459f5c8395036d1490"


def test_aggregates_are_named_by_their_parts():
    numbers, positions = molecule(ETHANOL)
    methane, places = molecule(METHANE)
    key = graph_key_from_coordinates(
        np.concatenate([methane, numbers]), np.concatenate([places + 50, positions])
    )
    parts = [graph_key_from_coordinates(*molecule(m)) for m in (ETHANOL, METHANE)]
    assert key.split(".") == sorted(parts)


def test_the_list_of_exclusions_is_the_same_in_both_languages(molecules):
    pytest.importorskip("rdkit")
    assert excluded_keys("graph") == set(exclusion.graph_keys_of_list())
    assert len(excluded_keys("graph")) == len(excluded_keys())
    for mol in molecules:
        names = {graph_key_from_coordinates(mol.numbers, x) for x in mol.positions}
        assert len(names) == 1
        assert (mol.key in excluded_keys()) == (names <= excluded_keys("graph"))


@pytest.mark.usefixtures("no_rdkit")
def test_a_data_set_is_built_without_rdkit(tmp_path):
    xyz(tmp_path / "a.xyz", ETHANOL, ETHANOL, METHANE, ETHER)
    numbers, positions = molecule(ETHANOL)
    np.savez(tmp_path / "b.npz", z=numbers, pos=positions, ptr=[0, len(numbers)])
    config = tmp_path / "d.toml"
    table = '[[source]]\nkind = "xyz"\nfile = "a.xyz"\n[[source]]\nkind = "npz"\n'
    table += 'file = "b.npz"\n'
    config.write_text(table)
    with pytest.raises(InputError, match=r'RDKit is not installed.*keys = "graph"'):
        build_dataset(config, tmp_path / "d.npz")
    config.write_text('keys = "graph"\n' + table)
    manifest = build_dataset(config, tmp_path / "d.npz")
    # Methane and the ether are evaluation molecules; ethanol is in both files.
    assert manifest["sources"][0]["dropped"] == {"on the exclusion list": 2}
    assert (manifest["keys"], manifest["molecules"]) == ("graph", 1)
    data = load_packed(tmp_path / "d.npz")
    assert data.keys.tolist() == 2 * [graph_key_from_coordinates(numbers, positions)]
    assert data.mol_of.tolist() == [0, 0, 1]
    again = merge([tmp_path / "d.npz", tmp_path / "d.npz"], tmp_path / "e.npz")
    assert (again["keys"], again["molecules"]) == ("graph", 1)


@pytest.mark.usefixtures("no_rdkit")
def test_other_sources_of_coordinates_need_no_rdkit(tmp_path):
    numbers, positions = molecule(ETHANOL)
    key = graph_key_from_coordinates(numbers, positions)
    data = [SimpleNamespace(z=torch.tensor(numbers), pos=torch.tensor(positions))]
    (found,) = molecules_of(data, [[0]], graph_key_from_coordinates)
    assert found.key == key

    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        group = file.create_group("ethanol")
        group["smiles"], group["atomic_numbers"] = [b"CCO"], numbers
        group["conformations"] = positions[None]
        group["conformations"].attrs["units"] = "angstrom"
    text = "".join(
        f"HETATM{i + 1:5d} {SYMBOLS[z]:^4s} LIG A   1    {x:8.3f}{y:8.3f}{w:8.3f}"
        f"  1.00  0.00          {SYMBOLS[z]:>2s}\n"
        for i, (z, (x, y, w)) in enumerate(zip(*ETHANOL, strict=True))
    )
    (tmp_path / "a.pdb").write_text(text + "END\n")
    for kind, name in (("spice", "a.hdf5"), ("trajectory", "a.pdb")):
        source = open_source({"kind": kind, "file": name}, tmp_path, "graph")
        (found,) = source.molecules
        assert (found.key, len(found.numbers)) == (key, 9)


@pytest.mark.parametrize("kind", ["sdf", "conformers", "peptides"])
def test_sources_that_need_rdkit_say_so(tmp_path, kind):
    files = {} if kind == "peptides" else {"file": "a"}
    with pytest.raises(InputError, match=r'needs RDKit.*take keys = "graph" out'):
        open_source({"kind": kind, **files}, tmp_path, "graph")


def test_unlike_keys_are_not_mixed(tmp_path):
    numbers, positions = molecule(ETHANOL)
    for keys in ("smiles", "graph"):
        source = Source("s", [Molecule(numbers, positions[None], keys)])
        pack([source], tmp_path / f"{keys}.npz", exclude=frozenset(), keys=keys)
    parts = [tmp_path / "smiles.npz", tmp_path / "graph.npz"]
    with pytest.raises(InputError, match="have different kinds of keys"):
        merge(parts, tmp_path / "all.npz", exclude=frozenset())
    (tmp_path / "d.toml").write_text('keys = "inchi"\n[[source]]\nkind = "npz"\n')
    with pytest.raises(InputError, match="is not a way to distinguish"):
        build_dataset(tmp_path / "d.toml", tmp_path / "d.npz")


def test_what_is_no_element_is_said(tmp_path):
    text = "HETATM    1  Q   LIG A   1       0.000   0.000   0.000  1.00  0.00\n"
    (tmp_path / "a.pdb").write_text(text + "END\n")
    (tmp_path / "a.xyz").write_text("1\n\nQq 0 0 0\n")
    for kind, name in (("trajectory", "a.pdb"), ("xyz", "a.xyz")):
        source = open_source({"kind": kind, "file": name}, tmp_path, "graph")
        with pytest.raises(InputError, match=name):
            list(source.molecules)
