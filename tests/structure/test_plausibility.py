"""Positions that cannot be right, and those that only look strange."""

from __future__ import annotations

import warnings

import MDAnalysis as mda
import numpy as np
import pytest

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.structure import Structure
from mdgeomfeat.structure.joints import find_joints
from mdgeomfeat.structure.plausibility import check_positions, look_at

BOHR = 0.529177
BOX = np.array([30.0, 30.0, 30.0, 90.0, 90.0, 90.0])


def helix(n):
    """Return an ideal helix of n alanines: a Universe and its positions, Å.

    Atoms of one residue on a cylinder, turned by 100° and raised by 1.5 Å for the next.
    """
    radius = np.array([1.55, 2.28, 1.66, 2.0, 3.3])
    angle = np.deg2rad([0.0, 28.0, 55.0, 65.0, 30.0])
    height = np.array([0.0, 0.87, 2.0, 3.2, 0.0])
    turn = np.deg2rad(100.0) * np.arange(n)[:, None] + angle
    x = np.stack(
        [
            radius * np.cos(turn),
            radius * np.sin(turn),
            height + 1.5 * np.arange(n)[:, None],
        ],
        axis=-1,
    ).reshape(-1, 3)
    u = mda.Universe.empty(
        5 * n, n, atom_resindex=np.repeat(np.arange(n), 5), trajectory=True
    )
    u.add_TopologyAttr("names", ["N", "CA", "C", "O", "CB"] * n)
    u.add_TopologyAttr("elements", ["N", "C", "C", "O", "C"] * n)
    u.add_TopologyAttr("resnames", ["ALA"] * n)
    u.add_TopologyAttr("resids", np.arange(1, n + 1))
    u.add_TopologyAttr("chainIDs", ["A"] * 5 * n)
    u.atoms.positions = x
    return u, x


@pytest.fixture(scope="module")
def chain():
    u, x = helix(12)
    return Structure.from_atomgroup(u.atoms), x


def kinds(structure, x, box=None, periodic=False):
    return [(f.kind, f.fatal) for f in look_at(structure, x, box, periodic)]


def test_joints_are_those_of_the_names(chain):
    structure, x = chain
    pairs = {
        tuple(sorted((structure.names[a], structure.names[b])))
        for a, b in find_joints(structure).pairs
    }
    assert pairs == {("CA", "N"), ("C", "CA"), ("C", "O")}
    assert len(find_joints(structure).pairs) == 36
    assert kinds(structure, x) == []


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (0.1, "ten times too small, as positions in nm"),
        (1 / BOHR, "1.89 times too large, as positions in Bohr"),
        (0.3, "all distances are 0.3 times"),
        (1 / 40, "lie between 0 and 1, as shares of a box length"),
    ],
)
def test_another_unit(chain, factor, words):
    structure, x = chain
    whole = x - x.min(axis=0)
    (finding,) = look_at(structure, whole * factor, None, False)
    assert (finding.kind, finding.fatal) == ("unit", True)
    assert words in finding.words
    a, b = find_joints(structure).pairs.T
    lengths = np.linalg.norm(whole[a] - whole[b], axis=1) * factor
    told = float(finding.words.split(" lie ")[1].split(" Å")[0])
    assert np.abs(lengths - told).min() < 5e-3 * told


def test_another_unit_without_names_or_bonds(chain):
    structure, x = chain
    bare = Structure.from_arrays(structure.numbers)
    assert kinds(bare, x) == []
    assert kinds(bare, x / 10) == [("unit", True)]
    assert kinds(bare, x / BOHR) == [("unit", True)]


@pytest.mark.parametrize("names", ["CA", "O"])
def test_atoms_far_from_each_other_are_no_other_unit(chain, names):
    structure, x = chain
    chosen = structure.names == names
    some = Structure.from_arrays(structure.numbers[chosen])
    assert kinds(some, x[chosen]) == []
    assert kinds(some, x[chosen] / 10) == [("unit", True)]


@pytest.mark.parametrize(
    "order",
    [
        np.arange(60)[::-1],  # backwards, atom by atom
        np.random.default_rng(0).permutation(60),
        np.roll(np.arange(60), 2),
        # within each residue: N CA CB C O
        (5 * np.arange(12)[:, None] + [0, 1, 4, 2, 3]).ravel(),
    ],
)
def test_another_order_of_atoms(chain, order):
    structure, x = chain
    (finding,) = look_at(structure, x[order], None, False)
    assert (finding.kind, finding.fatal) == ("order", True)
    assert "another order than the topology" in finding.words


