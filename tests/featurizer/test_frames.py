import warnings
from types import SimpleNamespace

import MDAnalysis as mda
import numpy as np
import pytest
from feature_systems import peptide

from mdgeomfeat import InputError
from mdgeomfeat.featurizer.frames import (
    FramePlan,
    frame_time,
    reader_of,
    seams,
    segments,
    time_step,
    used_frames,
)


def plan(frames, lengths=(10, 6), chunk_size=4):
    readers = [
        SimpleNamespace(n_frames=n, filename=f"run{k}.xtc")
        for k, n in enumerate(lengths)
    ]
    chain = SimpleNamespace(readers=readers)
    return FramePlan.of(chain, np.asarray(frames), chunk_size)


def test_chunks_start_anew_with_every_trajectory():
    made = plan(np.arange(16))
    assert made.bounds.tolist() == [0, 4, 8, 10, 14, 16]
    assert np.flatnonzero(made.chunk_ends).tolist() == [3, 7, 9, 13, 15]
    assert plan(np.arange(0, 16, 3)).bounds.tolist() == [0, 4, 6]
    assert plan([12, 13], lengths=(5, 5, 5)).bounds.tolist() == [0, 2]


def test_frames_of_a_trajectory_stand_together():
    made = plan([0, 12, 3, 11, 2])
    assert made.frames.tolist() == [0, 3, 2, 12, 11]
    assert made.trajectory.tolist() == [0, 0, 0, 1, 1]
    assert made.first_rows.tolist() == [0, 3]


@pytest.mark.parametrize("chunk_size", [1, 3, 16, 17])
@pytest.mark.parametrize("n_parts", [1, 2, 3, 50])
@pytest.mark.parametrize("frames", [range(16), [0, 1, 5, 9, 10, 15], [7]])
def test_parts_are_whole_chunks_and_lose_no_frame(chunk_size, n_parts, frames):
    made = plan(list(frames), chunk_size=chunk_size)
    portions = made.portions(np.arange(made.n_chunks), n_parts)
    assert len(portions) <= n_parts
    assert all(len(portion) for portion in portions)
    table = np.concatenate(portions)
    np.testing.assert_array_equal(table[:, 0], np.arange(len(frames)))
    np.testing.assert_array_equal(table[:, 1], list(frames))
    assert all(made.chunk_ends[portion[-1, 0]] for portion in portions)


def test_parts_of_some_chunks_hold_their_rows_only():
    made = plan(np.arange(16))
    first, second = made.portions(np.array([1, 2, 4]), 2)
    assert first[:, 0].tolist() == [4, 5, 6, 7, 8, 9]
    assert second.tolist() == [[14, 14], [15, 15]]


def test_frames_know_their_file():
    made = plan([9, 10])
    assert made.trajectory.tolist() == [0, 1]
    assert made.describe(9) == "frame 9 of run0.xtc"
    assert made.describe(10) == "frame 0 of run1.xtc"
    assert made.counts() == [1, 1]
    assert plan([0, 3]).counts() == [2, 0]


def test_a_continuous_chain_is_one_trajectory(data):
    files = [data / "gly2" / f"gly2-{k}.xtc" for k in (0, 1)]
    for continuous in (False, True):
        u = mda.Universe(data / "gly2" / "gly2.pdb", files, continuous=continuous)
        made = FramePlan.of(u.trajectory, np.arange(u.trajectory.n_frames), 64)
        assert len(made.sources) == (1 if continuous else 2)


@pytest.mark.parametrize(
    ("frames", "runs"),
    [
        ([0, 1, 2, 3], [(0, 4)]),
        ([0, 1, 2, 7, 8], [(0, 3), (3, 5)]),
        ([0, 5, 10, 15, 16, 17], [(0, 4), (4, 5), (5, 6)]),
        ([4], [(0, 1)]),
        ([4, 2], [(0, 1), (1, 2)]),
        ([3, 3], [(0, 1), (1, 2)]),
        ([], []),
    ],
)
def test_runs_end_at_gaps(frames, runs):
    got = segments(np.zeros(len(frames), int), np.array(frames))
    assert [(s.start, s.stop) for s in got] == runs


