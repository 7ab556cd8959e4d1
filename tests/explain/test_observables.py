"""What states are compared in, against independent values."""

from __future__ import annotations

import warnings
from dataclasses import replace

import MDAnalysis as mda
import numpy as np
import pytest
from MDAnalysis.analysis import rms
from MDAnalysis.analysis.align import AlignTraj, AverageStructure
from MDAnalysis.analysis.dssp import DSSP
from motions import molecule
from systems import entry

from mdgeomfeat.explain.measure import CONTACT, SALT_BRIDGE, measure
from mdgeomfeat.explain.observables import (
    Angles,
    Classes,
    Fluctuations,
    Kind,
    Numbers,
    Shares,
)
from mdgeomfeat.explain.secondary import Backbone
from mdgeomfeat.structure import Structure


def equal(n):
    return np.full(n, 1 / n)


def one(observables, kind):
    return next(o for o in observables if o.kind is kind)


@pytest.mark.parametrize("margin", [0.0, 1.0, 1.5])
def test_cliffs_delta_is_that_of_all_pairs(margin):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, (50, 3)).astype(float)  # with ties
    weights = rng.random(50)
    a, b = np.arange(20), np.arange(20, 50)
    wa, wb = (weights[p] / weights[p].sum() for p in (a, b))
    numbers = Numbers(
        kind=Kind.LIGAND_DISTANCE,
        names=("x", "y", "z"),
        tokens=((),) * 3,
        values=values,
        margin=margin,
    )
    difference = values[b][None] - values[a][:, None]
    sign = np.sign(difference) * (np.abs(difference) > margin)
    expected = np.einsum("i,j,ijm->m", wa, wb, sign)
    found = numbers.contrast(a, b, wa, wb)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-12)


def test_effects_reach_from_none_to_the_largest_possible():
    a, b = np.arange(4), np.arange(4, 8)
    w = equal(4)

    def effect(observable):
        return observable.scale * np.linalg.norm(
            observable.contrast(a, b, w, w), axis=1
        )

    common = {"kind": Kind.CONTACT, "names": ("x", "y"), "tokens": ((), ())}
    there = np.zeros((8, 2), bool)
    there[4:, 1] = True
    assert effect(Shares(there=there, **common)) == pytest.approx([0, 1])
    member = np.zeros((8, 2, 3), bool)
    member[:, 0, 0] = member[:4, 1, 0] = member[4:, 1, 2] = True
    assert effect(Classes(member=member, **common)) == pytest.approx([0, 1])
    values = np.zeros((8, 2))
    values[:4, 1], values[4:, 1] = np.radians(-170), np.radians(10)
    folds = np.ones(2, int)
    angles = Angles(values=values, folds=folds, **common)
    assert effect(angles) == pytest.approx([0, 1])
    assert angles.value(a, w) == pytest.approx([0, -170])
    twice = Angles(values=values, folds=2 * folds, **common)
    assert effect(twice) == pytest.approx([0, 0], abs=1e-12)


def test_mean_angles_cross_the_seam():
    values = np.radians([[170.0], [-170.0], [180.0]])
    angles = Angles(
        kind=Kind.TORSION,
        names=("x",),
        tokens=((0,),),
        values=values,
        folds=np.array([1]),
    )
    assert abs(angles.value(np.arange(3), equal(3))[0]) == pytest.approx(180)


