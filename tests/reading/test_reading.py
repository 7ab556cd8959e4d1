"""Files in any order and any state: a Universe or one clear sentence."""

from __future__ import annotations

import gzip
import pickle
import shutil
import subprocess
import sys
import warnings

import MDAnalysis as mda
import numpy as np
import pytest
from systems import COORDINATES, entry, membrane, solvated
from topologies import mmcif, psf

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.reading import common_dt, open_universe, trajectory_info

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

N = 20


def cut(source, target, size):
    target.write_bytes(source.read_bytes()[:size])
    return target


@pytest.mark.parametrize("name", ["t.xtc", "t.trr", "t.dcd", "t.nc"])
@pytest.mark.parametrize("topology_first", [True, False])
def test_order_does_not_matter(files, name, topology_first):
    names = [files / "top.pdb", files / name]
    u = open_universe(names if topology_first else names[::-1])
    (info,) = trajectory_info(u)
    assert info.n_frames == N
    assert info.dt == 2.0
    if name != "t.dcd":  # DCD knows no absolute times here
        assert (info.first_time, info.last_time) == (100.0, 138.0)


def test_several_trajectories_stay_apart(files):
    u = open_universe([files / "t.xtc", files / "top.pdb", files / "second.xtc"])
    infos = trajectory_info(u)
    assert [i.n_frames for i in infos] == [N, N]
    assert [i.path.rsplit("/")[-1] for i in infos] == ["t.xtc", "second.xtc"]
    assert [r.n_frames for r in u.trajectory.readers] == [N, N]
    assert common_dt(infos) == 2.0
    assert u.trajectory.frame == 0


def test_info_keeps_the_current_frame(files):
    u = open_universe([files / "t.xtc", files / "top.pdb", files / "second.xtc"])
    u.trajectory[27]
    positions = u.atoms.positions
    trajectory_info(u)
    assert u.trajectory.frame == 27
    np.testing.assert_array_equal(u.atoms.positions, positions)


def test_a_structure_may_stand_alone(files):
    assert open_universe([files / "top.gro"]).trajectory.n_frames == 1
    assert open_universe([files / "models.pdb"]).trajectory.n_frames == 5
    u = open_universe([COORDINATES / "2juy.pdb"])
    assert u.trajectory.n_frames == 3
    assert trajectory_info(u)[0].dt is None


def test_xyz_is_a_trajectory_beside_a_topology(files):
    u = open_universe([files / "frame.xyz", files / "top.pdb"])
    assert u.atoms.resnames[0] == "ACE"
    assert len(open_universe([files / "frame.xyz", files / "t.xtc"]).trajectory) == N


def test_gz_structures(tmp_path):
    plain = membrane(tmp_path / "a.gro")
    u = mda.Universe(plain)
    with mda.Writer(str(tmp_path / "a.xtc"), len(u.atoms)) as writer:
        for n in range(5):
            u.trajectory.ts.time = 20000.0 * n
            writer.write(u.atoms)
    (tmp_path / "b.gro.gz").write_bytes(gzip.compress(plain.read_bytes()))
    u = open_universe([tmp_path / "a.xtc", tmp_path / "b.gro.gz"])
    (info,) = trajectory_info(u)
    assert (info.n_frames, info.dt) == (5, 20000.0)
    np.testing.assert_allclose(info.box[3:], [90, 90, 120], atol=1e-3)


def test_unicode_spaces_and_links(files, tmp_path):
    folder = tmp_path / "übung, β 折叠"
    folder.mkdir()
    shutil.copy(files / "t.xtc", folder / "fahrt 1 é.xtc")
    (folder / "τοπ.pdb").symlink_to(files / "top.pdb")
    u = open_universe([folder / "fahrt 1 é.xtc", folder / "τοπ.pdb"])
    assert u.trajectory.n_frames == N


def test_read_only_folder(files, tmp_path):
    folder = tmp_path / "frozen"
    folder.mkdir()
    for name in ("t.xtc", "top.pdb"):
        shutil.copy(files / name, folder / name)
    folder.chmod(0o500)
    try:
        u = open_universe([folder / "t.xtc", folder / "top.pdb"])
        assert u.trajectory.n_frames == N
    finally:
        folder.chmod(0o700)