def test_runs_end_with_their_trajectory():
    got = segments(np.array([0, 0, 1, 1]), np.arange(4))
    assert [(s.start, s.stop) for s in got] == [(0, 2), (2, 4)]


def test_time_steps():
    one = [slice(0, 4)]
    assert time_step(np.array([3.0, 5, 7, 9]), one) == 2.0
    assert time_step(np.array([0, 0.02, 0.04, 0.06], np.float32), one) == 0.02
    late = (40_000 + 0.2 * np.arange(4)).astype(np.float32)
    assert time_step(late, one) == pytest.approx(0.2, abs=2e-3)
    assert time_step(np.zeros(4), one) is None
    assert time_step(np.array([0.0, 1, 2, 4]), one) is None
    assert time_step(np.full(4, np.nan), one) is None
    assert time_step(np.array([5.0]), [slice(0, 1)]) is None
    two = [slice(0, 2), slice(2, 4)]
    assert time_step(np.array([0.0, 2, 0, 2]), two) == 2.0
    assert time_step(np.array([0.0, 2, 0, 3]), two) is None


def pieces(times, frames=None, trajectory=None):
    frames = np.arange(len(times)) if frames is None else np.asarray(frames)
    trajectory = np.zeros(len(times), int) if trajectory is None else trajectory
    runs = segments(trajectory, frames, np.asarray(times, dtype=float))
    return [(s.start, s.stop) for s in runs]


EVEN = 2.0 * np.arange(30)


