"""Frames, cells and numbers of PDB files as programs write them."""

from __future__ import annotations

import gzip
import pickle
import warnings

import mdtraj
import numpy as np
import pytest
from molecules import ELEMENTS, N_ATOMS, frames, pdb, pdb_line

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.reading import open_universe, trajectory_info

CELL = "CRYST1{:9.3f}{:9.3f}{:9.3f}{:7.2f}{:7.2f}{:7.2f} P 1           1\n"
BOX = (31.0, 32.0, 33.0, 90.0, 95.0, 90.0)

ENDS = {
    "MODEL and ENDMDL": ("MODEL     {n:4d}\n", "ENDMDL\n", "END\n"),
    "VMD's END": ("", "END\n", ""),
    "ENDMDL alone": ("", "ENDMDL\n", "END\n"),
    "MODEL alone": ("MODEL     {n:4d}\n", "", "END\n"),
    "no end at all": ("MODEL     {n:4d}\n", "", ""),
    "TER and END": ("", "TER\nEND\n", ""),
}


def read(*files, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error", MDGeomFeatWarning)
        return open_universe(list(files), **options)


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("packed", [False, True])
def test_every_frame_is_read_however_it_ends(tmp_path, kind, packed):
    begin, end, tail = ENDS[kind]
    expected = frames(7)
    path = pdb(tmp_path / "a.pdb", expected, begin, end, tail=tail)
    if packed:
        path = tmp_path / "a.pdb.gz"
        path.write_bytes(gzip.compress((tmp_path / "a.pdb").read_bytes()))
    u = read(path)
    assert u.trajectory.n_frames == 7
    got = np.array([ts.positions.copy() for ts in u.trajectory])
    np.testing.assert_allclose(got, expected, atol=1e-5)
    u.trajectory[3]
    np.testing.assert_allclose(u.atoms.positions, expected[3], atol=1e-5)
    assert u.atoms.elements.tolist() == ELEMENTS
    (info,) = trajectory_info(u)
    assert (info.dt, info.first_time) == (None, None)


def test_mdtraj_reads_the_same(tmp_path):
    path = pdb(tmp_path / "a.pdb", frames(5), head=CELL.format(*BOX))
    theirs = mdtraj.load(str(path))
    u = read(path)
    assert u.trajectory.n_frames == len(theirs) == 5
    for ts, xyz in zip(u.trajectory, theirs.xyz, strict=True):
        np.testing.assert_allclose(ts.positions, 10 * xyz, atol=1e-4)
        np.testing.assert_allclose(ts.dimensions, BOX)


def test_a_cell_holds_until_the_next_one(tmp_path):
    text = "".join(
        (CELL.format(30 + n, 30, 30, 90, 90, 90) if n in (0, 2) else "")
        + "".join(pdb_line(i, xyz) for i, xyz in enumerate(frame))
        + "END\n"
        for n, frame in enumerate(frames(4))
    )
    (tmp_path / "a.pdb").write_text(text)
    u = read(tmp_path / "a.pdb")
    assert [float(ts.dimensions[0]) for ts in u.trajectory] == [30, 30, 32, 32]


def test_the_placeholder_is_no_cell(tmp_path):
    head = CELL.format(1, 1, 1, 90, 90, 90)
    u = read(pdb(tmp_path / "a.pdb", frames(2), head=head))
    assert u.trajectory.ts.dimensions is None


@pytest.mark.parametrize("first", [0, 1])
def test_models_of_unlike_size_are_refused(tmp_path, first):
    whole = "".join(pdb_line(i, x) for i, x in enumerate(frames(1)[0]))
    short = "".join(whole.splitlines(keepends=True)[:-2])
    models = [short, whole] if first else [whole, short]
    text = "".join(f"MODEL     {n:4d}\n{m}ENDMDL\n" for n, m in enumerate(models, 1))
    path = tmp_path / "a.pdb"
    path.write_text(text + "END\n")
    sizes = (N_ATOMS - 2, N_ATOMS) if first else (N_ATOMS, N_ATOMS - 2)
    said = f"different sizes: {sizes[0]} atoms in frame 0 and {sizes[1]} in frame 1"
    with pytest.raises(InputError, match=f"a.pdb has models of {said}"):
        open_universe([path])


def test_models_with_atoms_in_another_order_are_refused(tmp_path):
    lines = [pdb_line(i, x) for i, x in enumerate(frames(1)[0])]
    turned = [*lines[:3], lines[4], lines[3], *lines[5:]]
    text = "".join(lines) + "END\n" + "".join(turned) + "END\n"
    (tmp_path / "a.pdb").write_text(text)
    with pytest.raises(InputError, match="atom 3 is CB CYX A 1 in frame 0 and HB1"):
        open_universe([tmp_path / "a.pdb"])


def test_a_reader_goes_to_a_worker(tmp_path):
    u = read(pdb(tmp_path / "a.pdb", frames(4)))
    u.trajectory[2]
    copy = pickle.loads(pickle.dumps(u))
    assert copy.trajectory.frame == 2
    np.testing.assert_array_equal(copy.atoms.positions, u.atoms.positions)
    copy.trajectory[0]
    np.testing.assert_allclose(copy.atoms.positions, frames(4)[0], atol=1e-5)


def hybrid36(number: int, width: int) -> str:
    """Write a number as cctbx does."""
    if number < 10**width:
        return f"{number:{width}d}"
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    number += 10 * 36 ** (width - 1) - 10**width
    text = ""
    for _ in range(width):
        text = digits[number % 36] + text
        number //= 36
    return text


def hexadecimal(number: int, width: int) -> str:
    return f"{number:{width}d}" if number < 10**width else f"{number:{width}x}"


def wrapped(number: int, width: int) -> str:
    return f"{number % 10**width:{width}d}"


@pytest.mark.parametrize("write", [hybrid36, hexadecimal, wrapped])
def test_numbers_beyond_their_columns(tmp_path, write):
    """Twelve atoms around the number 100,000, in residues around 10,000."""
    start = 99_994
    lines = [
        pdb_line(i, x, serial=write(start + i, 5), resid=write(9_997 + i // 2, 4))
        for i, x in enumerate(frames(1)[0])
    ]
    pairs = [(0, 1), (8, 9)]
    lines += [f"CONECT{write(start + a, 5)}{write(start + b, 5)}\n" for a, b in pairs]
    (tmp_path / "a.pdb").write_text("".join(lines) + "END\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MDGeomFeatWarning)
        u = open_universe([tmp_path / "a.pdb"])
    np.testing.assert_allclose(u.atoms.positions, frames(1)[0], atol=1e-5)
    assert u.atoms.resids.tolist() == [9_997 + i // 2 for i in range(N_ATOMS)]
    said = [str(w.message) for w in caught if w.category is MDGeomFeatWarning]
    if write is hexadecimal:
        assert ["CONECT records were skipped" in s for s in said] == [True]
    else:
        assert not said
        assert sorted(map(tuple, u.bonds.indices.tolist())) == pairs


def test_serials_that_stand_for_two_atoms_make_no_bonds(tmp_path):
    lines = [
        pdb_line(i, x, serial=f"{i % 6 + 1:5d}") for i, x in enumerate(frames(1)[0])
    ]
    (tmp_path / "a.pdb").write_text("".join(lines) + "CONECT    1    2\nEND\n")
    with pytest.warns(MDGeomFeatWarning, match="CONECT records were skipped"):
        u = open_universe([tmp_path / "a.pdb"])
    assert not hasattr(u, "bonds")


def test_residue_numbers_that_cannot_be_read_are_said(tmp_path):
    lines = [pdb_line(i, x, resid=" ***") for i, x in enumerate(frames(1)[0])]
    (tmp_path / "a.pdb").write_text("".join(lines) + "END\n")
    with pytest.warns(MDGeomFeatWarning, match="residue numbers that cannot be read"):
        open_universe([tmp_path / "a.pdb"])
