"""A time is known only if the file states one: formats and programs one by one."""

from __future__ import annotations

import struct

import MDAnalysis as mda
import numpy as np
import pytest
from MDAnalysis.lib.formats.libdcd import DCDFile

from mdgeomfeat.errors import InputError
from mdgeomfeat.reading import common_dt, open_universe, trajectory_info
from mdgeomfeat.reading.dcd import read_header
from mdgeomfeat.reading.doubtful_times import doubt_about
from mdgeomfeat.reading.times import frame_time, read_dt

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Reader")
AKMA = 0.04888821  # ps


def header_by_hand(path):
    """Read (NSAVC, DELTA, version) of a little-endian CHARMM file at fixed places."""
    block = path.read_bytes()[:92]
    (nsavc,) = struct.unpack_from("<i", block, 16)
    (delta,) = struct.unpack_from("<f", block, 44)
    (version,) = struct.unpack_from("<i", block, 84)
    return nsavc, delta, version


def mdtraj_frames(files, n=6):
    mdtraj = pytest.importorskip("mdtraj")
    one = mdtraj.load(files / "top.pdb")
    return mdtraj.Trajectory(
        np.repeat(one.xyz, n, axis=0), one.top, time=10.0 * np.arange(n)
    )


def write_dcd(files, path, delta, nsavc, remarks=""):
    u = mda.Universe(files / "top.pdb")
    with DCDFile(str(path), "w") as file:
        file.write_header(remarks, len(u.atoms), 0, nsavc, delta, 1)
        for _ in range(5):
            file.write(u.atoms.positions, np.zeros(6))
    return path


def infos(files, path, dt=None):
    return trajectory_info(open_universe([files / "top.pdb", path], dt=dt), dt)


def all_times(files, path):
    u = open_universe([files / "top.pdb", path])
    return np.array([frame_time(ts, u.trajectory) for ts in u.trajectory])


def test_mdtraj_states_no_times_in_a_dcd_file(files, tmp_path):
    path = tmp_path / "mdtraj.dcd"
    mdtraj_frames(files).save_dcd(str(path))
    assert header_by_hand(path)[:2] == (1, 1.0)
    (info,) = infos(files, path)
    assert (info.dt, info.no_dt, info.knows_times) == (None, "no times", False)
    assert np.isnan(all_times(files, path)).all()


@pytest.mark.parametrize(
    ("delta", "nsavc", "dt"),
    [
        (0.002 / AKMA, 5000, 10.0),  # OpenMM, CHARMM, NAMD
        (10.0 / AKMA, 1, 10.0),  # MDAnalysis
        (1.0, 1, None),  # VMD, mdtraj, ProDy
        (1.0, 5000, None),  # nobody has a time step of 48.9 fs
        (0.0, 5000, None),
        (-0.04, 5000, None),
        (float("nan"), 5000, None),
    ],
)
def test_what_a_dcd_header_states(files, tmp_path, delta, nsavc, dt):
    path = write_dcd(files, tmp_path / "t.dcd", delta, nsavc)
    header = read_header(path)
    expected = header_by_hand(path)
    np.testing.assert_equal((header.nsavc, header.delta, header.version), expected)
    (info,) = infos(files, path)
    assert info.dt == pytest.approx(dt)
    assert np.isfinite(all_times(files, path)).all() == (dt is not None)


def test_a_header_of_the_other_byte_order_is_the_same(files, tmp_path):
    small = write_dcd(files, tmp_path / "t.dcd", 0.002 / AKMA, 250, "by hand")
    here = read_header(small)
    head = small.read_bytes()[: here.start - 4]
    words = np.frombuffer(head, "<i4")
    swapped = bytearray(words.astype(">i4").tobytes())
    swapped[4:8] = head[4:8]
    at = 100  # the remarks are text
    swapped[at : at + len(here.remarks) - 4] = here.remarks[4:]
    big = tmp_path / "big.dcd"
    big.write_bytes(bytes(swapped))
    there = read_header(big)
    for name in ("nsavc", "delta", "has_cell", "version", "n_atoms", "start"):
        assert getattr(there, name) == getattr(here, name)
    cut = tmp_path / "cut.dcd"
    cut.write_bytes(head[:60])
    with pytest.raises(InputError, match=r"cut\.dcd ends inside its header"):
        read_header(cut)


