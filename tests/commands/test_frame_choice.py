"""Which frames are analysed, and how tables and JSON name them."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import MDAnalysis as mda
import numpy as np
import pytest

from mdgeomfeat.commands.features import chosen_frames
from mdgeomfeat.commands.tables import frame_origins, write_cvs, write_json
from mdgeomfeat.errors import InputError


@pytest.fixture(scope="module")
def two_files(data, tmp_path_factory):
    """Return a Universe of files of 7 and of 12 frames."""
    folder = tmp_path_factory.mktemp("two")
    whole = mda.Universe(str(data / "ala2/ala2.pdb"), str(data / "ala2/ala2-0.xtc"))
    paths = [folder / "a.xtc", folder / "b.xtc"]
    whole.atoms.write(str(paths[0]), frames=whole.trajectory[:7])
    whole.atoms.write(str(paths[1]), frames=whole.trajectory[100:112])
    return mda.Universe(str(data / "ala2/ala2.pdb"), list(map(str, paths)))


@pytest.mark.parametrize(
    ("cut", "frames"),
    [
        ((None, None, None), range(19)),
        ((1, None, 5), [1, 6, 8, 13, 18]),
        ((None, -4, 2), [0, 2, 7, 9, 11, 13]),
        ((8, 11, None), [15, 16, 17]),
    ],
)
def test_a_slice_is_taken_of_each_trajectory(two_files, cut, frames):
    assert chosen_frames(two_files, *cut).tolist() == list(frames)


def test_a_slice_that_leaves_nothing_is_told(two_files):
    with pytest.raises(InputError, match=r"--start 12 leaves no frame, .* has 12;"):
        chosen_frames(two_files, 12, None, None)


@pytest.fixture
def analysed(two_files):
    """Return what commands know of five frames in two runs, one without a time."""
    results = SimpleNamespace(
        trajectory=np.array([0, 0, 1, 1, 1]),
        frames=np.array([1, 6, 8, 13, 18]),
        times=np.array([4.0, 14.0, np.nan, 214.0, 224.0]),
    )
    return SimpleNamespace(
        universe=two_files,
        results=results,
        sources=("a.xtc", "b.xtc"),
        rows=[slice(0, 2), slice(2, 5)],
    )


def test_frames_are_named_by_their_files(analysed):
    origins = list(frame_origins(analysed, [0, 1, 2, 4]))
    assert [(o.trajectory, o.file, o.frame, o.time) for o in origins] == [
        (1, "a.xtc", 1, 4.0), (1, "a.xtc", 6, 14.0), (2, "b.xtc", 1, None),
        (2, "b.xtc", 11, 224.0),
    ]  # fmt: skip


def test_tables_count_states_from_one_and_leave_out_what_is_not_known(
    analysed, tmp_path
):
    cvs = [np.array([[0.5], [1.5]]), np.array([[2.0], [3.0], [4.0]])]
    states = [np.array([0, 1]), np.array([-1, 2, 0])]
    write_cvs(tmp_path / "cvs.csv", analysed, cvs, states)
    with (tmp_path / "cvs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["1", "2", "", "3", "1"]
    assert [row["time_ps"] for row in rows] == ["4", "14", "", "214", "224"]
    assert [float(row["cv1"]) for row in rows] == [0.5, 1.5, 2, 3, 4]


def test_what_is_not_finite_is_null_in_json(tmp_path):
    content = {
        "alone": float("nan"),
        "array": np.array([1.0, np.inf, -np.inf]),
        "inside": [{"deeper": np.float32("nan")}],
        "whole": np.int64(3),
    }
    write_json(tmp_path / "x.json", content)

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    text = (tmp_path / "x.json").read_text()
    assert json.loads(text, parse_constant=refuse) == {
        "alone": None,
        "array": [1.0, None, None],
        "inside": [{"deeper": None}],
        "whole": 3,
    }