def test_fluctuations_are_those_of_mdanalysis():
    rng = np.random.default_rng(3)
    shape = 8 * rng.normal(size=(12, 3))
    frames = shape + rng.normal(size=(40, 12, 3)) * np.linspace(0.1, 1.0, 12)[:, None]
    u = mda.Universe.empty(12, trajectory=True)
    u.load_new(frames.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u.add_TopologyAttr("masses", np.ones(12))
        reference = u.copy()
        for _ in range(2):
            reference = AverageStructure(u, reference).run().results.universe
        AlignTraj(u, reference, in_memory=True).run()
    theirs = rms.RMSF(u.atoms).run().results.rmsf
    own = Fluctuations(
        kind=Kind.RMSF,
        names=tuple(map(str, range(12))),
        tokens=tuple((i,) for i in range(12)),
        points=frames,
        fitted=np.ones(12),
    )
    np.testing.assert_allclose(own.value(np.arange(40), equal(40)), theirs, rtol=0.01)


@pytest.mark.parametrize(("name", "n"), [("1lmb", 40), ("2juy", 27)])
def test_secondary_structure_is_that_of_mdanalysis(name, n):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u = entry(name)
        atoms = u.select_atoms("protein and not name H*")
        theirs = DSSP(u.select_atoms("protein")).run(stop=1).results.dssp[0]
    backbone = Backbone(Structure.from_atomgroup(atoms))
    classes, _ = backbone.assign(atoms.positions[None])
    letters = np.array(["-", "H", "E"])[classes[0].argmax(axis=1)]
    assert len(letters) == len(theirs) == n
    assert classes.sum(axis=2).max() == 1
    assert "".join(letters) == "".join(theirs)


def test_empty_places_between_chains_do_not_spread_the_atoms():
    """A search for neighbours divides all space between them into cells."""
    structure, x = molecule("1lmb")
    backbone = Backbone(structure)
    places = int(backbone._place[-1]) + 6
    coordinates = backbone._coordinates(x, places)
    size = np.ptp(x, axis=0).max()
    # a row of as many places as there are residues would be 900 Å long
    assert len(backbone.tokens) == 40
    assert np.ptp(coordinates, axis=(0, 1)).max() < 3 * size
    n = coordinates[:, 0]
    empty = np.setdiff1d(np.arange(places), backbone._place)
    oxygen = np.concatenate([n[:, None], coordinates[:, 3][:, None]], axis=1)
    for k in empty.tolist():
        others = np.delete(oxygen, k, axis=0).reshape(-1, 3)
        for own in oxygen[k]:
            assert np.linalg.norm(others - own, axis=1).min() > 9


def test_hydrogen_bonds_are_those_of_kabsch_and_sander():
    """Energies are summed here atom by atom, with hydrogens put in by hand."""
    structure, x = molecule("1lmb")
    backbone = Backbone(structure)
    _, (bonds,) = backbone.assign(x[None])
    at = {
        (int(t), str(name)): x[i]
        for i, (t, name) in enumerate(
            zip(structure.token_of_atom, structure.names, strict=True)
        )
    }
    names = structure.tokens["resname"]
    expected = set()
    for i in range(1, structure.n_tokens):
        if names[i] == "PRO":
            continue
        n = at[i, "N"]
        away = [n - at[i - 1, "C"], n - at[i, "CA"]]
        away = sum(v / np.linalg.norm(v) for v in away)
        h = n + 1.01 * away / np.linalg.norm(away)
        for j in range(structure.n_tokens):
            c, o = at[j, "C"], at[j, "O"]
            if abs(i - j) < 2:
                continue
            d = [np.linalg.norm(p - q) for p, q in ((o, n), (c, h), (o, h), (c, n))]
            energy = 0.084 * 332 * (1 / d[0] + 1 / d[1] - 1 / d[2] - 1 / d[3])
            if energy < -0.5 and d[0] < 5:
                expected.add((i, j))
    assert len(expected) > 15
    assert {tuple(pair) for pair in bonds.tolist()} == expected


@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_no_turn_reaches_into_the_next_chain_by_order_alone(shift):
    """A helix cut in two, in place and apart: neither half goes on in the other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u = entry("1lmb")
    helix = u.select_atoms("resid 10:21 and not name H*")
    first, second = helix.select_atoms("resid 10:15"), helix.select_atoms("resid 16:21")
    alone = [
        Backbone(Structure.from_atomgroup(part)).assign(part.positions[None])[0][0]
        for part in (first, second)
    ]
    merged = mda.Merge(first, second)
    # in place, its bonds go on from one to the other
    merged.add_TopologyAttr("chainIDs", ["A"] * len(first) + ["B"] * len(second))
    x = merged.atoms.positions
    x[len(first) :] += shift
    merged.atoms.positions = x
    structure = Structure.from_atomgroup(merged.atoms)
    assert len(set(structure.chain.tolist())) == 2
    together, _ = Backbone(structure).assign(x[None])
    np.testing.assert_array_equal(together[0], np.concatenate(alone))


def test_a_proline_gives_no_hydrogen_bond():
    """Residues that give one are called prolines, one after the other."""
    structure, x = molecule("1lmb")
    _, (bonds,) = Backbone(structure).assign(x[None])
    givers = np.unique(bonds[:, 0])
    assert len(givers) > 10
    for giver in givers[:5].tolist():
        tokens = structure.tokens.copy()
        tokens["resname"][giver] = "PRO"
        _, (left,) = Backbone(replace(structure, tokens=tokens)).assign(x[None])
        np.testing.assert_array_equal(left, bonds[bonds[:, 0] != giver])


def test_contacts_and_salt_bridges_are_those_of_all_atom_pairs():
    structure, x = molecule("1lmb")
    rng = np.random.default_rng(1)
    frames = x + rng.normal(0, 0.3, (3, *x.shape))
    found = measure(structure, frames)
    contacts, bridges = one(found, Kind.CONTACT), one(found, Kind.SALT_BRIDGE)
    token = structure.token_of_atom
    acid = {"ASP": ("OD1", "OD2"), "GLU": ("OE1", "OE2")}
    base = {"LYS": ("NZ",), "ARG": ("NE", "NH1", "NH2")}

    def ends(table):
        resnames = structure.tokens["resname"]
        return {
            t: np.isin(structure.names, table[resnames[t]]) & (token == t)
            for t in range(structure.n_tokens)
            if resnames[t] in table
        }

    touching, bridged = [], []
    for frame in frames:
        distance = np.linalg.norm(frame[:, None] - frame[None], axis=2)
        touching.append(
            {
                (i, j)
                for i in range(structure.n_tokens)
                for j in range(i + 3, structure.n_tokens)
                if distance[np.ix_(token == i, token == j)].min() < CONTACT
            }
        )
        bridged.append(
            {
                (i, j)
                for i, a in ends(acid).items()
                for j, b in ends(base).items()
                if distance[np.ix_(a, b)].min() < SALT_BRIDGE
            }
        )
    for observable, expected in ((contacts, touching), (bridges, bridged)):
        assert set(observable.tokens) == set.union(*expected)
        for there, pairs in zip(observable.there, expected, strict=True):
            own = {
                t
                for t, is_there in zip(observable.tokens, there, strict=True)
                if is_there
            }
            assert own == pairs


def test_radius_of_gyration_is_without_ligands():
    structure, x = molecule("1hvr")
    found = one(measure(structure, x[None]), Kind.RADIUS_OF_GYRATION)
    protein = structure.tokens["resname"][structure.token_of_atom] != "XK2"
    shape = x[protein] - x[protein].mean(axis=0)
    expected = np.sqrt((shape**2).sum(axis=1).mean())
    assert found.values[0, 0] == pytest.approx(expected, rel=1e-6)


def test_nucleic_acids_have_their_own_angles():
    structure, x = molecule("nucleic")
    found = one(measure(structure, x[None]), Kind.TORSION)
    kinds = {name.rpartition(":")[2] for name in found.names}
    assert kinds == {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "chi"}


def test_a_residue_between_two_gaps_is_no_ligand():
    structure, x = molecule("1lmb", "resid 10:14 18 22:26")
    kinds = {o.kind for o in measure(structure, x[None])}
    assert Kind.LIGAND_DISTANCE not in kinds
    single = Structure.from_arrays([6, 8], [0, 0])
    assert measure(single, np.zeros((2, 2, 3)) + np.eye(3)[:2])