def test_frames_under_a_femtosecond_apart_are_doubted(files, tmp_path):
    # A time step in ps where the format wants AKMA units.
    path = write_dcd(files, tmp_path / "t.dcd", 0.002, 1)
    (info,) = infos(files, path)
    assert info.dt == pytest.approx(0.002 * AKMA, rel=1e-5)
    assert info.doubt == "are only 0.0978 fs apart"


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([0.0, 0.0, 0.0], "all have the time 0 ps"),
        ([3.0, 2.0, 1.0], "go back in time, from 3 to 1 ps"),
        ([0.0, 1e-4, 2e-4], "are only 0.1 fs apart"),
        ([0.0, 1e-3, 2e-3], None),
        ([0.0, 5.0, 6.0], None),
        ([0.0, np.nan, 1.0], None),
        ([7.0], None),
    ],
)
def test_doubts(times, words):
    assert doubt_about(np.arange(len(times)), np.array(times)) == words


def test_netcdf_without_times(files, tmp_path):
    from scipy.io import netcdf_file

    u = mda.Universe(files / "top.pdb")
    whole, bare = tmp_path / "whole.nc", tmp_path / "bare.nc"
    with mda.Writer(str(whole), len(u.atoms)) as writer:
        for k in range(6):
            u.trajectory.ts.time = 20.0 * k
            writer.write(u.atoms)
    with (
        netcdf_file(whole, mmap=False) as old,
        netcdf_file(bare, "w", version=2) as new,
    ):
        for name, value in old._attributes.items():
            setattr(new, name, value)
        for name, size in old.dimensions.items():
            new.createDimension(name, size)
        for name, variable in old.variables.items():
            if name == "time":
                continue
            copy = new.createVariable(name, variable.typecode(), variable.dimensions)
            copy[:] = variable[:].copy()
            for key, value in variable._attributes.items():
                setattr(copy, key, value)
    assert infos(files, whole)[0].dt == 20.0
    (info,) = infos(files, bare)
    assert (info.n_frames, info.dt, info.no_dt) == (6, None, "no times")
    assert np.isnan(all_times(files, bare)).all()


def test_h5_without_times(files, tmp_path):
    tables = pytest.importorskip("tables")
    path = tmp_path / "t.h5"
    mdtraj_frames(files).save_hdf5(str(path))
    assert infos(files, path)[0].dt == 10.0
    with tables.open_file(str(path), "a") as file:
        file.remove_node("/time")
    assert infos(files, path)[0].no_dt == "no times"
    assert np.isnan(all_times(files, path)).all()


@pytest.mark.parametrize("suffix", ["xyz", "pdb"])
def test_text_formats_state_no_times(files, tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    u = mda.Universe(files / "top.pdb")
    u.load_new(np.repeat(u.atoms.positions[None], 4, axis=0))
    u.atoms.write(path, frames="all")
    one = [path] if suffix == "pdb" else [files / "top.pdb", path]
    (info,) = trajectory_info(open_universe(one))
    assert (info.n_frames, info.knows_times) == (4, False)


@pytest.mark.parametrize(
    ("given", "known"), [({}, False), ({"dt": 2.0}, True), ({"dt": AKMA}, False)]
)
def test_arrays_have_times_where_somebody_said_so(files, given, known):
    u = mda.Universe(files / "top.pdb")
    u.load_new(np.repeat(u.atoms.positions[None], 4, axis=0), **given)
    assert trajectory_info(u)[0].knows_times is known


@pytest.mark.parametrize(
    ("given", "ps"),
    [(100, 100.0), (0.5, 0.5), ("100ps", 100.0), ("0.1 ns", 100.0), ("20", 20.0)],
)
def test_a_time_step_as_people_write_it(given, ps):
    assert read_dt(given) == pytest.approx(ps)


@pytest.mark.parametrize("given", [0, -1, "0ps", "ps", "10 frames", "1h", True, "inf"])
def test_a_time_step_that_is_none(given):
    with pytest.raises(InputError, match=r"--dt \(dt=\) is .*must be a time above 0"):
        read_dt(given)


def test_a_stated_time_step_overrules_files(files, tmp_path):
    one = write_dcd(files, tmp_path / "one.dcd", 2.0 / AKMA, 1)
    two = write_dcd(files, tmp_path / "two.dcd", 5.0 / AKMA, 1)
    bare = write_dcd(files, tmp_path / "bare.dcd", 1.0, 1)
    with pytest.raises(
        InputError, match=r"differ: 2 ps in .*one\.dcd and 5 ps in .*two"
    ):
        open_universe([files / "top.pdb", one, two])
    u = open_universe([files / "top.pdb", one, two, bare], dt="2ps")
    found = trajectory_info(u, 2.0)
    assert [i.dt for i in found] == [2.0] * 3
    assert [i.last_time for i in found] == [8.0] * 3
    said = [None, "5 ps between frames", None]
    assert [i.overruled for i in found] == said
    assert common_dt(found) == 2.0
