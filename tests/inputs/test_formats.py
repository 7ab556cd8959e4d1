"""Every format that can be read gives the same features of the same frames."""

from __future__ import annotations

import gzip
import shutil
import warnings

import MDAnalysis as mda
import numpy as np
import pytest
from systems import entry, make
from topologies import mmcif

from mdgeomfeat.testing import relative_error

N = 20


@pytest.fixture(scope="module")
def reference(write, top, run_cli, tiny_model, tmp_path_factory):
    from mdgeomfeat.featurizer import FeatureResults

    out = tmp_path_factory.mktemp("reference") / "out"
    result = run_cli(
        "features", write("t.xtc"), top, "--out", out, "--model", tiny_model,
        "--engine", "torch",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return FeatureResults.load(out / "features.zarr")


def same(got, expected, n=N):
    """XTC rounds to 0.01 Å, and so do PDB and GRO: all hold the same positions."""
    assert relative_error(got.positions[:], expected.positions[:n]) < 1e-6
    assert relative_error(got.scalars[:], expected.scalars[:n]) < 1e-5
    assert relative_error(got.vectors[:], expected.vectors[:n]) < 1e-5


@pytest.mark.parametrize("name", ["t.trr", "t.dcd", "t.nc", "t.ncdf", "T.XTC"])
def test_trajectories(name, write, top, featurize, reference):
    same(featurize(top, write(name)).results, reference)


def test_mdtraj_h5(write, top, featurize, reference, tmp_path):
    mdtraj = pytest.importorskip("mdtraj")
    pytest.importorskip("tables")
    loaded = mdtraj.load(str(write("t.xtc")), top=str(top))
    loaded.save_hdf5(str(tmp_path / "t.h5"))
    same(featurize(tmp_path / "t.h5").results, reference)
    same(featurize(top, tmp_path / "t.h5").results, reference)


def test_models_of_a_pdb_file(write, featurize, reference):
    results = featurize(write("models.pdb", n_frames=5)).results
    same(results, reference, 5)
    assert results.dt is None


def test_structures_as_topology(peptide, top, write, featurize, reference, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peptide.trajectory[0]
        peptide.atoms.write(str(tmp_path / "top.gro"))
        peptide.atoms.write(str(tmp_path / "top.crd"))
    (tmp_path / "top.pdb.gz").write_bytes(gzip.compress(top.read_bytes()))
    for name in ("top.gro", "top.crd", "top.pdb.gz"):
        same(featurize(tmp_path / name, write("t.xtc")).results, reference)
    same(featurize(tmp_path / "top.gro").results, reference, 1)


REAL = [
    ("adk-dims/adk.psf", "adk-dims/adk_dims.dcd", 98, 214, 1656),
    ("adk-solvated/adk_oplsaa.tpr", "adk-solvated/adk_oplsaa.xtc", 10, 214, 1656),
    ("beta-peptide/beta-peptide.pdb", "beta-peptide/beta-peptide.xtc", 5001, 10, 90),
    ("dna-pensa/DNA-nw.gro", "dna-pensa/trajfit-nw_step100.xtc", 353, 66, 1347),
    ("fabi-ligand/FtuFabI.NAD.TCL.parm7", "fabi-ligand/FtuFabI.NAD.TCL.nc",
     10, 268, 2022),
    ("trpzip2-nhe/tz2.nhe.parm7", "trpzip2-nhe/tz2.nhe.nc", 100, 13, 116),
    ("trpzip2-solvated/tz2.ortho.parm7", "trpzip2-solvated/tz2.ortho.nc", 10, 13, 116),
    ("trpzip2-solvated/tz2.truncoct.parm7", "trpzip2-solvated/tz2.truncoct.nc",
     10, 13, 116),
    ("ala2-explicit/native.pdb", "ala2-explicit/RUN07.xtc", 501, 3, 10),
    ("yiip-lipids/YiiP_lipids.gro.gz", "yiip-lipids/YiiP_lipids.xtc", 5, 564, 4372),
]  # fmt: skip


def test_files_of_others(shared, inform):
    """TPR, PSF, parm7 and others as the programs themselves wrote them."""
    folder = shared / "data"
    for topology, trajectory, n_frames, n_tokens, n_atoms in REAL:
        facts = inform(folder / trajectory, folder / topology, "--allow-unseen")
        assert facts["frames"] == f"{n_frames:,}", topology
        assert facts["tokens"].startswith(f"{n_tokens} residues"), topology
        assert facts["selected"].startswith(f"{n_atoms:,} atoms"), topology
        assert "problem" not in facts, topology


@pytest.mark.parametrize("name", ["t.trr", "t.dcd", "t.nc"])
def test_a_larger_peptide_in_every_format(data, featurize, tmp_path, name):
    top, traj = data / "aagaa" / "aagaa.pdb", data / "aagaa" / "aagaa-0.xtc"
    u = mda.Universe(top, traj)
    expected = featurize(top, traj, "--stop", 4).results
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u.atoms.write(str(tmp_path / name), frames=u.trajectory[:4])
    got = featurize(top, tmp_path / name).results
    assert relative_error(got.scalars[:], expected.scalars[:]) < 1e-5
    assert relative_error(got.vectors[:], expected.vectors[:]) < 1e-5


@pytest.fixture
def two_chains(tmp_path):
    """Write an mmCIF file with two residues of each chain of 1HVR."""
    protein = entry("1hvr").select_atoms("not element H and resid 26 27")
    return mmcif(tmp_path / "chains.cif", protein)


def test_mmcif(two_chains, inform, tmp_path):
    pytest.importorskip("gemmi")
    assert inform(two_chains)["tokens"] == (
        "4 residues in 2 unbroken chains: A:THR26, A:GLY27, B:THR26, B:GLY27"
    )
    salt = make([("NA", "NA", "Na"), ("CL", "CL", "Cl")] * 4, np.eye(8, 3) * 5.0)
    salt.add_TopologyAttr("chainIDs", ["A"] * 8)
    path = mmcif(tmp_path / "salt.cif", salt.atoms, (30, 32, 34, 80, 95, 100))
    ions = inform(path)
    assert "only solvent and ions (CL (4), NA (4))" in ions["problem"]
    assert "triclinic" in ions["box"]


@pytest.mark.parametrize("name", ["a.mmcif", "a.pdbx"])
def test_mmcif_under_other_names(two_chains, inform, featurize, tmp_path, name):
    pytest.importorskip("gemmi")
    shutil.copy(two_chains, tmp_path / name)
    facts = inform(tmp_path / name)
    assert facts["tokens"].startswith("4 residues in 2 unbroken chains")
    expected, got = featurize(two_chains).results, featurize(tmp_path / name).results
    assert got.scalars.shape == (1, 4, 8)
    np.testing.assert_array_equal(got.scalars[:], expected.scalars[:])


def test_compressed_trajectories_are_told_to_be_unpacked(write, top, refuse, tmp_path):
    packed = tmp_path / "t.xtc.gz"
    packed.write_bytes(gzip.compress(write("t.xtc").read_bytes()))
    assert "decompress it first" in refuse("features", packed, top)