def test_a_format_is_known_by_its_bytes(files, tmp_path):
    shutil.copy(files / "t.xtc", tmp_path / "trajectory")
    shutil.copy(files / "top.pdb", tmp_path / "structure.txt")
    u = open_universe([tmp_path / "trajectory", tmp_path / "structure.txt"])
    assert u.trajectory.n_frames == N


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "No files are given"),
        (["t.xtc"], "None of the files is a topology"),
        (["t.xtc", "t.dcd"], "None of the files is a topology"),
        (["top.pdb", "top.gro", "t.xtc"], "top.pdb and .*top.gro can be the topology"),
        (["top.pdb", "models.pdb"], "can be the topology; name only one"),
        (["absent.xtc", "top.pdb"], "absent.xtc does not exist"),
        (["", "top.pdb"], "is a folder"),
    ],
)
def test_unclear_commands(files, names, message):
    with pytest.raises(InputError, match=message):
        open_universe([files / n for n in names])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xtc", b"", "a.xtc is empty"),
        ("a.pdb", b" \n", "a.pdb is empty"),
        ("a.xtc", b"some text\n" * 50, "named .xtc but begins like something else"),
        ("a.dcd", b"some text\n" * 50, "named .dcd but begins like something else"),
        ("a.nc", b"\x89HDF\r\n\x1a\n" + b"0" * 99, "named .nc but begins like MDTRAJ"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + b"0" * 99, "HDF5 structure is damaged"),
        ("a.xtc", b"CRYST1\nATOM  \n", "named .xtc but begins like PDB"),
        ("a.trr", b"\x00\x00\x07\xc9" + b"\xff\xa7" * 99, "a.trr cannot be read"),
        ("a.nc", b"CDF\x01" + b"\xff\xa7" * 99, "a.nc cannot be read"),
        ("a.dcd", b"T\x00\x00\x00CORD" + b"\xff\xa7" * 99, "a.dcd cannot be read"),
        ("a.xtc.gz", b"\x1f\x8bxxxx", "cannot be read"),
        ("a.dat", b"1 2 3", "not in a known format"),
    ],
)
def test_files_that_are_not_what_they_say(files, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_universe([tmp_path / name, files / "top.pdb"])


def test_random_bytes_leave_no_traceback(tmp_path):
    # Readers that fail half way complain again when they are thrown away.
    rng = np.random.default_rng(1)
    for name, head in [("a.pdb", b""), ("b.xtc", b"\x00\x00\x07\xcb"), ("c.tpr", b"")]:
        (tmp_path / name).write_bytes(head + rng.bytes(3000))
    code = (
        "import sys\n"
        "from mdgeomfeat.reading import open_universe\n"
        "from mdgeomfeat.errors import InputError\n"
        "for files in (['a.pdb'], ['b.xtc', 'top.pdb'], ['c.tpr']):\n"
        "    try:\n        open_universe(files)\n"
        "    except InputError as error:\n        print(error)\n"
    )
    (tmp_path / "top.pdb").write_text(
        "ATOM      1  CA  ALA A   1       0.000   0.000   0.000  1.00  0.00\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(done.stdout.strip().splitlines()) == 3
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_topology_of_another_molecule(files, data):
    other = data / "ala2" / "ala2.pdb"
    if not other.exists():
        pytest.skip("the alanine dipeptide is not there")
    with pytest.raises(
        InputError, match=r"t.xtc has 19 atoms and the topology .*ala2.pdb 22"
    ):
        open_universe([files / "t.xtc", other])


def test_the_guilty_file_of_several_is_named(files, data):
    other = data / "ala2" / "ala2-0.xtc"
    if not other.exists():
        pytest.skip("the alanine dipeptide is not there")
    with pytest.raises(InputError, match=r"ala2-0.xtc has 22 atoms and"):
        open_universe([files / "top.pdb", files / "t.xtc", other])


def test_topology_without_coordinates(tmp_path):
    path = psf(tmp_path / "a.psf", entry("2juy"))
    with pytest.raises(InputError, match=r"a.psf holds no coordinates"):
        open_universe([path])


def test_mmcif_names_the_missing_package(monkeypatch, tmp_path):
    path = mmcif(tmp_path / "a.cif", entry("2src").atoms)
    monkeypatch.setattr("mdgeomfeat.reading.mmcif.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install mdgeomfeat\[mmcif\]"):
        open_universe([path])


@pytest.mark.parametrize("name", ["t.xtc", "t.trr", "t.dcd"])
def test_cut_inside_a_frame(files, tmp_path, name):
    size = (files / name).stat().st_size
    cut(files / name, tmp_path / name, int(size * 0.73))
    with pytest.raises(InputError, match=r"incomplete: .*last good frame is 13; "):
        open_universe([tmp_path / name, files / "top.pdb"])
    with pytest.warns(MDGeomFeatWarning, match="last good frame is 13"):
        u = open_universe([tmp_path / name, files / "top.pdb"], skip_bad_frames=True)
    u.trajectory[13]
    assert np.isfinite(u.atoms.positions).all()


@pytest.mark.parametrize("extra", [4, 20, 60, 91])
def test_cut_inside_a_header(files, tmp_path, extra):
    offsets = mda.Universe(files / "top.pdb", files / "t.xtc").trajectory._xdr.offsets
    cut(files / "t.xtc", tmp_path / "t.xtc", int(offsets[7]) + extra)
    with pytest.raises(InputError, match="last good frame is 6"):
        open_universe([tmp_path / "t.xtc", files / "top.pdb"])


@pytest.mark.parametrize("name", ["t.xtc", "t.trr"])
def test_cut_between_frames_is_a_shorter_trajectory(files, tmp_path, name):
    offsets = mda.Universe(files / "top.pdb", files / name).trajectory._xdr.offsets
    cut(files / name, tmp_path / name, int(offsets[7]))
    u = open_universe([tmp_path / name, files / "top.pdb"])
    (info,) = trajectory_info(u)
    assert (info.n_frames, info.last_time) == (7, 112.0)


def test_cut_netcdf(files, tmp_path):
    cut(files / "t.nc", tmp_path / "t.nc", (files / "t.nc").stat().st_size - 300)
    with pytest.raises(InputError, match=r"t.nc cannot be read as NCDF"):
        open_universe([tmp_path / "t.nc", files / "top.pdb"])


@pytest.mark.parametrize("name", ["a.xtc", "a.trr", "a.dcd", "a.nc"])
def test_sound_files_are_sound(tmp_path, name):
    # Hundreds of atoms in a tilted box, where small files are stored differently.
    u = solvated()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u.atoms.write(str(tmp_path / name), frames=u.trajectory)
        u.atoms.write(str(tmp_path / "top.gro"))
        expected = [(u.atoms.positions, ts.dimensions) for ts in u.trajectory]
    with warnings.catch_warnings():
        warnings.simplefilter("error", MDGeomFeatWarning)
        read = open_universe([tmp_path / name, tmp_path / "top.gro"])
        assert read.trajectory.n_frames == 4
        for ts, (x, box) in zip(read.trajectory, expected, strict=True):
            np.testing.assert_allclose(ts.positions, x, atol=0.006)
            np.testing.assert_allclose(ts.dimensions, box, atol=1e-2)


@pytest.fixture(scope="module")
def h5(files):
    mdtraj = pytest.importorskip("mdtraj")
    pytest.importorskip("tables")
    trajectory = mdtraj.load(files / "t.xtc", top=files / "top.pdb")
    trajectory.unitcell_lengths = np.full((N, 3), 3.0, dtype=np.float32)
    trajectory.unitcell_angles = np.full((N, 3), [90, 90, 120], dtype=np.float32)
    trajectory.save_hdf5(files / "t.h5")
    return files / "t.h5"


def test_mdtraj_h5_is_the_same_trajectory(files, h5):
    reference = open_universe([files / "t.xtc", files / "top.pdb"])
    for names in ([h5], [h5, files / "top.pdb"]):
        u = open_universe(names)
        assert u.trajectory.n_frames == N
        for ours, theirs in zip(u.trajectory, reference.trajectory, strict=True):
            np.testing.assert_allclose(ours.positions, theirs.positions, atol=1e-4)
            assert ours.time == pytest.approx(theirs.time)
            np.testing.assert_allclose(ours.dimensions, [30, 30, 30, 90, 90, 120])
        assert u.atoms.names.tolist() == reference.atoms.names.tolist()
        assert u.atoms.elements.tolist() == reference.atoms.elements.tolist()
        assert u.trajectory[13].frame == 13
    assert trajectory_info(open_universe([h5]))[0].dt == 2.0
    assert len(open_universe([h5]).bonds) == 18


def test_mdtraj_h5_in_chunks_pickled_and_chained(h5, monkeypatch):
    monkeypatch.setattr("mdgeomfeat.reading.mdtraj_files._CHUNK_BYTES", 12 * 19 * 3)
    u = open_universe([h5, h5])
    expected = np.array([u.atoms.positions for _ in u.trajectory])
    assert expected.shape[0] == 2 * N
    np.testing.assert_array_equal(expected[:N], expected[N:])
    u.trajectory[25]
    copy = pickle.loads(pickle.dumps(u))
    assert copy.trajectory.frame == 25
    np.testing.assert_array_equal(copy.atoms.positions, expected[25])
    for frame in (39, 0, 7, 6):
        copy.trajectory[frame]
        np.testing.assert_array_equal(copy.atoms.positions, expected[frame])


def test_mdtraj_h5_mixed_with_frames_needs_a_topology(files, h5):
    with pytest.raises(InputError, match="name a topology file"):
        open_universe([h5, files / "t.xtc"])


def test_mdtraj_h5_cut(files, h5, tmp_path):
    cut(h5, tmp_path / "t.h5", int(h5.stat().st_size * 0.6))
    with pytest.raises(InputError, match=r"t.h5 cannot be read.*HDF5 structure"):
        open_universe([tmp_path / "t.h5"])


def test_mdtraj_trajectory_in_memory(files, h5):
    mdtraj = pytest.importorskip("mdtraj")
    from mdgeomfeat.reading.mdtraj_files import universe_from_mdtraj

    trajectory = mdtraj.load(h5)
    u = universe_from_mdtraj(trajectory)
    assert u.trajectory.n_frames == N
    u.trajectory[3]
    np.testing.assert_allclose(u.atoms.positions, trajectory.xyz[3] * 10, rtol=1e-6)
    np.testing.assert_allclose(u.dimensions, [30, 30, 30, 90, 90, 120])
    assert trajectory_info(u)[0].dt == 2.0
