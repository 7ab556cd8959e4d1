"""Frames and times: damaged files, uneven clocks, runs of different lengths."""

from __future__ import annotations

import json
import shutil

import MDAnalysis as mda
import numpy as np
import pytest
from MDAnalysis.lib.formats.libmdaxdr import TRRFile

from mdgeomfeat.reading.xdr import CheckedXTCReader, scan_trr, scan_xtc

N = 20


def cut(source, target, size):
    target.write_bytes(source.read_bytes()[:size])
    return target


def spoil(frame, value=np.nan, atom=0):
    def change(ts):
        if ts.frame == frame:
            ts.positions[atom] = value

    return change


@pytest.mark.parametrize("name", ["nan.trr", "nan.dcd", "nan.nc"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_frames_that_are_no_numbers(write, top, refuse, featurize, name, value):
    path = write(name, change=spoil(7, value))
    said = refuse("features", path, top)
    assert f"Frame 7 of {path}" in said
    assert "CH3" in said
    assert "skip" in said
    run = featurize(path, top, "--skip-bad-frames")
    assert run.results.frames[:].tolist() == [*range(7), *range(8, N)]
    assert any("left out" in note for note in run.notes)
    # Lagged pairs do not cross the hole.
    assert [len(f) for f in run.results.features_list()] == [7, 12]


def test_what_is_not_selected_may_be_no_number(write, top, featurize):
    """Atom 1 is a hydrogen, which is not analysed."""
    path = write("h.dcd", change=spoil(7, atom=1))
    assert len(featurize(path, top).results.frames) == N


def test_nothing_but_bad_frames(write, top, refuse):
    def all_bad(ts):
        ts.positions[:] = np.nan

    path = write("none.dcd", change=all_bad)
    assert "None of the 20 frames" in refuse("features", path, top, "--skip-bad-frames")


@pytest.mark.parametrize("name", ["t.xtc", "t.trr", "t.dcd"])
def test_cut_inside_a_frame(write, top, refuse, inform, featurize, tmp_path, name):
    whole = write(name)
    path = cut(whole, tmp_path / name, int(whole.stat().st_size * 0.73))
    for command in ("info", "features", "tica", "vamp"):
        said = refuse(command, path, top)
        assert str(path) in said
        assert "the last good frame is 13" in said
        assert "--skip-bad-frames" in said
    facts = inform(path, top, "--skip-bad-frames")
    assert facts["frames"] == "14"
    assert "the last good frame is 13" in facts["notes"][0]
    run = featurize(path, top, "--skip-bad-frames")
    assert run.results.frames[:].tolist() == list(range(14))
    assert "the last good frame is 13" in json.dumps(run.summary)


@pytest.mark.parametrize("bytes_left", [1, 8, 50, 60, 91])
def test_cut_inside_a_header(write, top, refuse, tmp_path, bytes_left):
    offsets = scan_xtc(write("t.xtc")).offsets
    path = cut(write("t.xtc"), tmp_path / "t.xtc", int(offsets[7]) + bytes_left)
    assert "the last good frame is 6" in refuse("features", path, top)


def test_cut_inside_the_first_frame(write, top, refuse, tmp_path):
    path = cut(write("t.xtc"), tmp_path / "t.xtc", 100)
    assert "cut inside a frame" in refuse("features", path, top, "--skip-bad-frames")


@pytest.mark.parametrize("name", ["t.xtc", "t.trr"])
def test_cut_between_frames(write, top, inform, featurize, tmp_path, name):
    """A shorter file that is in order: its end is stated, and that runs differ."""
    whole = write(name)
    scan = scan_xtc if name == "t.xtc" else scan_trr
    path = cut(whole, tmp_path / name, int(scan(whole).offsets[7]))
    facts = inform(path, top)
    assert facts["trajectories"] == [f"{path}: 7 frames, 2 ps apart, 100 to 112 ps"]
    both = featurize(path, whole, top)
    (note,) = [n for n in both.notes if "differ in length" in n]
    assert "7 frames (to 112 ps)" in note
    assert "20 frames (to 138 ps)" in note
    said = json.dumps(both.summary)
    assert "7 frames, 100 to 112 ps" in said
    assert "20 frames, 100 to 138 ps" in said


def test_cut_netcdf_and_h5(write, top, refuse, tmp_path):
    whole = write("t.nc")
    path = cut(whole, tmp_path / "t.nc", whole.stat().st_size - 300)
    assert "t.nc cannot be read as NCDF" in refuse("info", path, top)
    mdtraj = pytest.importorskip("mdtraj")
    pytest.importorskip("tables")
    mdtraj.load(str(whole), top=str(top)).save_hdf5(str(tmp_path / "t.h5"))
    size = (tmp_path / "t.h5").stat().st_size
    path = cut(tmp_path / "t.h5", tmp_path / "u.h5", size // 2)
    assert "HDF5 structure is damaged" in refuse("info", path, top)


def flipped(source, target, offset, bit=0x10):
    content = bytearray(source.read_bytes())
    content[offset] ^= bit
    target.write_bytes(bytes(content))
    return target


def test_a_damaged_header_ends_the_file(write, top, refuse, featurize, tmp_path):
    start = int(scan_xtc(write("t.xtc")).offsets[5])
    # The number of bytes that follow: the decoder would write beyond its buffer.
    path = flipped(write("t.xtc"), tmp_path / "t.xtc", start + 89)
    said = refuse("features", path, top)
    assert "a frame is damaged; the last good frame is 4" in said
    run = featurize(path, top, "--skip-bad-frames")
    assert len(run.results.frames) == 5


def test_damaged_coordinates_are_found(write, top, refuse, featurize, tmp_path):
    """Somewhere in the packed atoms of frame 5, among them the run lengths."""
    whole = write("t.xtc")
    start, end = scan_xtc(whole).offsets[5:7]
    found = 0
    for offset in range(int(start) + 92, int(end), 2):
        path = flipped(whole, tmp_path / "t.xtc", offset)
        reader = CheckedXTCReader(str(path))
        try:
            assert np.isfinite(reader[5].positions).all()
        except OSError:
            found += 1
            bad = shutil.copy(path, tmp_path / "bad.xtc")
    assert found > 1
    assert f"Frame 5 of {bad}" in refuse("features", bad, top)
    run = featurize(bad, top, "--skip-bad-frames")
    assert run.results.frames[:].tolist() == [*range(5), *range(6, N)]


@pytest.mark.parametrize("frame", [0, 1])
def test_damaged_coordinates_at_the_beginning(
    write, top, refuse, inform, featurize, tmp_path, frame
):
    """The first frames are read while a file is opened."""
    whole = write("t.xtc")
    start = int(scan_xtc(whole).offsets[frame])
    for offset in range(start + 92, start + 140):
        path = flipped(whole, tmp_path / "t.xtc", offset)
        try:
            CheckedXTCReader(str(path))[frame]
        except OSError:
            break
    else:
        pytest.fail("no flipped bit was found out")
    assert inform(path, top)["frames"] == "20"
    assert f"Frame {frame} of {path}" in refuse("features", path, top)
    run = featurize(path, top, "--skip-bad-frames")
    assert len(run.results.frames) == N - 1
    assert run.results.dt == 2.0


def test_frames_of_velocities_only(peptide, top, inform, featurize, tmp_path):
    """GROMACS writes them where velocities are saved more often than positions."""
    path = tmp_path / "v.trr"
    box = np.zeros((3, 3), np.float32)
    with TRRFile(str(path), "w") as file:
        for i, ts in enumerate(peptide.trajectory[:12]):
            x = ts.positions / 10
            file.write(x if i % 3 == 2 else None, x, None, box, i, i * 1.0, 0.0, 19)
    facts = inform(path, top)
    assert facts["trajectories"] == [f"{path}: 4 frames, 3 ps apart, 2 to 11 ps"]
    assert "8 frames without positions" in facts["notes"][0]
    results = featurize(path, top).results
    assert results.times[:].tolist() == [2.0, 5.0, 8.0, 11.0]
    heavy = results.structure.indices
    expected = peptide.trajectory[5].positions[heavy]
    np.testing.assert_allclose(results.positions[1], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("times", "line", "dt"),
    [
        (np.zeros(N), "all times 0 ps (give lags in frames, or state --dt)", None),
        (np.full(N, 7.0), "all times 7 ps (give lags in frames, or state --dt)", None),
        (np.arange(N) ** 2.0, "times that do not grow evenly", None),
        (-np.arange(N) * 1.0, "times that do not grow evenly", None),
        (np.r_[np.arange(10.0), 40 + np.arange(10.0)], "1 ps apart, in 2 pieces "
         "(times jump first at frame 10), 0 to 49 ps", 1.0),
        (5000 + 0.5 * np.arange(N), "0.5 ps apart, 5,000 to 5,009.5 ps", 0.5),
        (1e6 + 20.0 * np.arange(N), "20 ps apart, 1,000,000 to 1,000,380 ps", 20.0),
        (-100 + 10.0 * np.arange(N), "10 ps apart, -100 to 90 ps", 10.0),
    ],
    ids=["zero", "constant", "square", "backwards", "gap", "late", "very late",
         "negative"],
)  # fmt: skip
def test_times(write, top, inform, featurize, tmp_path, times, line, dt):
    path = write("times.xtc", times=times, into=tmp_path)
    facts = inform(path, top)
    assert line in facts["trajectories"][0]
    run = featurize(path, top)
    assert run.results.dt == dt
    uneven = dt is None and len(set(times)) > 1
    assert any("grow evenly" in note for note in run.notes) == uneven


def test_runs_glued_into_one_file(write, top, inform, featurize, run_cli, quick,
                                  tmp_path):  # fmt: skip
    times = np.concatenate([np.arange(40), np.arange(40), np.arange(40)]) * 2.0
    path = write("glued.xtc", 120, times=times, into=tmp_path)
    facts = inform(path, top)
    assert "2 ps apart, in 3 pieces" in facts["trajectories"][0]
    assert "notes" not in facts
    run = featurize(path, top)
    assert run.results.dt == 2.0
    assert [(s.start, s.stop) for s in run.results.segments] == [
        (0, 40), (40, 80), (80, 120)
    ]  # fmt: skip
    assert [len(x) for x in run.results.features_list()] == [40, 40, 40]
    (note,) = run.notes
    assert "Times jump 2 times, first from 78 to 0 ps at frame 40 of" in note
    out = tmp_path / "tica"
    options = ("--lag", "4ps", "--dim", 1, "--states", 2, "--no-maps", "--out", out)
    done = run_cli("tica", path, top, *options, *quick)
    assert done.exit_code == 0, done.output
    summary = (out / "summary.json").read_text()
    assert "Times jump 2 times" in summary


def test_lags_in_time_need_times(write, top, refuse, tmp_path):
    path = write("zero.xtc", 120, times=np.zeros(120), into=tmp_path)
    said = refuse("tica", path, top, "--lag", "5ps")
    assert "5ps" in said
    assert "frames" in said


def test_different_time_steps(write, top, refuse, tmp_path):
    one = write("one.xtc", times=np.arange(N) * 2.0, into=tmp_path)
    two = write("two.xtc", times=np.arange(N) * 5.0, into=tmp_path)
    said = refuse("features", one, two, top)
    assert f"2 ps in {one}" in said
    assert f"5 ps in {two}" in said


def test_a_trajectory_named_twice(write, top, featurize, tmp_path):
    link = tmp_path / "link.xtc"
    link.symlink_to(write("t.xtc"))
    run = featurize(write("t.xtc"), link, top)
    assert any("named more than once" in note for note in run.notes)


def test_one_frame(write, top, inform, featurize, refuse):
    path = write("one.xtc", 1)
    assert inform(path, top)["trajectories"] == [f"{path}: 1 frame"]
    run = featurize(path, top)
    assert run.results.scalars.shape == (1, 3, 8)
    assert run.results.dt is None
    assert "1 frame is too few" in refuse("tica", path, top)


def test_a_trajectory_without_frames(top, refuse, tmp_path):
    """DCD writers that are stopped early leave a header and nothing else."""
    path = tmp_path / "none.dcd"
    with mda.Writer(str(path), 19, dt=1.0) as writer:
        u = mda.Universe(top)
        writer.write(u.atoms)
    path.write_bytes(path.read_bytes()[: -3 * (4 * 19 + 8) - 56])
    said = refuse("info", path, top)
    assert "none.dcd" in said


@pytest.mark.parametrize("name", ["t.xtc", "t.trr", "t.dcd", "t.nc"])
def test_a_box_that_is_none(write, top, inform, name):
    """A box of zeros is no box."""
    assert inform(write(name), top)["box"] == "none"