@pytest.mark.parametrize("factor", [1.0, 1 / BOHR, 0.1])
def test_an_order_in_which_bonds_seem_stretched_is_no_unit(factor):
    # Every third atom of a zigzag comes first: bonds join what has two atoms between,
    # so that all are 2.5 times too long, much as where hydrogens stand elsewhere.
    n = 40
    u = mda.Universe.empty(n, 1, atom_resindex=np.zeros(n, int), trajectory=True)
    u.add_TopologyAttr("elements", ["C"] * n)
    u.add_TopologyAttr("bonds", [(k, k + 1) for k in range(n - 1)])
    structure = Structure.from_atomgroup(u.atoms)
    at = np.arange(n)
    x = factor * np.stack([1.25 * at, 0.87 * (at % 2), 0 * at], axis=-1)
    assert kinds(structure, x) == ([] if factor == 1 else [("unit", True)])
    if factor == 1:
        other = x[np.concatenate([at[::3], at[1::3], at[2::3]])]
        assert kinds(structure, other) == [("order", True)]


# Of residue 5 of the helix, and of residues 3 and 9: N, CA, C, O, CB are 0 to 4.
SWAPS = [(20, 21), (20, 22), (22, 23), (23, 24), (21, 24), (11, 43)]


@pytest.mark.parametrize("bonds", [False, True])
@pytest.mark.parametrize(("i", "j"), SWAPS)
def test_two_atoms_in_each_others_place(chain, i, j, bonds):
    structure, x = chain
    u, _ = helix(12)
    if bonds:
        near = np.linalg.norm(x[:, None] - x[None], axis=-1) < 1.8
        u.add_TopologyAttr("bonds", [p for p in np.argwhere(near) if p[0] < p[1]])
        structure = Structure.from_atomgroup(u.atoms)
    moved = x.copy()
    moved[[i, j]] = x[[j, i]]
    (finding,) = look_at(structure, moved, None, False)
    assert (finding.kind, finding.fatal) == ("order", True)
    first, second = (
        f"{structure.names[k]} of A:ALA{k // 5 + 1}" for k in sorted((i, j))
    )
    assert f"{first} and {second} stand in each other's place" in finding.words
    # Far from any other copy, and across a boundary of a box as well.
    box = np.array([20.0, 20.0, 20.0, 90.0, 90.0, 90.0])
    (finding,) = look_at(structure, moved % 20.0, box, True)
    assert f"{first} and {second} stand in each other's place" in finding.words


def test_any_two_atoms_of_different_residues_in_each_others_place(chain):
    """No bonds are known: CB atoms are joined to nothing, and tell all the same."""
    structure, x = chain
    rng = np.random.default_rng(2)
    for i, j in np.sort(rng.choice(60, (80, 2)), axis=1).tolist():
        if i // 5 == j // 5:
            continue
        moved = x.copy()
        moved[[i, j]] = x[[j, i]]
        (finding,) = look_at(structure, moved, None, False)
        assert (finding.kind, finding.fatal) == ("order", True), (i, j)
        assert "in each other's place" in finding.words
    moved = x.copy()
    moved[[14, 44]] = x[[44, 14]]
    (finding,) = look_at(structure, moved, None, False)
    own = np.linalg.norm(x[44] - x[10:14], axis=1).min()
    assert f"CB of A:ALA3 lies {own:.1f} Å from the nearest other atom of its" in (
        finding.words
    )
    assert "CB of A:ALA3 and CB of A:ALA9 stand in each other's place" in finding.words


@pytest.mark.parametrize("last", range(20, 25))
def test_a_chain_cut_anywhere_is_no_exchange(chain, last):
    """A boundary between N and CA, say: CB would fit where N is missing."""
    structure, x = chain
    moved = x + np.outer(np.arange(60) <= last, [26.0, 0.0, 0.0])
    for finding in look_at(structure, moved, None, False):
        assert (finding.kind, finding.fatal) == ("torn", False), finding.words


def test_three_atoms_in_a_ring_are_odd(chain):
    structure, x = chain
    moved = x.copy()
    moved[[20, 21, 22]] = x[[21, 22, 20]]
    assert kinds(structure, moved) == [("apart", False)]


def test_residues_of_one_kind_in_another_order(chain):
    structure, x = chain
    residues = x.reshape(12, 5, 3)[np.random.default_rng(1).permutation(12)]
    (finding,) = look_at(structure, residues.reshape(-1, 3), None, False)
    assert (finding.kind, finding.fatal) == ("order", False)
    assert "most residues whose numbers follow" in finding.words


@pytest.mark.parametrize(
    "box", [BOX, np.array([30.0, 30.0, 30.0, 60.0, 60.0, 90.0])], ids=["cube", "rhomb"]
)
def test_a_wrapped_chain_is_in_order(chain, box):
    structure, x = chain
    from mdgeomfeat.boxes import lattice_vectors

    h = lattice_vectors(box)
    for corner in ([0, 0, 0], [15, 15, 15], [-7.0, 3.0, 1.0]):
        shares = (x + corner) @ np.linalg.inv(h)
        wrapped = (shares - np.floor(shares)) @ h
        a, b = find_joints(structure).pairs.T
        parted = np.linalg.norm(wrapped[a] - wrapped[b], axis=1).max() > 5
        assert kinds(structure, wrapped, box, True) == []
        torn = [("torn", False)] if parted else []
        assert kinds(structure, wrapped, box, False) == torn
        for finding in look_at(structure, wrapped, None, False):
            assert (finding.kind, finding.fatal) == ("torn", False)
            assert "as if wrapped, but there is no box" in finding.words


