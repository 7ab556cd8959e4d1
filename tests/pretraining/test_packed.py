import json

import numpy as np
import pytest

from mdgeomfeat.errors import InputError
from mdgeomfeat.pretraining.molecules import Molecule
from mdgeomfeat.pretraining.packed import Source, load_packed, merge, pack


def test_positions_survive_to_half_a_thousandth(molecules, packed):
    for index in range(len(packed)):
        molecule = molecules[packed.mol_of[index]]
        frame = index - np.searchsorted(packed.mol_of, packed.mol_of[index])
        wanted = molecule.positions[frame] - molecule.positions[frame].mean(0)
        np.testing.assert_array_equal(packed.numbers(index), molecule.numbers)
        np.testing.assert_allclose(packed.positions(index), wanted, atol=6e-4)


def test_the_manifest_counts_what_is_there(molecules, packed):
    manifest = packed.manifest
    assert packed.sources == ["one", "two"]
    assert manifest["molecules"] == len(molecules)
    assert manifest["conformations"] == len(packed) == 3 * len(molecules)
    assert manifest["elements"]["1"] == sum((m.numbers == 1).sum() for m in molecules)


def test_excluded_molecules_are_dropped_alone_and_in_aggregates(tmp_path):
    x = np.zeros((1, 2, 3), np.float32)
    x[0, 1, 0] = 1.0
    z = np.array([6, 8], np.uint8)
    source = Source("s", [Molecule(z, x, k) for k in ("A", "B", "B.A", "C.B", "CA")])
    manifest = pack([source], tmp_path / "a.npz", exclude=frozenset({"A"}))
    assert list(load_packed(tmp_path / "a.npz").keys) == ["B", "C.B", "CA"]
    assert manifest["sources"][0]["dropped"] == {"on the exclusion list": 2}


def test_bad_positions_are_dropped_and_counted(tmp_path):
    z = np.array([6, 6], np.uint8)
    good = np.zeros((1, 2, 3), np.float32)
    molecules = [
        Molecule(z, good, "good"),
        Molecule(z, good + np.array([[[0.0]], [[np.nan]]], np.float32)[1:], "nan"),
        Molecule(z, np.array([[[0, 0, 0], [90, 0, 0]]], np.float32), "wide"),
    ]
    manifest = pack([Source("s", molecules)], tmp_path / "a.npz", exclude=frozenset())
    assert manifest["molecules"] == 1
    assert sum(manifest["sources"][0]["dropped"].values()) == 2


def test_changed_data_are_noticed(packed, molecules, tmp_path):
    path = tmp_path / "a.npz"
    pack([Source("s", molecules)], path, exclude=frozenset())
    with np.load(path) as file:
        arrays = dict(file)
    arrays["pos"][0] += 1
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="does not match the sha256"):
        load_packed(path)
    manifest = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(InputError, match="format 99"):
        load_packed(path)
    with pytest.raises(InputError, match="does not exist"):
        load_packed(tmp_path / "b.npz")


def test_packing_twice_gives_the_same_hash(molecules, tmp_path):
    hashes = {
        pack([Source("s", molecules)], tmp_path / f"{i}.npz", exclude=frozenset())[
            "sha256"
        ]
        for i in range(2)
    }
    assert len(hashes) == 1


def test_merging_keeps_everything(molecules, tmp_path):
    paths = []
    for i, molecule in enumerate(molecules[:3]):
        paths.append(tmp_path / f"{i}.npz")
        pack([Source(f"s{i}", [molecule])], paths[-1], exclude=frozenset())
    manifest = merge(paths, tmp_path / "all.npz", exclude=frozenset())
    data = load_packed(tmp_path / "all.npz")
    assert data.sources == ["s0", "s1", "s2"]
    assert manifest["conformations"] == 9
    np.testing.assert_allclose(
        data.positions(4),
        molecules[1].positions[1] - molecules[1].positions[1].mean(0),
        atol=1.2e-3,
    )


def test_merged_data_pass_the_exclusion_list_again(tmp_path):
    x = np.zeros((1, 2, 3), np.float32)
    x[0, 1, 0] = 1.0
    z = np.array([6, 8], np.uint8)
    path = tmp_path / "a.npz"
    pack([Source("s", [Molecule(z, x, k) for k in "AB"])], path, exclude=frozenset())
    manifest = merge([path], tmp_path / "b.npz", exclude=frozenset("A"))
    assert load_packed(tmp_path / "b.npz").keys.tolist() == ["B"]
    assert manifest["sources"][0]["dropped"] == {"on the exclusion list": 1}


def test_nothing_left_is_an_error(tmp_path):
    with pytest.raises(InputError, match="No molecule is left"):
        pack([Source("s", [])], tmp_path / "a.npz", exclude=frozenset())
    with pytest.raises(InputError, match=r"ending in \.npz"):
        pack([Source("s", [])], tmp_path / "a.h5", exclude=frozenset())
