"""Times and cells, which formats and programs mean in different ways."""

from __future__ import annotations

import pickle
import warnings

import MDAnalysis as mda
import numpy as np
import pytest
from MDAnalysis.coordinates.timestep import Timestep
from MDAnalysis.lib.formats.libdcd import DCDFile

from mdgeomfeat.boxes import lattice_vectors
from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.reading import common_dt, open_universe, trajectory_info
from mdgeomfeat.reading.times import frame_time

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def write_times(files, target, times):
    u = mda.Universe(files / "top.pdb")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with mda.Writer(str(target), len(u.atoms)) as writer:
            for time in times:
                u.trajectory.ts.time = time
                writer.write(u.atoms)
    return target


@pytest.mark.parametrize(
    ("times", "dt"),
    [
        (np.arange(10) * 0.5, 0.5),
        (1e6 + np.arange(10) * 2.0, 2.0),
        (np.zeros(10), None),
        (np.arange(10) ** 2.0, None),
        (-np.arange(10.0), None),
        # times that single precision rounds to 0.0078 ps
        (1e5 + 0.1 * np.arange(10), 0.1),
        # steps of 2.02 and 1.98 ps in turn
        (2.0 * np.arange(10) + 0.02 * (np.arange(10) % 2), None),
        ([5.0], None),
        ([5.0, 5.3], 0.3),
    ],
)
def test_time_steps(files, tmp_path, times, dt):
    path = write_times(files, tmp_path / "times.xtc", times)
    (info,) = trajectory_info(open_universe([path, files / "top.pdb"]))
    assert info.dt == dt
    assert info.first_time == pytest.approx(times[0])


@pytest.mark.parametrize("suffix", ["xtc", "trr", "nc", "h5"])
def test_seams_are_found_among_all_times(files, tmp_path, suffix):
    # Neither the total nor the frames at beginning, middle and end show these.
    times = 2.0 * np.arange(60)
    times[20:25] += 400
    path = tmp_path / f"glued.{suffix}"
    if suffix == "h5":
        mdtraj = pytest.importorskip("mdtraj")
        pytest.importorskip("tables")
        one = mdtraj.load(files / "top.pdb")
        glued = mdtraj.Trajectory(np.repeat(one.xyz, 60, axis=0), one.top, time=times)
        glued.save_hdf5(path)
    else:
        write_times(files, path, times)
    (info,) = trajectory_info(open_universe([path, files / "top.pdb"]))
    assert (info.dt, info.seams) == (2.0, (20, 25))
    assert (info.first_time, info.last_time, info.no_dt) == (0.0, 118.0, None)
    # a time step that is stated takes the place of all times
    for dt, last, overruled in (
        (2.0, 118.0, None),
        (5.0, 295.0, "2 ps between frames"),
    ):
        u = open_universe([path, files / "top.pdb"], dt=dt)
        (info,) = trajectory_info(u, dt)
        assert (info.dt, info.seams, info.overruled) == (dt, (), overruled)
        assert (info.first_time, info.last_time) == (0.0, last)


def test_different_time_steps_are_refused(files, tmp_path):
    one = write_times(files, tmp_path / "one.xtc", np.arange(5) * 2.0)
    two = write_times(files, tmp_path / "two.xtc", np.arange(5) * 5.0)
    with pytest.raises(InputError, match=r"2 ps in .*one.xtc and 5 ps in .*two.xtc"):
        open_universe([one, two, files / "top.pdb"])
    zero = write_times(files, tmp_path / "zero.xtc", np.zeros(5))
    u = open_universe([one, zero, files / "top.pdb"])
    assert common_dt(trajectory_info(u)) is None
    single = write_times(files, tmp_path / "single.xtc", [7.0])
    u = open_universe([one, single, files / "top.pdb"])
    assert common_dt(trajectory_info(u)) == 2.0


@pytest.mark.parametrize(("time", "told"), [(5.0, 5.0), (9.96921e36, np.nan)])
def test_a_time_that_was_never_written_is_none(time, told):
    frame = Timestep(3)
    frame.time = time
    np.testing.assert_equal(frame_time(frame), told)


@pytest.mark.parametrize("name", ["zero.xtc", "zero.nc"])
def test_times_of_zero_are_no_time_step(files, tmp_path, name):
    path = write_times(files, tmp_path / name, np.zeros(10))
    u = open_universe([path, files / "top.pdb"])
    assert trajectory_info(u)[0].dt is None


def write_dcd(files, target, *, remarks="", delta=1.0, nsavc=1, cells=None):
    """Write the first frames with a header and cells (F, 6) of our choosing."""
    u = mda.Universe(files / "top.pdb", files / "t.xtc")
    cells = np.zeros((5, 6)) if cells is None else cells
    with DCDFile(str(target), "w") as file:
        file.write_header(remarks, len(u.atoms), 0, nsavc, delta, 1)
        for ts in u.trajectory[: len(cells)]:
            file.write(ts.positions, cells[ts.frame])
    return target


def write_dump(files, target, every=1000):
    u = mda.Universe(files / "top.pdb", files / "t.xtc")
    with target.open("w") as file:
        for ts in u.trajectory[:5]:
            file.write(f"ITEM: TIMESTEP\n{ts.frame * every}\n")
            file.write(f"ITEM: NUMBER OF ATOMS\n{len(u.atoms)}\n")
            file.write("ITEM: BOX BOUNDS pp pp pp\n" + "-50 50\n" * 3)
            file.write("ITEM: ATOMS id type x y z\n")
            for number, x in enumerate(ts.positions.tolist(), 1):
                file.write(f"{number} 1 {x[0]} {x[1]} {x[2]}\n")
    return target


