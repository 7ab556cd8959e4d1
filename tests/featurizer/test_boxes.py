import warnings

import MDAnalysis as mda
import numpy as np
import pytest
from feature_systems import error, peptide
from MDAnalysis.lib.formats.libdcd import DCDFile

from mdgeomfeat import (
    GeomGNNFeaturizer,
    InputError,
    MDGeomFeatWarning,
)
from mdgeomfeat.boxes import lattice_vectors
from mdgeomfeat.reading import open_universe

BOX = [40.0, 40.0, 40.0, 90.0, 90.0, 90.0]


@pytest.fixture
def charmm(tmp_path):
    """A peptide in a triclinic box, and its files as CHARMM would write them."""
    u = peptide(4, 3, box=np.array([14, 15, 16, 70, 100, 65.0]))
    upright = lattice_vectors(u.dimensions)
    values, axes = np.linalg.eigh(upright @ upright.T)
    shape = axes * np.sqrt(values) @ axes.T
    files = [str(tmp_path / "top.pdb"), str(tmp_path / "run.dcd")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u.atoms.write(files[0])
    with DCDFile(files[1], "w") as file:
        file.write_header("", len(u.atoms), 0, 1, 1.0, 1)
        for ts in u.trajectory:
            file.write(
                ts.positions @ np.linalg.solve(upright, shape),
                shape[[0, 0, 1, 0, 1, 2], [0, 1, 1, 2, 2, 2]],
            )
    return u, files


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_cells_of_charmm_are_turned_or_refused(charmm, options, tmp_path):
    u, files = charmm
    want = GeomGNNFeaturizer(u, **options, periodic=True).run().results
    ours = GeomGNNFeaturizer(open_universe(files), **options, periodic=True).run()
    assert error(ours.results.scalars, want.scalars) < 1e-5
    assert error(ours.results.vectors, want.vectors) < 1e-5
    other = mda.Universe(*files)
    for periodic in ("auto", True):
        with pytest.raises(InputError, match=r"run.dcd holds .*CHARMM .*--no-pbc"):
            GeomGNNFeaturizer(other, **options, periodic=periodic).run()
    GeomGNNFeaturizer(other, **options, periodic=False).run()
    # What was stored of frames that were not turned is not gone on with.
    store = tmp_path / "features.zarr"
    GeomGNNFeaturizer(other, **options, periodic=False, store=store).run()
    turned = open_universe(files)
    with pytest.raises(InputError, match="cells of CHARMM turned"):
        GeomGNNFeaturizer(turned, **options, periodic=False, store=store).run()


def test_a_first_frame_that_cannot_be_used_does_not_decide_on_the_box(options):
    u = peptide(box=BOX)
    positions = u.trajectory.coordinate_array.copy()
    boxes = np.tile(BOX, (len(positions), 1))
    positions[0], boxes[0] = np.nan, 0.0
    u.load_new(positions, dimensions=boxes)
    feat = GeomGNNFeaturizer(u, **options, skip_bad_frames=True)
    with pytest.warns(MDGeomFeatWarning, match="could not be used"):
        got = feat.run().results
    want = GeomGNNFeaturizer(u, **options).run(start=1).results
    assert want.boxes is not None
    np.testing.assert_array_equal(got.boxes, want.boxes)
    np.testing.assert_allclose(got.scalars, want.scalars, atol=1e-6)


@pytest.mark.parametrize("boxed", [0, 1])
def test_trajectories_with_and_without_a_box_are_refused(options, tmp_path, boxed):
    u = peptide(box=BOX)
    files = [tmp_path / "a.dcd", tmp_path / "b.dcd"]
    for number, file in enumerate(files):
        u.dimensions = BOX if number == boxed else None
        with mda.Writer(str(file), u.atoms.n_atoms) as writer:
            for _ in range(3):
                writer.write(u.atoms)
    u.load_new([str(f) for f in files])
    names = [files[boxed].name, files[1 - boxed].name]
    message = rf"Frame 0 of \S*{names[0]}.* has a box and .* \S*{names[1]}.* has"
    with pytest.raises(InputError, match=message):
        GeomGNNFeaturizer(u, **options).run()
    without = GeomGNNFeaturizer(u, **options, periodic=False).run().results
    assert without.boxes is None


def test_a_box_that_begins_with_the_second_frame_is_refused(options):
    u = peptide(box=BOX)
    boxes = np.tile(BOX, (len(u.trajectory), 1))
    boxes[0] = 0.0
    u.load_new(u.trajectory.coordinate_array, dimensions=boxes)
    with pytest.raises(InputError, match=r"Frame 1 of .* a box and frame 0 of .* has"):
        GeomGNNFeaturizer(u, **options).run()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("lengths", [0.0, 1.0])
def test_a_cell_in_the_first_frame_alone_is_refused(options, tmp_path, lengths):
    # As VMD writes it where the cell was set for one frame.
    u = peptide(box=BOX)
    path = str(tmp_path / "vmd.dcd")
    with DCDFile(path, "w") as file:
        file.write_header("", len(u.atoms), 0, 1, 1.0, 1)
        for ts in u.trajectory:
            side = BOX[0] if ts.frame == 0 else lengths
            file.write(ts.positions, [side, 90.0, side, 90.0, 90.0, side])
    u.load_new(path)
    with pytest.raises(InputError, match=r"Frame 0 of .* a box and frame 1 of .* none"):
        GeomGNNFeaturizer(u, **options).run()
    with pytest.raises(InputError, match=r"needs a box, and frame 1 of .* has none"):
        GeomGNNFeaturizer(u, **options, periodic=True).run()
    assert GeomGNNFeaturizer(u, **options, periodic=False).run().results.boxes is None


def test_a_box_that_begins_late_is_refused(options):
    u = peptide(box=BOX)
    boxes = np.tile(BOX, (len(u.trajectory), 1))
    boxes[:4] = 0.0
    u.load_new(u.trajectory.coordinate_array, dimensions=boxes)
    with pytest.raises(InputError, match=r"Frame 4 of .* a box and frame 0 of .* has"):
        GeomGNNFeaturizer(u, **options).run()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_a_box_that_the_reader_dropped_is_named(options, tmp_path):
    # MDAnalysis writes CRYST1 once, and does not read it again.
    u = peptide(box=BOX)
    path = str(tmp_path / "once.pdb")
    u.atoms.write(path, frames="all")
    once = mda.Universe(path)
    assert once.trajectory.n_frames == len(u.trajectory)
    assert once.dimensions is None
    with pytest.raises(InputError, match=r"once.pdb states a box once.*open_universe"):
        GeomGNNFeaturizer(once, **options).run()
    GeomGNNFeaturizer(once, **options, periodic=False).run()
    # A placeholder is no box, and one model keeps its own.
    text = (tmp_path / "once.pdb").read_text()
    (tmp_path / "none.pdb").write_text(text.replace("   40.000" * 3, "    1.000" * 3))
    free = mda.Universe(str(tmp_path / "none.pdb"))
    assert GeomGNNFeaturizer(free, **options).run().results.boxes is None
    u.trajectory[0]
    u.atoms.write(path)
    one = GeomGNNFeaturizer(mda.Universe(path), **options).run().results
    np.testing.assert_allclose(one.boxes, [BOX])


def _extended(u, path, lattice='Lattice="40 0 0 0 40 0 0 0 40"', forces=False):
    properties = "species:S:1:forces:R:3:pos:R:3" if forces else "species:S:1:pos:R:3"
    with path.open("w") as file:
        for ts in u.trajectory:
            print(f"{len(u.atoms)}\nProperties={properties} {lattice}", file=file)
            for element, at in zip(u.atoms.elements, ts.positions, strict=True):
                row = " ".join(f"{x:.4f}" for x in [*(at[::-1] if forces else []), *at])
                print(element, row, file=file)
    return str(path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_lattice_that_the_reader_dropped_is_named(options, tmp_path):
    u = peptide()
    top = str(tmp_path / "top.pdb")
    u.atoms.write(top)
    dropped = _extended(u, tmp_path / "cell.xyz")
    with pytest.raises(InputError, match=r"cell.xyz states a box .*open_universe"):
        GeomGNNFeaturizer(mda.Universe(top, dropped), **options).run()
    want = GeomGNNFeaturizer(mda.Universe(top, dropped), **options, periodic=False)
    for lattice in (
        "",
        'Lattice="0.0 0 0 0 0 0 0 0 0.0"',
        'Lattice="40 0 0 0 40 0 0 0 40" pbc="F F F"',
    ):
        free = mda.Universe(top, _extended(u, tmp_path / "free.xyz", lattice))
        got = GeomGNNFeaturizer(free, **options).run().results
        np.testing.assert_array_equal(got.scalars, want.run().results.scalars)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_columns_that_the_reader_takes_for_positions_are_named(options, tmp_path):
    # Two frames of a molecule turned inside out look like a molecule.
    u = peptide()
    top = str(tmp_path / "top.pdb")
    u.atoms.write(top)
    path = _extended(u, tmp_path / "forces.xyz", forces=True)
    for periodic in ("auto", False):
        with pytest.raises(InputError, match=r"forces:R:3:pos:R:3.*open_universe"):
            GeomGNNFeaturizer(
                mda.Universe(top, path), **options, periodic=periodic
            ).run()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("velocities", [False, True])
def test_a_box_of_a_restart_that_the_reader_dropped_is_named(
    options, tmp_path, velocities
):
    u = peptide(box=BOX)
    top, path = str(tmp_path / "top.pdb"), tmp_path / "one.inpcrd"
    u.atoms.write(top)
    numbers = u.atoms.positions.ravel()
    lines = [
        "".join(f"{x:12.7f}" for x in numbers[at : at + 6])
        for at in range(0, len(numbers), 6)
    ]
    lines *= 1 + velocities
    text = "\n".join(["a restart", f"{len(u.atoms):6d}", *lines, ""])
    path.write_text(text + "".join(f"{x:12.7f}" for x in BOX) + "\n")
    with pytest.raises(InputError, match=r"one.inpcrd states a box in its last line"):
        GeomGNNFeaturizer(mda.Universe(top, str(path)), **options).run()
    GeomGNNFeaturizer(mda.Universe(top, str(path)), **options, periodic=False).run()
    path.write_text(text)
    assert GeomGNNFeaturizer(mda.Universe(top, str(path)), **options).run()


def test_the_unit_is_said_rather_than_a_box_below_the_cutoff(options):
    u = peptide(6, 3, box=np.array([60.0, 60.0, 60.0, 90.0, 90.0, 90.0]))
    GeomGNNFeaturizer(u, **options).run()
    positions = u.trajectory.timeseries(order="fac") / 10
    u.load_new(positions, dimensions=np.array([6.0, 6.0, 6.0, 90.0, 90.0, 90.0]))
    for periodic in ("auto", True, False):
        with pytest.raises(InputError, match="ten times too small, as positions in nm"):
            GeomGNNFeaturizer(u, **options, periodic=periodic).run()
    with (
        pytest.warns(MDGeomFeatWarning, match="as positions in nm"),
        pytest.raises(InputError, match="cutoff"),
    ):
        GeomGNNFeaturizer(u, **options, periodic=True, allow_implausible=True).run()
