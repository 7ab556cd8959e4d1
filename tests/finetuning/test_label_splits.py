"""Splits have the sizes asked for, and those that leak are refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from mdgeomfeat.errors import InputError
from mdgeomfeat.finetuning import (
    Parts,
    SplitConfig,
    check_leaks,
    from_graphs,
    seen_molecules,
    split,
)
from mdgeomfeat.pretraining.molecules import Molecule
from mdgeomfeat.pretraining.packed import Source, pack

SMILES = [
    *("c1ccccc1C", "c1ccccc1O", "c1ccccc1CC", "C1CC1C", "C1CC1O", "C1CCCCC1O"),
    *("C1CCCCC1C", "CCO", "CCN", "CO", "CC", "CCC"),
]


@pytest.fixture
def molecules():
    """Return molecules named by SMILES, with two conformations each."""
    pytest.importorskip("rdkit")
    rng = np.random.default_rng(0)
    names = np.repeat(SMILES, 2)
    graphs = [
        Data(
            z=torch.tensor([6, 8, 1]),
            pos=torch.tensor(rng.normal(size=(3, 3))),
            y=torch.tensor([[float(i)]]),
        )
        for i in range(len(names))
    ]
    return from_graphs(graphs, kind="intensive", unit="eV", smiles=list(names))


def ring(smiles):
    return smiles[: smiles.rindex("1")]


def everything(parts):
    return np.concatenate(list(parts.named().values()))


def test_frames_are_split_in_order_with_gaps(frames, labels):
    data = labels("forces", frames)
    parts = split(data, SplitConfig(train=20, validation=5, gap=3))
    assert parts.method == "time"
    assert parts.train.tolist() == list(range(20))
    assert parts.validation.tolist() == list(range(23, 28))
    assert parts.test.tolist() == list(range(31, 40))
    assert parts.left_out == {"gap": 6}
    without = split(data, SplitConfig(train=0.5, validation=0, gap=3))
    assert without.test.tolist() == list(range(23, 40))


def test_each_trajectory_is_cut_by_itself(frames, graphs, labels):
    other = [
        Data(**{**f.to_dict(), "z": f.z.flip(0), "pos": 2 * f.pos}) for f in frames[:20]
    ]
    data = labels("forces", [*other, *frames])
    parts = split(data, SplitConfig(method="time", train=30, validation=0, gap=2))
    assert parts.train.tolist() == [*range(10), *range(20, 40)]
    assert parts.test.tolist() == [*range(12, 20), *range(42, 60)]


def test_a_trajectory_is_not_split_at_random(frames, labels):
    data = labels("forces", frames)
    with pytest.raises(InputError, match="chosen at random leak; use method 'time'"):
        split(data, SplitConfig(method="random", train=20))
    chosen = SplitConfig(train=20, validation=4, independent=True, seed=3)
    parts = split(data, chosen)
    assert parts.method == "random"
    assert [len(p) for p in parts.named().values()] == [20, 4, 16]
    assert sorted(everything(parts)) == list(range(40))
    assert split(data, chosen).test.tolist() == parts.test.tolist()
    assert split(data, replace(chosen, seed=4)).test.tolist() != parts.test.tolist()


def test_conformations_of_a_molecule_stay_together(molecules):
    for seed in range(5):
        parts = split(molecules, SplitConfig(train=14, validation=4, seed=seed))
        assert [len(p) for p in parts.named().values()] == [14, 4, 6]
        owners = [set(molecules.keys[p]) for p in parts.named().values()]
        assert not owners[0] & owners[2]
        assert not owners[0] & owners[1]
        assert not owners[1] & owners[2]


def test_scaffolds_stay_together_and_acyclic_molecules_are_told_apart(molecules):
    held = set()
    for seed in range(12):
        parts = split(
            molecules,
            SplitConfig(method="scaffold", train=8, validation=2, test=6, seed=seed),
        )
        rings = {i: ring(SMILES[i // 2]) for i in range(24) if "1" in SMILES[i // 2]}
        owners = [
            {rings[i] for i in part if i in rings} for part in parts.named().values()
        ]
        assert not owners[0] & owners[2]
        assert not owners[0] & owners[1]
        assert len(parts.test) <= 6
        acyclic = [i for i in parts.test if i not in rings]
        held |= {SMILES[i // 2] for i in acyclic}
    # One huge "scaffold" of chains would never fit: here each is tested some time.
    assert held == {"CCO", "CCN", "CO", "CC", "CCC"}


def test_seen_molecules_are_not_tested_on(molecules, tmp_path):
    path = tmp_path / "seen.smi"
    path.write_text("OCC ethanol\nCc1ccccc1\n\n")  # written otherwise
    assert len(seen_molecules(path)) == 2
    config = SplitConfig(train=8, validation=4, test=12, seen=str(path))
    for seed in range(4):
        parts = split(molecules, replace(config, seed=seed))
        tested = {SMILES[i // 2] for i in [*parts.test, *parts.validation]}
        assert not tested & {"CCO", "c1ccccc1C"}
    path.write_text("nonsense\n")
    with pytest.raises(InputError, match="is not a SMILES string"):
        split(molecules, config)
    with pytest.raises(InputError, match="cannot be read"):
        seen_molecules(tmp_path / "absent.smi")


def test_frames_of_seen_molecules_are_not_tested_on_either(molecules, tmp_path):
    path = tmp_path / "seen.smi"
    path.write_text("CCO\nc1ccccc1C\n")
    many = molecules.graphs * 8
    names = molecules.smiles * 8
    data = from_graphs(
        [Data(z=g.z, pos=g.pos + i * g.pos**2, y=g.y) for i, g in enumerate(many)],
        kind="intensive", unit="eV", smiles=names,
    )  # fmt: skip
    config = SplitConfig(method="time", train=0.5, validation=0.25, gap=1)
    hidden = {"CCO", "c1ccccc1C"}
    plain = split(data, config)
    assert hidden <= {names[i] for i in plain.test}
    assert hidden <= {names[i] for i in plain.validation}
    parts = split(data, replace(config, seen=str(path)))
    assert not hidden & {names[i] for i in [*parts.test, *parts.validation]}
    assert hidden <= {names[i] for i in parts.train}
    lost = len(everything(plain)) - len(everything(parts))
    assert parts.left_out["seen in pre-training"] == lost


def test_molecules_of_packed_data_count_as_seen_also_in_aggregates(tmp_path):
    pytest.importorskip("rdkit")
    x = np.zeros((1, 2, 3), np.float32)
    x[0, 1, 0] = 1.2
    z = np.array([6, 8], np.uint8)
    for keys in ("smiles", "graph"):
        made = [Molecule(z, x, key) for key in ("one", "two.three")]
        path = tmp_path / f"{keys}.npz"
        pack([Source("s", made)], path, exclude=frozenset(), keys=keys)
    assert seen_molecules(tmp_path / "smiles.npz") == {"one", "two", "three"}
    with pytest.raises(InputError, match="names its molecules by graphs"):
        seen_molecules(tmp_path / "graph.npz")


def test_seen_molecules_need_smiles(frames, labels, tmp_path):
    path = tmp_path / "seen.smi"
    path.write_text("CCO\n")
    pytest.importorskip("rdkit")
    with pytest.raises(InputError, match="told by their SMILES, which"):
        split(labels("forces", frames), SplitConfig(seen=str(path)))
    with pytest.raises(InputError, match="Scaffolds are found from SMILES"):
        split(labels("forces"), SplitConfig(method="scaffold"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": 40}, "-4 to test on cannot be taken from 40"),
        ({"train": 30, "validation": 8, "test": 5}, "cannot be taken from 40"),
        ({"train": 30, "gap": 10, "validation": 0}, "leaves nothing to test on"),
        ({"train": 0}, "is not a share or number"),
        ({"gap": -1}, "is not a share or number"),
        ({"method": "weekly"}, "method='weekly' is unknown"),
    ],
)
def test_splits_that_are_not_possible(frames, labels, changes, message):
    with pytest.raises(InputError, match=message):
        split(labels("forces", frames), SplitConfig(**changes))


def parts_of(train, validation=(), test=(), **more):
    return Parts(*(np.array(p, np.int64) for p in (train, validation, test)), **more)


def test_leaks_of_given_parts_are_found(molecules, frames, labels):
    check_leaks(molecules, parts_of([0, 1, 2, 3], [4, 5], [6, 7]))
    with pytest.raises(InputError, match="entry 3 stands in train and in test"):
        check_leaks(molecules, parts_of([0, 1, 2, 3], [], [3, 6]))
    with pytest.raises(InputError, match="conformations of the molecule"):
        check_leaks(molecules, parts_of([0, 2], [], [1, 6]))
    with pytest.raises(InputError, match="the scaffold 'c1ccccc1' stands in"):
        check_leaks(molecules, parts_of([0, 1], [], [2, 3], method="scaffold"))
    data = labels("forces", frames)
    apart = {"method": "time", "gap": 5}
    check_leaks(data, parts_of(range(10), [], range(15, 30), **apart))
    with pytest.raises(InputError, match="5 apart, and 5 are to be left out"):
        check_leaks(data, parts_of(range(10), [], range(14, 30), **apart))
    with pytest.raises(InputError, match="1 apart"):
        check_leaks(data, parts_of([1, 2, 20], [19], [30], **apart))


def test_a_conformation_that_is_trained_on_is_found_when_turned(frames, labels):
    turned = Data(**frames[4].to_dict())
    turned.pos = turned.pos[:, [1, 2, 0]] + 1.0
    turned.force = turned.force[:, [1, 2, 0]]
    data = labels("forces", [*frames, turned])
    with pytest.raises(InputError, match="entry 40 of test is the same conformation"):
        check_leaks(data, parts_of(range(20), [], [40], independent=True))
    tests = labels("forces", [turned])
    with pytest.raises(InputError, match="entry 0 of the tests of file 1 is the same"):
        check_leaks(data, parts_of(range(20), [], [25], independent=True), [tests])
    with pytest.raises(InputError, match="entry 40 of validation is the same conf"):
        check_leaks(data, parts_of(range(20), [40], [25], independent=True))
    check_leaks(data, parts_of(range(5, 20), [], [25], independent=True), [tests])


def test_classes_in_tests_only(graphs, labels):
    data = labels("classes")
    of = np.array([int(g.y) for g in data.graphs])
    zero, one = np.flatnonzero(of == 0), np.flatnonzero(of == 1)
    with pytest.raises(InputError, match=r"classes \[1\] occur in tests only"):
        check_leaks(data, parts_of(zero[:5], [], [*zero[5:], *one]))
    check_leaks(data, parts_of([*zero[:5], one[0]], [], [*zero[5:], *one[1:]]))
    moved = [Data(z=g.z, pos=2 * g.pos, kind=1) for g in graphs[:2]]
    only_zero = parts_of(zero[:5], [], zero[5:])
    check_leaks(data, only_zero)
    with pytest.raises(InputError, match=r"classes \[1\] occur in tests only"):
        check_leaks(data, only_zero, [labels("classes", moved)])
