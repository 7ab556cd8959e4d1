"""Files that are not what they seem, in places that are not as they should be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import built
import numpy as np
import pytest


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.xtc", b"", "a.xtc is empty"),
        ("a.pdb", b"\n \n", "a.pdb is empty"),
        ("a.xtc", b"time x y z\n" * 40, "named .xtc but begins like something else"),
        ("a.trr", b"time x y z\n" * 40, "named .trr but begins like something else"),
        ("a.dcd", b"time x y z\n" * 40, "named .dcd but begins like something else"),
        ("a.nc", b"time x y z\n" * 40, "named .nc but begins like something else"),
        ("a.h5", b"time x y z\n" * 40, "named .h5 but begins like something else"),
        ("a.xtc", b"CDF\x01" + b"0" * 90, "named .xtc but begins like NCDF"),
        ("a.dcd", b"ATOM      1  N", "named .dcd but begins like PDB"),
        ("a.txt", b"hello", "not in a known format"),
        ("noname", b"\x00\x01\x02\x03" * 9, "not in a known format"),
        ("a.xtc", b"\x00\x00\x07\xcb" + b"\xff" * 200, "cannot be read as XTC"),
    ],
)
@pytest.mark.parametrize("command", ["info", "features"])
def test_not_what_the_name_says(refuse, top, tmp_path, command, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    said = refuse(command, path, top)
    assert words in said
    assert str(path) in said


def test_what_is_missing_or_no_file(refuse, top, tmp_path):
    assert "does not exist" in refuse("info", tmp_path / "absent.xtc", top)
    assert "is a folder" in refuse("info", tmp_path, top)
    (tmp_path / "broken.xtc").symlink_to(tmp_path / "nowhere.xtc")
    assert "does not exist" in refuse("info", tmp_path / "broken.xtc", top)


def test_a_pipe_does_not_hang(refuse, top, tmp_path):
    os.mkfifo(tmp_path / "pipe.xtc")
    assert "not a regular file" in refuse("info", tmp_path / "pipe.xtc", top)
    assert "not a regular file" in refuse("info", "/dev/zero", top)


def test_topology_of_another_molecule(refuse, write, tmp_path):
    other = built.pdb(tmp_path / "other.pdb", built.residues(["ALA", "ALA"]))
    for name in ("t.xtc", "t.trr", "t.dcd", "t.nc"):
        path = write(name)
        said = refuse("features", path, other)
        assert f"{path} has 19 atoms and the topology {other} 10" in said


def test_the_guilty_one_of_several(refuse, write, top, tmp_path, data):
    wrong = data / "ala2" / "ala2-0.xtc"
    said = refuse("features", write("t.xtc"), wrong, write("t.dcd"), top)
    assert f"{wrong} has 22 atoms" in said


def test_which_is_the_topology(refuse, inform, write, top, tmp_path):
    copy = shutil.copy(top, tmp_path / "copy.pdb")
    assert "name only one of them" in refuse("info", top, copy, write("t.xtc"))
    assert "None of the files is a topology" in refuse("info", write("t.xtc"))
    assert inform(write("t.xtc"), top) == inform(top, write("t.xtc"))


def test_unicode_and_spaces(write, top, inform, featurize, tmp_path):
    folder = tmp_path / "Übung mit 折叠 & 'quotes' β"
    folder.mkdir()
    shutil.copy(write("t.xtc"), folder / "première fahrt.xtc")
    shutil.copy(top, folder / "top 1.pdb")
    files = folder / "première fahrt.xtc", folder / "top 1.pdb"
    assert "première fahrt.xtc: 20 frames" in inform(*files)["trajectories"][0]
    assert len(featurize(*files).results.frames) == 20


def test_names_that_look_like_something_else(write, top, inform, tmp_path):
    for name in ("[bold]t.xtc", "100% %s {x}.xtc", "a.pdb.xtc", ".xtc.xtc"):
        path = shutil.copy(write("t.xtc"), tmp_path / name)
        facts = inform(path, top)
        assert facts["trajectories"][0].startswith(f"{path}: 20 frames")


def test_a_name_as_long_as_names_can_be(write, top, featurize, tmp_path):
    path = shutil.copy(write("t.xtc"), tmp_path / ("x" * 251 + ".xtc"))
    assert len(featurize(path, top).results.frames) == 20


def test_symbolic_links(write, top, featurize, tmp_path):
    (tmp_path / "a.xtc").symlink_to(write("t.xtc"))
    (tmp_path / "folder").symlink_to(top.parent)
    run = featurize(tmp_path / "a.xtc", tmp_path / "folder" / top.name)
    assert len(run.results.frames) == 20


def test_nothing_is_written_beside_trajectories(write, top, featurize, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("t.xtc", "t.trr"):
        shutil.copy(write(name), folder)
        featurize(folder / name, top)
    assert sorted(p.name for p in folder.iterdir()) == ["t.trr", "t.xtc"]


def test_a_read_only_folder(write, top, tmp_path):
    """As another user, because the superuser may write everywhere."""
    folder = tmp_path / "frozen"
    folder.mkdir()
    for source in (write("t.xtc"), write("t.trr"), top):
        shutil.copy(source, folder)
    code = (
        "import os, sys\n"
        "from mdgeomfeat.reading import open_universe\n"
        "def count(name):\n"
        "    return open_universe([name, sys.argv[1]]).trajectory.n_frames\n"
        "names = ['t.xtc', 't.trr']\n"
        "assert [count(name) for name in names] == [20, 20]\n"
        "before = os.listdir('.')\n"
        "os.chmod('.', 0o555)\n"
        "if os.getuid() == 0:\n"
        "    os.seteuid(65534)\n"
        "assert not os.access('.', os.W_OK, effective_ids=True)\n"
        "assert [count(name) for name in names] == [20, 20]\n"
        "assert os.listdir('.') == before\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, top.name],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        folder.chmod(0o755)
    assert done.returncode == 0, done.stderr


def test_results_cannot_go_where_something_is(run_cli, write, top, quick, tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below", "/proc/nowhere/x"):
        for command in ("features", "tica"):
            result = run_cli(command, write("t.xtc"), top, *quick, "--out", place)
            assert result.exit_code == 2, result.output
            assert "Traceback" not in result.output
    assert (tmp_path / "file").read_text() == "mine"


def test_a_box_smaller_than_the_molecule(inform, featurize, tmp_path):
    path = built.gro(tmp_path / "a.gro", built.residues(["ALA"] * 8), "1.5 3.0 3.0")
    facts = inform(path)
    assert "15 x 30 x 30 Å" in facts["periodic"]
    (note,) = [n for n in facts["notes"] if facts["periodic"].lower() in n.lower()]
    assert "--no-pbc" in note
    free = inform(path, "--no-pbc")
    assert not [n for n in free["notes"] if "no box" in n]
    one, two = featurize(path).results, featurize(path, "--no-pbc").results
    np.testing.assert_array_equal(one.scalars[:], two.scalars[:])
    forced = inform(path, "--pbc")
    assert forced["periodic"] == "minimum image in the box, as asked"
    assert featurize(path, "--pbc").results.boxes is not None


def test_a_box_smaller_than_twice_the_cutoff(refuse, inform, tmp_path):
    path = built.gro(tmp_path / "a.gro", built.residues(["ALA"]), "0.9 0.9 0.9")
    said = refuse("features", path)
    assert "half the shortest box height" in said
    assert "--no-pbc" in said
    assert "half the shortest box height" in inform(path)["problem"]
    assert "problem" not in inform(path, "--no-pbc")


def test_a_box_that_closes_no_volume(inform, tmp_path):
    text = "   20.000   20.000   20.000  10.00  10.00 150.00 P 1           1"
    path = built.pdb(tmp_path / "a.pdb", built.residues(["ALA"]), text)
    facts = inform(path)
    assert "encloses no volume" in facts["periodic"]
    assert [n for n in facts["notes"] if facts["periodic"].lower() in n.lower()]
