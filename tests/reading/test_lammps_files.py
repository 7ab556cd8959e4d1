"""LAMMPS: dumps under any name, and elements from the masses of data files."""

from __future__ import annotations

import warnings

import MDAnalysis as mda
import numpy as np
import pytest
from molecules import ELEMENTS, N_ATOMS, NUMBERS, frames, pdb

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.reading import open_universe
from mdgeomfeat.reading.lammps import elements_of_types
from mdgeomfeat.structure.elements import resolve_elements

TYPES = {"H": 1, "C": 2, "N": 3, "O": 4, "S": 5}
MASSES = {"H": 1.008, "C": 12.011, "N": 14.007, "O": 15.999, "S": 32.06}


def dump(path, positions, columns="id type x y z", box="ITEM: BOX BOUNDS pp pp pp"):
    rng = np.random.default_rng(1)
    text = ""
    for step, frame in enumerate(positions):
        text += f"ITEM: TIMESTEP\n{1000 * step}\nITEM: NUMBER OF ATOMS\n{len(frame)}\n"
        text += f"{box}\n0 30\n0 31\n0 32\nITEM: ATOMS {columns}\n"
        for i in rng.permutation(len(frame)):  # as several processors write them
            x, y, z = frame[i]
            text += f"{i + 1} {TYPES[ELEMENTS[i]]} {x} {y} {z}\n"
    path.write_text(text)
    return path


def data(path, positions, masses=MASSES, comments=None):
    text = f"written by hand\n\n{len(positions)} atoms\n5 atom types\n\n"
    text += "0 30 xlo xhi\n0 31 ylo yhi\n0 32 zlo zhi\n\nMasses\n\n"
    for symbol, kind in TYPES.items():
        comment = f"  # {comments[symbol]}" if comments else ""
        text += f"{kind} {masses[symbol]}{comment}\n"
    text += "\nAtoms  # full\n\n"
    for i, (x, y, z) in enumerate(positions):
        text += f"{i + 1} 1 {TYPES[ELEMENTS[i]]} 0.0 {x} {y} {z}\n"
    text += "\nBonds\n\n"
    text += "".join(f"{i} 1 {i} {i + 1}\n" for i in range(1, len(positions)))
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "name", ["dump.run", "a.lammpstrj", "a.dump", "a.lammpsdump", "a.custom", "traj"]
)
def test_a_dump_under_any_name(tmp_path, name):
    expected = frames(4)
    path = dump(tmp_path / name, expected)
    u = open_universe([path, pdb(tmp_path / "top.pdb", frames(1))])
    got = np.array([ts.positions.copy() for ts in u.trajectory])
    np.testing.assert_allclose(got, expected, atol=1e-5)
    np.testing.assert_allclose(u.trajectory[2].dimensions, [30, 31, 32, 90, 90, 90])


def test_a_cut_dump_is_said(tmp_path):
    path = dump(tmp_path / "a.dump", frames(4))
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-3]))
    top = pdb(tmp_path / "top.pdb", frames(1))
    with pytest.raises(
        InputError, match="cut inside a frame; the last good frame is 2"
    ):
        open_universe([path, top])


def test_dumps_that_would_be_misread_are_refused(tmp_path):
    top = pdb(tmp_path / "top.pdb", frames(1))
    path = dump(tmp_path / "a.dump", frames(2))
    short = dump(tmp_path / "b.dump", frames(1)[:, :7])
    (tmp_path / "c.dump").write_text(path.read_text() + short.read_text())
    with pytest.raises(
        InputError, match=f"{N_ATOMS} atoms in frame 0 and 7 in frame 2"
    ):
        open_universe([tmp_path / "c.dump", top])
    (tmp_path / "d.dump").write_text("ITEM: UNITS\nreal\n" + path.read_text())
    with pytest.raises(InputError, match="without dump_modify units"):
        open_universe([tmp_path / "d.dump", top])


@pytest.mark.parametrize("name", ["a.data", "data.peptide", "a.lmp"])
@pytest.mark.parametrize("trajectory", ["a.dump", "a.dcd", None])
def test_masses_tell_elements(tmp_path, name, trajectory):
    expected = frames(3)
    files = [data(tmp_path / name, expected[0])]
    if trajectory == "a.dump":
        files.append(dump(tmp_path / trajectory, expected))
    elif trajectory == "a.dcd":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            u = mda.Universe(str(pdb(tmp_path / "top.pdb", expected)))
            with mda.Writer(str(tmp_path / trajectory), N_ATOMS, dt=2.0) as out:
                for ts in u.trajectory:
                    ts.dimensions = [30, 31, 32, 90, 90, 90]
                    out.write(u.atoms)
        expected = expected[: u.trajectory.n_frames]
        files.append(tmp_path / trajectory)
    with pytest.warns(MDGeomFeatWarning, match="atom types: 1 H, 2 C, 3 N, 4 O, 5 S"):
        u = open_universe(files)
    assert resolve_elements(u.atoms).tolist() == NUMBERS
    np.testing.assert_allclose(u.atoms.positions, expected[0], atol=1e-4)


@pytest.mark.parametrize(
    ("mass", "comment", "element"),
    [
        (12.011, "", "C"), (12.01, "CA", "C"), (1.008, "HC", "H"), (14.01, "", "N"),
        (16.0, "", "O"), (40.08, "CA", "Ca"), (35.453, "", "Cl"), (55.847, "FE", "Fe"),
        (14.027, "CH2", ""), (15.035, "", ""), (13.019, "CH", ""),
        (3.024, "", ""), (3.024, "H", "H"), (4.032, "H hydrogen", "H"), (4.0, "", ""),
        (4.0026, "He", "He"), (9.995, "C", "C"), (9.995, "ca", ""), (1.0, "", "H"),
        (22.98977, "Na+", "Na"), (65.4, "", "Zn"), (72.0, "", ""),
    ],
)  # fmt: skip
def test_what_a_mass_means(tmp_path, mass, comment, element):
    path = tmp_path / "a.data"
    path.write_text(f"x\n\nMasses\n\n1 {mass} # {comment}\n\nAtoms\n\n1 1 1 0 0 0 0\n")
    assert elements_of_types(path) == {"1": element}


def test_heavy_hydrogens_without_a_comment_are_refused(tmp_path):
    masses = {"H": 3.024, "C": 9.995, "N": 11.991, "O": 15.999, "S": 32.06}
    comments = {s: s for s in masses}
    with pytest.warns(MDGeomFeatWarning):
        u = open_universe([data(tmp_path / "a.data", frames(1)[0], masses, comments)])
    assert resolve_elements(u.atoms).tolist() == NUMBERS
    with pytest.warns(MDGeomFeatWarning):
        u = open_universe([data(tmp_path / "b.data", frames(1)[0], masses)])
    with pytest.raises(InputError, match="neither an element nor a name"):
        resolve_elements(u.atoms)
