"""XYZ files: columns, cells and elements, plain and extended."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from molecules import ELEMENTS, N_ATOMS, NAMES, frames, pdb

from mdgeomfeat.boxes import lattice_vectors
from mdgeomfeat.errors import InputError
from mdgeomfeat.reading import open_universe, trajectory_info
from mdgeomfeat.structure.elements import symbol_of

ase_io = pytest.importorskip("ase.io")


def xyz(path, positions, comment="", species=ELEMENTS, row="{s} {x} {y} {z}"):
    text = ""
    for frame in positions:
        text += f"{len(frame)}\n{comment}\n"
        for s, (x, y, z) in zip(species, frame, strict=True):
            text += row.format(s=s, x=x, y=y, z=z) + "\n"
    path.write_text(text)
    return path


def test_plain_files_are_read_as_they_are(tmp_path):
    expected = frames(4)
    u = open_universe([xyz(tmp_path / "a.xyz", expected)])
    got = np.array([ts.positions.copy() for ts in u.trajectory])
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert u.atoms.elements.tolist() == ELEMENTS
    assert u.trajectory.ts.dimensions is None
    (info,) = trajectory_info(u)
    assert (info.n_frames, info.dt, info.first_time) == (4, None, None)


@pytest.mark.parametrize(
    ("properties", "row"),
    [
        ("species:S:1:pos:R:3", "{s} {x} {y} {z}"),
        ("species:S:1:forces:R:3:pos:R:3", "{s} 9.5 8.5 7.5 {x} {y} {z}"),
        ("pos:R:3:species:S:1", "{x} {y} {z} {s}"),
        ("id:I:1:species:S:1:mass:R:1:pos:R:3:tags:I:1", "7 {s} 1.5 {x} {y} {z} 0"),
    ],
)
def test_positions_stand_where_properties_says(tmp_path, properties, row):
    path = xyz(
        tmp_path / "a.xyz", frames(3),
        f'Lattice="30 0 0 0 31 0 0 0 32" Properties={properties} pbc="T T T"', row=row,
    )  # fmt: skip
    u = open_universe([path])
    theirs = ase_io.read(path, ":")
    assert u.trajectory.n_frames == len(theirs) == 3
    for ts, atoms in zip(u.trajectory, theirs, strict=True):
        np.testing.assert_allclose(ts.positions, atoms.positions, atol=1e-5)
        np.testing.assert_allclose(ts.dimensions, atoms.cell.cellpar(), atol=1e-4)
    assert u.atoms.elements.tolist() == theirs[0].get_chemical_symbols()
    np.testing.assert_allclose(u.trajectory[2].positions, frames(3)[2], atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_a_cell_in_any_orientation_gives_the_same_images(tmp_path, seed):
    """Distances to the images of the file's own vectors, whichever hand they have."""
    rng = np.random.default_rng(seed)
    vectors = np.round(rng.normal(0, 4, (3, 3)) + 15 * np.eye(3)[rng.permutation(3)], 3)
    flat = " ".join(f"{v:.3f}" for v in vectors.ravel())
    positions = frames(1)
    path = xyz(
        tmp_path / "a.xyz",
        positions,
        f'Lattice="{flat}" Properties=species:S:1:pos:R:3',
    )
    ts = open_universe([path]).trajectory.ts
    box = lattice_vectors(ts.dimensions)
    shifts = np.array(np.meshgrid(*[range(-4, 5)] * 3)).reshape(3, -1).T

    def nearest(places, cell):
        gaps = places[:, None] - places[None]
        images = gaps[:, :, None] + (shifts @ cell)[None, None]
        return np.linalg.norm(images, axis=-1).min(axis=-1)

    np.testing.assert_allclose(
        nearest(ts.positions.astype(float), box.astype(float)),
        nearest(positions[0], vectors),
        atol=1e-3,
    )
    # Nothing is mirrored: the signed volume of four atoms is kept.
    a, b = ts.positions[:4].astype(float), positions[0][:4]
    np.testing.assert_allclose(
        np.linalg.det(a[1:] - a[0]), np.linalg.det(b[1:] - b[0]), atol=1e-3
    )


@pytest.mark.parametrize(
    ("flags", "box"), [('pbc="F F F"', False), ("", True), ('pbc="T T T"', True)]
)
def test_flags_say_whether_there_is_a_box(tmp_path, flags, box):
    path = xyz(
        tmp_path / "a.xyz", frames(1),
        f'Lattice="30 0 0 0 30 0 0 0 30" Properties=species:S:1:pos:R:3 {flags}',
    )  # fmt: skip
    assert (open_universe([path]).trajectory.ts.dimensions is not None) is box