@pytest.mark.filterwarnings("ignore:Reader has no dt")
def test_lammps_dumps_count_steps_of_unknown_length(files, tmp_path):
    path = write_dump(files, tmp_path / "t.lammpsdump")
    for paths in ([path], [path, path]):
        for info in trajectory_info(open_universe([files / "top.pdb", *paths])):
            assert (info.dt, info.first_time, info.last_time) == (None, None, None)
            assert info.no_dt == "no times"
    told = mda.Universe(files / "top.pdb", path, dt=0.002)
    assert trajectory_info(told)[0].dt == 2.0


@pytest.mark.parametrize(
    ("remarks", "dt"),
    [
        ("Written by LAMMPS", None),
        ("REMARKS FILENAME=eq3.dcd CREATED BY NAMD", 0.5),
        ("Created by OpenMM", 0.5),
        ("* CHARMM, WRITTEN WITHOUT LAMMPS", 0.5),
        ("", 0.5),
    ],
)
def test_dcd_times_are_akma_but_of_lammps(files, tmp_path, remarks, dt):
    # Half a picosecond in the units that all but LAMMPS write.
    path = write_dcd(
        files, tmp_path / "t.dcd", remarks=remarks, delta=0.002 / 0.04888821, nsavc=250
    )
    (info,) = trajectory_info(open_universe([path, files / "top.pdb"]))
    assert info.dt == dt
    assert info.no_dt == (None if dt else "no times")


def test_whoever_tells_the_units_of_lammps_is_believed(files, tmp_path):
    path = write_dcd(
        files, tmp_path / "t.dcd", remarks="Written by LAMMPS", delta=2.0, nsavc=250
    )
    u = mda.Universe(files / "top.pdb", path, format="LAMMPS", timeunit="fs")
    assert trajectory_info(u)[0].dt == pytest.approx(0.5)


def symmetric(box):
    """Return CHARMM's cell (6,) of a box, and what turns it into MDAnalysis's frame."""
    upright = lattice_vectors(np.array(box))
    values, axes = np.linalg.eigh(upright @ upright.T)
    shape = axes * np.sqrt(values) @ axes.T
    cell = shape[[0, 0, 1, 0, 1, 2], [0, 1, 1, 2, 2, 2]]
    return cell, np.linalg.solve(shape, upright)


def claim_version(path, version):
    content = bytearray(path.read_bytes())
    content[84:88] = np.int32(version).tobytes()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("box", "version"),
    [
        ((30, 31, 32, 80, 105, 62), 24),  # a negative number gives the matrix away
        ((30, 31, 32, 80, 105, 62), 36),
        ((30, 30, 30, 60, 90, 60), 36),  # positive ones look like angles
        ((30, 30, 30, 89, 89, 89), 36),  # small ones look like cosines
    ],
)
def test_frames_in_cells_of_charmm_are_turned(files, tmp_path, box, version):
    cell, turn = symmetric(box)
    path = write_dcd(files, tmp_path / "t.dcd", cells=[cell] * 3)
    claim_version(path, version)
    with pytest.warns(MDGeomFeatWarning, match="t.dcd has triclinic cells as CHARMM"):
        u = open_universe([path, files / "top.pdb"])
    stored = open_universe([files / "t.xtc", files / "top.pdb"])
    for ts, raw in zip(u.trajectory, stored.trajectory, strict=False):
        np.testing.assert_allclose(ts.dimensions, box, atol=1e-3)
        np.testing.assert_allclose(ts.positions, raw.positions @ turn, atol=1e-3)
    many = u.trajectory.timeseries(order="fac")
    np.testing.assert_array_equal(many[2], u.trajectory[2].positions)
    again = pickle.loads(pickle.dumps(u.trajectory))
    np.testing.assert_array_equal(again[2].positions, many[2])


@pytest.mark.parametrize("version", [24, 36])
@pytest.mark.parametrize(
    "cell",
    [
        [0, 0, 0, 0, 0, 0],
        [30, 0, 31, 0, 0, 32],
        [130, 90, 131, 90, 90, 132],
    ],
)
def test_frames_in_other_cells_stay(files, tmp_path, cell, version):
    path = write_dcd(files, tmp_path / "t.dcd", cells=[np.array(cell, float)] * 2)
    u = open_universe([claim_version(path, version), files / "top.pdb"])
    raw = mda.Universe(files / "top.pdb", path)
    np.testing.assert_array_equal(u.atoms.positions, raw.atoms.positions)
    np.testing.assert_array_equal(u.dimensions, raw.dimensions)


@pytest.mark.parametrize("skew", [(0.5, 0.0, 0.0), (60.0, 90.0, 90.0)])
def test_angles_of_other_programs_are_no_matrix(files, tmp_path, skew):
    gamma, beta, alpha = skew
    cell = np.array([30.0, gamma, 30.0, beta, alpha, 40.0])
    path = write_dcd(files, tmp_path / "t.dcd", cells=[cell] * 2)
    u = open_universe([path, files / "top.pdb"])
    raw = mda.Universe(files / "top.pdb", path)
    np.testing.assert_array_equal(u.atoms.positions, raw.atoms.positions)
    np.testing.assert_allclose(u.dimensions, [30, 30, 40, 90, 90, 60], atol=1e-4)
