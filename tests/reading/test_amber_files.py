"""Amber's restart files and text trajectories under any name, with their boxes."""

from __future__ import annotations

import pickle

import mdtraj
import numpy as np
import pytest
from molecules import N_ATOMS, frames, pdb
from systems import entry
from topologies import parm7

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.reading import open_universe, trajectory_info

BOX = (30.0, 31.0, 32.0, 109.4712190, 109.4712190, 109.4712190)


@pytest.fixture
def top(tmp_path):
    return pdb(tmp_path / "top.pdb", frames(1))


def restart(path, xyz, time=None, box=BOX, velocities=False):
    """Write a restart by the letter of Amber's description: F12.7, six a line."""
    text = "a title\n" + f"{len(xyz):5d}"
    text += "\n" if time is None else f"{time:15.7E}\n"

    def block(values):
        values = [f"{v:12.7f}" for v in np.ravel(values)]
        rows = [values[i : i + 6] for i in range(0, len(values), 6)]
        return "".join("".join(row) + "\n" for row in rows)

    text += block(xyz)
    if velocities:
        text += block(0.1 * xyz)
    if box is not None:
        text += block(box)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["a.rst7", "a.inpcrd", "a.restrt", "a.crd", "a.rst"])
@pytest.mark.parametrize("velocities", [False, True])
@pytest.mark.parametrize("time", [None, 250.0])
def test_a_restart_keeps_its_box(tmp_path, top, name, velocities, time):
    xyz = frames(1)[0]
    path = restart(tmp_path / name, xyz, time, velocities=velocities)
    u = open_universe([path, top])
    np.testing.assert_allclose(u.atoms.positions, xyz, atol=1e-5)
    np.testing.assert_allclose(u.trajectory.ts.dimensions, BOX, rtol=1e-6)
    (info,) = trajectory_info(u)
    assert (info.n_frames, info.first_time) == (1, time)
    again = pickle.loads(pickle.dumps(u))
    np.testing.assert_array_equal(again.atoms.positions, u.atoms.positions)


def test_a_restart_without_a_box(tmp_path, top):
    path = restart(tmp_path / "a.rst7", frames(1)[0], box=None)
    assert open_universe([path, top]).trajectory.ts.dimensions is None


@pytest.mark.parametrize("name", ["a.ncrst", "a.rst7", "a.nc"])
def test_a_restart_in_netcdf(tmp_path, top, name):
    from mdtraj.formats import AmberNetCDFRestartFile

    xyz = frames(1)[0]
    with AmberNetCDFRestartFile(str(tmp_path / "w.ncrst"), "w") as file:
        file.write(xyz, time=3.0, cell_lengths=np.array(BOX[:3]),
                   cell_angles=np.array(BOX[3:]))  # fmt: skip
    path = (tmp_path / "w.ncrst").rename(tmp_path / name)
    u = open_universe([path, top])
    np.testing.assert_allclose(u.atoms.positions, xyz, atol=1e-5)
    np.testing.assert_allclose(u.trajectory.ts.dimensions, BOX, rtol=1e-6)
    assert trajectory_info(u)[0].first_time == 3.0


def text(path, positions, box=None):
    """Write a text trajectory: 10F8.3, a box of three lengths after each frame."""
    content = "a title\n"
    for frame in positions:
        values = [f"{v:8.3f}" for v in frame.ravel()]
        rows = [values[i : i + 10] for i in range(0, len(values), 10)]
        content += "".join("".join(row) + "\n" for row in rows)
        if box is not None:
            content += "".join(f"{v:8.3f}" for v in box) + "\n"
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    "name", ["a.mdcrd", "a.crd", "a.mdcrdbox", "a.crdbox", "a.trj", "a.x", "a"]
)
@pytest.mark.parametrize("n_frames", [1, 5])
@pytest.mark.parametrize("box", [None, (30.0, 31.0, 32.0)])
def test_a_text_trajectory_under_any_name(tmp_path, top, name, n_frames, box):
    expected = frames(n_frames)
    path = text(tmp_path / name, expected, box)
    if box is None:
        u = open_universe([path, top])
    else:
        with pytest.warns(MDGeomFeatWarning, match="taken as 90 degrees"):
            u = open_universe([path, top])
    got = np.array([ts.positions.copy() for ts in u.trajectory])
    np.testing.assert_allclose(got, expected, atol=1e-5)
    dimensions = u.trajectory[n_frames - 1].dimensions
    if box is None:
        assert dimensions is None
    else:
        np.testing.assert_allclose(dimensions, [*box, 90, 90, 90])
    (info,) = trajectory_info(u)
    assert (info.n_frames, info.dt, info.first_time) == (n_frames, None, None)


def test_mdtraj_reads_the_same(tmp_path, top):
    path = text(tmp_path / "a.mdcrd", frames(6), (30.0, 31.0, 32.0))
    theirs = mdtraj.load(str(path), top=str(top))
    with pytest.warns(MDGeomFeatWarning):
        u = open_universe([path, top])
    for ts, xyz, lengths in zip(
        u.trajectory, theirs.xyz, theirs.unitcell_lengths, strict=True
    ):
        np.testing.assert_allclose(ts.positions, 10 * xyz, atol=1e-4)
        np.testing.assert_allclose(ts.dimensions[:3], 10 * lengths)


def test_a_truncated_octahedron_needs_its_angles(tmp_path):
    for kind, angle, refused in (
        ("truncoct", 109.471219, True), ("ortho", 90.0, False)
    ):  # fmt: skip
        u = entry("2juy")
        u.atoms.guess_bonds()
        u.dimensions = [44.0, 45.0, 46.0, angle, angle, angle]
        topology = parm7(tmp_path / f"{kind}.parm7", u, angle=angle)
        path = text(
            tmp_path / f"{kind}.mdcrd",
            [u.atoms.positions],
            u.trajectory.ts.dimensions[:3],
        )
        if refused:
            with pytest.raises(InputError, match=r"says 109.47.*cpptraj: trajout t.nc"):
                open_universe([topology, path])
        else:
            copy = open_universe([topology, path])
            np.testing.assert_allclose(
                copy.trajectory.ts.dimensions, u.trajectory.ts.dimensions, atol=1e-3
            )


def test_frames_of_another_molecule_are_refused(tmp_path, top):
    path = text(tmp_path / "a.mdcrd", frames(4)[:, :-1])
    with pytest.raises(InputError, match=f"does not hold frames of {N_ATOMS} atoms"):
        open_universe([path, top])


def test_a_cut_trajectory_is_said(tmp_path, top):
    path = text(tmp_path / "a.mdcrd", frames(4))
    content = path.read_text().splitlines(keepends=True)
    path.write_text("".join(content[:-2]))
    with pytest.raises(
        InputError, match="cut inside a frame; the last good frame is 2"
    ):
        open_universe([path, top])