def test_a_slab_is_refused(tmp_path):
    comment = (
        'Lattice="30 0 0 0 30 0 0 0 30" Properties=species:S:1:pos:R:3 pbc="T T F"'
    )
    with pytest.raises(InputError, match=r'some directions only \(pbc="T T F"\)'):
        open_universe([xyz(tmp_path / "a.xyz", frames(1), comment)])


def test_cells_change_from_frame_to_frame(tmp_path):
    texts = []
    for n, frame in enumerate(frames(3)):
        comment = f'Lattice="{30 + n} 0 0 0 30 0 0 0 30" Properties=species:S:1:pos:R:3'
        texts.append(xyz(tmp_path / f"{n}.xyz", [frame], comment).read_text())
    (tmp_path / "a.xyz").write_text("".join(texts))
    u = open_universe([tmp_path / "a.xyz"])
    assert [float(ts.dimensions[0]) for ts in u.trajectory] == [30, 31, 32]


def test_ase_is_named_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("mdgeomfeat.reading.xyz.find_spec", lambda _: None)
    path = xyz(tmp_path / "a.xyz", frames(1), "Properties=species:S:1:pos:R:3")
    top = pdb(tmp_path / "top.pdb", frames(1))
    for files in ([path], [path, top]):
        with pytest.raises(InputError, match=r"pip install mdgeomfeat\[extxyz\]"):
            open_universe(files)


def test_a_reader_goes_to_a_worker(tmp_path):
    path = xyz(tmp_path / "a.xyz", frames(4), "Properties=species:S:1:pos:R:3")
    u = open_universe([path])
    u.trajectory[2]
    copy = pickle.loads(pickle.dumps(u))
    np.testing.assert_array_equal(copy.atoms.positions, u.atoms.positions)
    np.testing.assert_allclose(copy.trajectory[1].positions, frames(4)[1], atol=1e-5)


@pytest.mark.parametrize("comment", ["", "Properties=species:S:1:pos:R:3"])
def test_atom_names_are_no_elements(tmp_path, comment):
    path = xyz(tmp_path / "a.xyz", frames(2), comment, species=NAMES)
    with pytest.raises(InputError, match=r"atom names \(CA, HA, .*name a topology"):
        open_universe([path])
    u = open_universe([path, pdb(tmp_path / "top.pdb", frames(1))])
    assert u.atoms.elements.tolist() == ELEMENTS
    np.testing.assert_allclose(u.trajectory[1].positions, frames(2)[1], atol=1e-5)


@pytest.mark.parametrize(
    ("entry", "symbol"),
    [
        ("C", "C"), ("Ca", "Ca"), ("CA", None), ("HG", None), ("Hg", "Hg"),
        ("cl", "Cl"), ("CL", "Cl"), ("C12", "C"), ("H1", "H"), ("Ca13", None),
        ("Ch1", None), ("6", "C"), ("17", "Cl"), ("999", None), ("HB1", None),
        ("OXT", None), ("ZN", "Zn"), ("Na", "Na"), ("NA", None), ("ca", None),
        ("D", "D"), ("X", "X"), ("Br1", "Br"), ("", None),
    ],
)  # fmt: skip
def test_what_an_entry_of_a_column_of_elements_means(entry, symbol):
    assert symbol_of(entry) == symbol


@pytest.mark.parametrize("comment", ["", "Properties=species:S:1:pos:R:3"])
def test_frames_of_unlike_size_are_refused(tmp_path, comment):
    text = xyz(tmp_path / "a.xyz", frames(2), comment).read_text()
    short = xyz(tmp_path / "b.xyz", frames(1)[:, :5], comment, ELEMENTS[:5]).read_text()
    (tmp_path / "c.xyz").write_text(text + short)
    with pytest.raises(
        InputError, match=rf"{N_ATOMS} atoms in frame 0 and 5 in frame 2"
    ):
        open_universe([tmp_path / "c.xyz"])


@pytest.mark.parametrize("comment", ["", "Properties=species:S:1:pos:R:3"])
def test_a_cut_file_is_said(tmp_path, comment):
    text = xyz(tmp_path / "a.xyz", frames(3), comment).read_text()
    (tmp_path / "a.xyz").write_text(text[: int(len(text) * 0.8)].rsplit("\n", 2)[0])
    with pytest.raises(
        InputError, match="cut inside a frame; the last good frame is 1"
    ):
        open_universe([tmp_path / "a.xyz"])
    u = open_universe([tmp_path / "a.xyz"], skip_bad_frames=True)
    assert u.trajectory.n_frames == 2