def test_a_long_chain_in_a_small_cell(chain):
    structure, x = chain
    cell = np.array([16.0, 16.0, 12.0, 90.0, 90.0, 90.0])  # the chain is 19 Å long
    assert kinds(structure, x, cell, True) == []
    assert kinds(structure, x % cell[:3], cell, True) == []


def test_a_chain_that_has_exploded(chain):
    structure, x = chain
    gone = x + np.random.default_rng(0).normal(0, 200.0, x.shape)
    (finding,) = look_at(structure, gone, None, False)
    assert (finding.kind, finding.fatal) == ("exploded", True)
    one = x.copy()
    one[17] += [900.0, 0, 0]
    (finding,) = look_at(structure, one, None, False)
    assert (finding.kind, finding.fatal) == ("apart", False)
    assert "C of A:ALA4" in finding.words


def test_atoms_on_one_place(chain):
    structure, x = chain
    two = x.copy()
    two[3] = two[40]
    (finding, *_) = look_at(structure, two, None, False)
    assert (finding.kind, finding.fatal) == ("same place", True)
    assert "O of A:ALA1 and N of A:ALA9 lie 0.00 Å apart" in finding.words
    assert kinds(structure, np.zeros_like(x)) == [("same place", True)]
    # an image of another atom, too
    two[3] = two[40] + BOX[:3] * [1, 0, -1]
    assert ("same place", True) in kinds(structure, two, BOX, True)
    near = x.copy()
    near[4] = near[44] + [0.3, 0, 0]
    assert kinds(structure, near) == [("near", False)]


def test_hot_and_noisy_chains_are_sound(chain):
    structure, x = chain
    rng = np.random.default_rng(3)
    for _ in range(20):
        assert kinds(structure, x + rng.normal(0, 0.1, x.shape)) == []


def test_traces_and_small_structures_are_sound():
    u, _ = helix(6)
    trace = u.select_atoms("name CA")
    u.add_TopologyAttr("bonds", [tuple(p) for p in np.c_[trace.ix[:-1], trace.ix[1:]]])
    assert kinds(Structure.from_atomgroup(trace), trace.positions) == []
    assert kinds(Structure.from_arrays([6]), np.zeros((1, 3))) == []


def test_what_is_refused_may_be_accepted(chain):
    structure, x = chain
    frames = [("frame 0 of t.dcd", x / 10, None), ("frame 1 of t.dcd", x / 10, None)]
    with pytest.raises(InputError, match=r"In frame 0 of t\.dcd .*in nm.*--allow-imp"):
        check_positions(structure, frames, periodic=False, allow=False)
    with pytest.warns(MDGeomFeatWarning, match=r"nm are.*\(1 more of the frames"):
        check_positions(structure, frames, periodic=False, allow=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_positions(structure, [("here", x, None)], periodic=False, allow=False)


TRAJECTORIES = [
    ("adk-dims", "adk.psf", "adk_dims.dcd"),
    ("adk-solvated", "adk_oplsaa.tpr", "adk_oplsaa.xtc"),
    ("ala2-explicit", "native.pdb", "RUN00.xtc"),
    ("beta-peptide", "beta-peptide.pdb", "beta-peptide.xtc"),
    ("dna-pensa", "DNA-nw.gro", "trajfit-nw_step100.xtc"),
    ("fabi-ligand", "FtuFabI.NAD.TCL.parm7", "FtuFabI.NAD.TCL.nc"),
    ("trpzip2-nhe", "tz2.nhe.parm7", "tz2.nhe.nc"),
    ("trpzip2-solvated", "tz2.ortho.parm7", "tz2.ortho.nc"),
    ("trpzip2-solvated", "tz2.truncoct.parm7", "tz2.truncoct.nc"),
    ("yiip-lipids", "YiiP_lipids.gro.gz", "YiiP_lipids.xtc"),
]


def test_no_false_alarm(shared):
    """Whole, wrapped or coarse in time, as programs wrote them."""
    from mdgeomfeat.reading import open_universe
    from mdgeomfeat.structure.selection import select_atoms

    alarms = {}
    for folder, a, b in TRAJECTORIES:
        place = shared / "data" / folder
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            u = open_universe([place / a, place / b])
            structure = Structure.from_atomgroup(select_atoms(u, None))
        chosen = np.linspace(0, u.trajectory.n_frames - 1, 4).astype(int)
        for frame in np.unique(chosen):
            ts = u.trajectory[int(frame)]
            x = ts.positions[structure.indices]
            periodic = ts.dimensions is not None
            alarms[b, frame] = look_at(structure, x, ts.dimensions, periodic)
    assert not any(alarms.values()), alarms
