"""How atoms make tokens."""

from __future__ import annotations

from pathlib import Path

import MDAnalysis as mda
import numpy as np
import pytest

from mdgeomfeat import GeomGNNFeaturizer, GeomGNNTransformer
from mdgeomfeat.errors import InputError
from mdgeomfeat.featurizer.pooling import TokenPool, atom_groups
from mdgeomfeat.structure import Structure
from mdgeomfeat.testing import random_rotation, relative_error

DATA = Path(__file__).parents[2] / "data" / "wlall"
NUMBERS = np.array([6, 7, 8, 16, 6, 1])
TOKENS = np.array([2, 0, 1, 0, 2, 2])


def structure(**options):
    return Structure.from_arrays(NUMBERS, TOKENS, **options)


@pytest.mark.parametrize("how", ["mean", "sum"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mean_and_sum(how, dtype):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 6, 3, 5)).astype(dtype)
    pool = TokenPool(structure(), how)
    out = pool(values)
    assert pool.n_groups == 1
    assert (out.dtype, out.shape) == (dtype, (3, 3, 3, 5))
    reduce = np.mean if how == "mean" else np.sum
    want = np.stack([reduce(values[:, n == TOKENS], axis=1) for n in range(3)], axis=1)
    np.testing.assert_allclose(out, want, rtol=0, atol=8 * np.finfo(dtype).eps)


def test_elements_stand_side_by_side_and_absent_ones_are_zero():
    rng = np.random.default_rng(0)
    scalars = rng.normal(size=(2, 6, 5))
    vectors = rng.normal(size=(2, 6, 3, 5))
    pool = TokenPool(structure(), "element")
    assert pool.n_groups == 4
    s, v = pool(scalars), pool(vectors)
    assert s.shape == (2, 3, 20)
    assert v.shape == (2, 3, 3, 20)
    kind = {6: 0, 7: 1, 8: 2}
    group = np.array([kind.get(z, 3) for z in NUMBERS])
    for token in range(3):
        for g in range(4):
            atoms = np.flatnonzero((token == TOKENS) & (group == g))
            at = slice(5 * g, 5 * g + 5)
            if not len(atoms):
                assert (s[:, token, at] == 0).all()
                assert (v[:, token, :, at] == 0).all()
                continue
            want = scalars[:, atoms].mean(axis=1)
            np.testing.assert_allclose(s[:, token, at], want, atol=1e-14)
            want = vectors[:, atoms].mean(axis=1)
            np.testing.assert_allclose(v[:, token, :, at], want, atol=1e-14)


def test_side_chains_of_residues_of_every_kind():
    parts = [
        # an amino acid with hydrogens, a nucleotide in two spellings, a ligand, a lone
        # ion, a cap
        (["N", "CA", "C", "O", "CB", "CG", "HA", "HB2"], [0, 0, 0, 0, 1, 1, 0, 1]),
        (["P", "OP1", "O5'", "C1'", "C4'", "N9", "C8"], [0, 0, 0, 0, 0, 1, 1]),
        (["P", "O1P", "O5*", "C1*", "C4*", "N9", "C8"], [0, 0, 0, 0, 0, 1, 1]),
        (["C1", "C2", "CA"], [0, 0, 0]),
        (["ZN"], [0]),
        (["C", "O", "CH3"], [0, 0, 0]),
    ]
    names = [n for part, _ in parts for n in part]
    token = np.repeat(np.arange(len(parts)), [len(p) for p, _ in parts])
    system = Structure.from_arrays(np.full(len(names), 6), token, names=names)
    groups, n = atom_groups(system, "sidechain")
    assert n == 2
    assert groups.tolist() == [g for _, part in parts for g in part]


def test_side_chains_need_names():
    with pytest.raises(InputError, match="pool='sidechain' needs the names of atoms"):
        TokenPool(structure(), "sidechain")


@pytest.mark.parametrize("how", ["sidechain", "element"])
def test_finer_poolings_turn_with_the_molecule_and_reach_every_result(how, tmp_path):
    peptide = mda.Universe(DATA / "wlall.pdb", DATA / "wlall-0.xtc")
    feat = GeomGNNFeaturizer(peptide, pool=how).run(stop=4)
    results = feat.results
    groups = 2 if how == "sidechain" else 4
    assert results.scalars.shape == (4, 5, 64 * groups)
    assert results.vectors.shape == (4, 5, 3, 64 * groups)
    assert results.features.shape == (4, 5 * (64 * groups + 48))
    # the groups' means, weighted, are the mean of all
    plain = GeomGNNFeaturizer(peptide).run(stop=4).results
    group, _ = atom_groups(feat.structure, how)
    count = np.zeros((5, groups))
    np.add.at(count, (feat.structure.token_of_atom, group), 1)
    assert (count.sum(axis=0) > 0).all() or how == "element"
    weight = count / count.sum(axis=1, keepdims=True)
    split = np.asarray(results.scalars).reshape(4, 5, groups, 64)
    whole = (split * weight[None, :, :, None]).sum(axis=2)
    assert relative_error(whole, plain.scalars) < 1e-6
    # a store holds the same, and says how it was pooled
    stored = GeomGNNFeaturizer(peptide, pool=how, store=tmp_path / "f.zarr")
    stored.run(stop=4)
    np.testing.assert_array_equal(stored.results.scalars[:], results.scalars)
    assert stored.results.spec.pool == how
    # invariants stay where the molecule is turned
    x = np.stack([ts.positions for ts in peptide.trajectory[:4]]).astype(np.float64)
    transformer = GeomGNNTransformer(peptide, pool=how).fit()
    expected = transformer.transform(x)
    turned = transformer.transform(x @ random_rotation(1).T)
    assert relative_error(turned, expected) < 1e-5
    assert turned.shape[1] == len(transformer.get_feature_names_out())