@pytest.mark.parametrize(
    ("times", "runs"),
    [
        (np.r_[EVEN, EVEN], [(0, 30), (30, 60)]),
        (np.r_[EVEN, 500 + EVEN], [(0, 30), (30, 60)]),
        (np.r_[EVEN, 58 + EVEN], [(0, 30), (30, 60)]),  # one frame twice
        (np.r_[EVEN, 61 + EVEN], [(0, 30), (30, 60)]),
        (EVEN + 400 * (np.arange(30) // 10 == 1), [(0, 10), (10, 20), (20, 30)]),
        (np.r_[EVEN, 60 + EVEN], [(0, 60)]),
        (EVEN, [(0, 30)]),
        (np.zeros(30), [(0, 30)]),
        (np.full(30, np.nan), [(0, 30)]),
        (-EVEN, [(0, 30)]),
        (np.arange(30) ** 2.0, [(0, 30)]),
        (np.cumsum(np.arange(30) % 3 + 1.0), [(0, 30)]),
        ([0.0, 1, 2, 4], [(0, 4)]),
        ([3.0], [(0, 1)]),
    ],
)
def test_runs_end_where_times_jump(times, runs):
    assert pieces(times) == runs


def test_rounding_of_times_is_no_seam():
    # 20 fs at a microsecond: neighbours differ by 0 or 0.0625 ps, in long stretches
    # before by 0.0156 or 0.0312.
    late = (0.02 * np.arange(2_000_000, 50_000_000, 4_999)).astype(np.float32)
    assert pieces(late) == [(0, len(late))]
    fine = (1e5 + 0.02 * np.arange(3000)).astype(np.float32)
    assert pieces(fine) == [(0, 3000)]
    summed = np.cumsum(np.full(100_000, 0.02, np.float32), dtype=np.float32)
    assert pieces(summed) == [(0, 100_000)]


def test_seams_are_looked_for_between_frames_that_are_used():
    times = np.r_[EVEN, EVEN]
    assert pieces(times[::2], np.arange(0, 60, 2)) == [(0, 15), (15, 30)]
    # A gap in the frames is a gap already, and no seam.
    used = np.r_[0:20, 25:50]
    assert pieces(times[used], used) == [(0, 20), (20, 25), (25, 45)]
    assert seams(np.zeros(45, int), used, times[used]).tolist() == [25]
    backwards = np.arange(60)[::-1]
    assert len(pieces(times[backwards], backwards)) == 60
    # Every file has a step of its own.
    two = np.repeat([0, 1], 60)
    both = np.r_[times, 3 * times]
    runs = [(0, 30), (30, 60), (60, 90), (90, 120)]
    assert pieces(both, np.arange(120), two) == runs
    assert time_step(both, [slice(*run) for run in runs]) is None
    assert time_step(times, [slice(0, 30), slice(30, 60)]) == 2.0


def test_a_format_without_times_gets_none_made_up(tmp_path):
    u = peptide(2, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        u.atoms.write(tmp_path / "a.pdb", frames="all")
    without = mda.Universe(tmp_path / "a.pdb").trajectory
    assert np.isnan(frame_time(without[1]))
    assert frame_time(u.trajectory[1]) == 2.0


def test_steps_of_lammps_are_no_times(tmp_path):
    text = (
        "ITEM: TIMESTEP\n{}\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n"
        "0 9\n0 9\n0 9\nITEM: ATOMS id type x y z\n1 1 0 0 0\n"
    )
    path = tmp_path / "a.lammpsdump"
    path.write_text("".join(text.format(1000 * k) for k in range(3)))
    for files in (str(path), [str(path), str(path)]):
        u = mda.Universe.empty(1, trajectory=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            u.load_new(files, format="LAMMPSDUMP")
        assert np.isnan(frame_time(u.trajectory[1], u.trajectory))
    told = mda.Universe.empty(1, trajectory=True)
    told.load_new(str(path), format="LAMMPSDUMP", dt=0.002)
    assert frame_time(told.trajectory[1], told.trajectory) == pytest.approx(2.0)


def test_frames_of_run():
    reader = peptide(2, 8).trajectory
    assert used_frames(reader, 1, None, 3).tolist() == [1, 4, 7]
    assert used_frames(reader, frames=[0, -1]).tolist() == [0, 7]
    assert used_frames(reader, frames=[True] + [False] * 6 + [True]).tolist() == [0, 7]
    assert used_frames(reader, frames=np.arange(8) > 5).tolist() == [6, 7]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": [8]}, "names frame 8 where the trajectory has 8 frames"),
        ({"frames": [True]}, "is a mask of 1 where the trajectory has 8 frames"),
        ({"frames": []}, "frames= picks none of the 8 frames"),
        ({"start": 8}, "start=8, stop=None, step=None picks none"),
        ({"frames": [0.5]}, "must be a list of frame numbers or a mask"),
        ({"frames": 3}, "must be a list of frame numbers or a mask"),
        ({"start": 1.5}, "start=1.5.* must be whole numbers"),
        ({"step": 0}, "step not 0"),
        ({"frames": [1], "step": 2}, "cannot be combined with start, stop or step"),
    ],
)
def test_frames_that_cannot_be_used(arguments, message):
    with pytest.raises(InputError, match=message):
        used_frames(peptide(2, 8).trajectory, **arguments)


def test_what_is_no_universe_is_said(tmp_path):
    with pytest.raises(InputError, match="Got a list where a Universe or an AtomGroup"):
        reader_of([])
    with pytest.raises(InputError, match=r"Got an? Atom where a Universe or"):
        reader_of(peptide(2, 1).atoms[0])
    with pytest.raises(InputError, match="came without coordinates"):
        reader_of(mda.Universe.empty(3))


def test_batches_lie_within_chunks():
    made = plan(list(range(16)), chunk_size=5)  # 10 and 6 frames: 5, 5, 5, 1
    (portion,) = made.portions(np.arange(made.n_chunks), 1)
    cuts = [(s.start, s.stop) for s in made.batches(portion[:, 0], 2)]
    want = [(0, 2), (2, 4), (4, 5), (5, 7), (7, 9), (9, 10)]
    assert cuts == [*want, (10, 12), (12, 14), (14, 15), (15, 16)]
    # A portion that begins later is cut at the same places.
    later = made.portions(np.array([1, 3]), 1)[0]
    found = [later[s, 0].tolist() for s in made.batches(later[:, 0], 2)]
    assert found == [[5, 6], [7, 8], [9], [15]]
