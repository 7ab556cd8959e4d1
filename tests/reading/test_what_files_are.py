"""Files are told by their contents; what is not read is refused by what it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings

import MDAnalysis as mda
import numpy as np
import pytest
from molecules import ELEMENTS, NAMES, frames, pdb

from mdgeomfeat.errors import InputError
from mdgeomfeat.reading import open_universe, trajectory_info


@pytest.fixture
def top(tmp_path):
    return pdb(tmp_path / "top.pdb", frames(1))


def refused(*files) -> str:
    with pytest.raises(InputError) as caught:
        open_universe(list(files))
    return str(caught.value)


@pytest.fixture
def desmond(tmp_path):
    folder = tmp_path / "run.dtr"
    folder.mkdir()
    (folder / "clickme.dtr").touch()
    (folder / "timekeys").write_bytes(b"DESK" + bytes(20))
    (folder / "frame000000000").write_bytes(b"DESM" + bytes(200))
    return folder


@pytest.mark.parametrize("name", ["", "clickme.dtr", "timekeys", "frame000000000"])
def test_desmond(desmond, top, name):
    said = refused(desmond / name, top)
    assert "Desmond trajectory, which is not read; convert it to dcd or xtc" in said


def test_desmond_under_another_name(desmond, top, tmp_path):
    assert "Desmond" in refused(desmond.rename(tmp_path / "run-1_trj"), top)


def test_maestro(tmp_path):
    (tmp_path / "a.cms").write_text("{ \n  s_m_m2io_version\n  ::: \n  2.0.0 \n} \n")
    assert "structure of Maestro or Desmond" in refused(tmp_path / "a.cms")


def gro(path, positions, titles=("a title",)):
    text = ""
    for frame, title in zip(positions, titles, strict=True):
        text += f"{title}\n{len(frame):5d}\n"
        for i, (name, xyz) in enumerate(zip(NAMES, frame / 10, strict=True)):
            text += f"{1:5d}{'CYX':5s}{name:>5s}{i + 1:5d}"
            text += "".join(f"{v:8.3f}" for v in xyz) + "\n"
        text += "   3.0   3.0   3.0\n"
    path.write_text(text)
    return path


def test_gro_under_any_name(tmp_path):
    for name in ("a.gro", "a.txt", "a"):
        u = open_universe([gro(tmp_path / name, frames(1))])
        np.testing.assert_allclose(u.atoms.positions, frames(1)[0], atol=0.006)


def test_gro_with_several_frames_and_its_conversion(tmp_path, top):
    mdtraj = pytest.importorskip("mdtraj")
    path = gro(tmp_path / "a.gro", frames(3), [f"X t= {i:.5f}" for i in range(3)])
    said = refused(path)
    assert "holds several frames, and only the first of a GRO file is read" in said
    # Beside a topology too: that is what is wrong, not that there would be two.
    assert refused(top, path) == said
    mdtraj.load(str(path)).save(str(tmp_path / "out.xtc"))
    assert open_universe([top, tmp_path / "out.xtc"]).trajectory.n_frames == 3


@pytest.mark.parametrize("suffix", ["pqr", "pdbqt"])
def test_models_that_would_be_one_molecule(tmp_path, suffix):
    formats = {
        "pqr": "ATOM {i} {name} CYX 1 {x:.3f} {y:.3f} {z:.3f} 0.0 1.5\n",
        "pdbqt": "ATOM  {i:5d} {name:<4s} CYX A   1    {x:8.3f}{y:8.3f}{z:8.3f}"
        "  1.00  0.00    -0.100 C \n",
    }
    model = "".join(
        formats[suffix].format(i=i + 1, name=name, x=x, y=y, z=z)
        for i, (name, (x, y, z)) in enumerate(zip(NAMES, frames(1)[0], strict=True))
    )
    path = tmp_path / f"a.{suffix}"
    path.write_text(f"MODEL        1\n{model}ENDMDL\nMODEL        2\n{model}ENDMDL\n")
    assert "holds several models, and only the first" in refused(path)
    path.write_text(model)
    assert open_universe([path]).trajectory.n_frames == 1


def test_mol2_with_its_cell_and_frames(tmp_path):
    text = ""
    for xyz in frames(2):
        text += f"@<TRIPOS>MOLECULE\nx\n {len(NAMES)} 0 0 0 0\nSMALL\nUSER_CHARGES\n\n"
        text += "@<TRIPOS>ATOM\n" + "".join(
            f"{i + 1:7d} {name:<4s} {x:.4f} {y:.4f} {z:.4f} C.3 1 LIG 0.0\n"
            for i, (name, (x, y, z)) in enumerate(zip(NAMES, xyz, strict=True))
        )
        text += "@<TRIPOS>CRYSIN\n 30.0 31.0 32.0 90.0 100.0 90.0 1 1\n"
    (tmp_path / "a.mol2").write_text(text)
    u = open_universe([tmp_path / "a.mol2"])
    for ts, xyz in zip(u.trajectory, frames(2), strict=True):
        np.testing.assert_allclose(ts.positions, xyz, atol=1e-3)
        np.testing.assert_allclose(ts.dimensions, [30, 31, 32, 90, 100, 90])


def test_mmtf_with_several_models(tmp_path):
    mmtf = pytest.importorskip("mmtf")
    from mmtf.api.mmtf_writer import MMTFEncoder

    def write(path, n_models):
        encoder = MMTFEncoder()
        encoder.init_structure(0, n_models, n_models, n_models, n_models, "TEST")
        encoder.set_xtal_info("P 1", None)
        encoder.set_header_info(0.0, 0.0, 0.0, "t", "2000-01-01", "2000-01-01", "NMR")
        for number in range(n_models):
            encoder.set_model_info(number, 1)
            encoder.set_chain_info("A", "A", 1)
            encoder.set_group_info("ALA", 1, " ", "PEPTIDE", 1, 0, "A", 0, 2)
            for i, name in enumerate(("N", "CA")):
                encoder.set_atom_info(
                    name, i + 1, " ", 0.0, 1.0, 1.4 * i, 0.1 * number, 0.0, name[0], 0
                )
        encoder.finalize_structure()
        encoder.write_file(str(path))
        return path

    path = write(tmp_path / "a.mmtf", 2)
    assert mmtf.parse(str(path)).num_models == 2
    assert "holds several models" in refused(path)


def test_netcdf_4_and_its_conversion(tmp_path, top):
    netcdf = pytest.importorskip("netCDF4")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u = mda.Universe(str(top))
        with mda.Writer(str(tmp_path / "a.nc"), len(u.atoms)) as out:
            out.write(u.atoms)
    with (
        netcdf.Dataset(tmp_path / "a.nc") as source,
        netcdf.Dataset(tmp_path / "four.nc", "w", format="NETCDF4") as target,
    ):
        target.setncatts({k: source.getncattr(k) for k in source.ncattrs()})
        for name, size in source.dimensions.items():
            target.createDimension(name, None if size.isunlimited() else len(size))
        for name, variable in source.variables.items():
            copy = target.createVariable(name, variable.dtype, variable.dimensions)
            copy.setncatts({k: variable.getncattr(k) for k in variable.ncattrs()})
            copy[:] = variable[:]
    assert "only classic NetCDF is read; convert it (mdconvert" in refused(
        tmp_path / "four.nc", top
    )
    names = [str(tmp_path / "four.nc"), "-o", str(tmp_path / "out.nc")]
    code = "from mdtraj.scripts.mdconvert import entry_point; entry_point()"
    subprocess.run([sys.executable, "-c", code, *names], check=True)
    u = open_universe([tmp_path / "out.nc", top])
    np.testing.assert_allclose(u.atoms.positions, frames(1)[0], atol=1e-5)


@pytest.mark.parametrize("name", ["a.h5md", "a.h5"])
def test_h5md_is_told_from_mdtrajs_hdf5(tmp_path, top, name):
    h5py = pytest.importorskip("h5py")
    expected = frames(3)
    path = tmp_path / name
    with h5py.File(path, "w") as file:
        file.create_group("h5md").attrs["version"] = (1, 1)
        group = file.create_group("particles/trajectory")
        group.create_group("box").attrs.update(dimension=3, boundary=["periodic"] * 3)
        values = {"position": expected, "box/edges": [np.diag([30.0, 31, 32])] * 3}
        for key, value in values.items():
            group[f"{key}/value"] = np.array(value, np.float32)
            group[f"{key}/step"] = np.arange(3)
            group[f"{key}/time"] = 2.0 * np.arange(3)
            group[f"{key}/value"].attrs["unit"] = "Angstrom"
            group[f"{key}/time"].attrs["unit"] = "ps"
    u = open_universe([path, top])
    got = np.array([ts.positions.copy() for ts in u.trajectory])
    np.testing.assert_allclose(got, expected, atol=1e-5)
    np.testing.assert_allclose(u.trajectory[1].dimensions, [30, 31, 32, 90, 90, 90])
    assert trajectory_info(u)[0].dt == 2.0


@pytest.mark.parametrize("name", ["a.arc", "a.txyz", "a.xyz"])
@pytest.mark.parametrize("box", [False, True])
def test_tinker_under_any_name(tmp_path, top, name, box):
    expected = frames(3)
    text = ""
    for frame in expected:
        text += f"{len(frame):6d}  a title\n"
        text += "  30.0 31.0 32.0 90.0 90.0 90.0\n" if box else ""
        for i, (element, (x, y, z)) in enumerate(zip(ELEMENTS, frame, strict=True)):
            text += (
                f"{i + 1:6d}  {element}  {x:.4f} {y:.4f} {z:.4f}  {i + 2} {i or 2}\n"
            )
    (tmp_path / name).write_text(text)
    u = open_universe([tmp_path / name, top])
    got = np.array([ts.positions.copy() for ts in u.trajectory])
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert (u.trajectory[0].dimensions is not None) is box


@pytest.mark.parametrize("levcfg", [0, 1, 2])
@pytest.mark.parametrize("name", ["HISTORY", "HISTORY.run"])
def test_dl_poly_history(tmp_path, levcfg, name):
    expected = frames(3)
    text = "a title\n" + f"{levcfg:10d}{3:10d}{len(NAMES):10d}\n"
    for step, frame in enumerate(expected):
        text += f"timestep{step:10d}{len(NAMES):10d}{levcfg:10d}{3:10d}  0.001\n"
        text += "30.0 0.0 0.0\n 0.0 31.0 0.0\n 0.0 0.0 32.0\n"
        for i, (element, xyz) in enumerate(zip(ELEMENTS, frame, strict=True)):
            text += f"{element:8s}{i + 1:10d}  12.0  0.0\n"
            block = "".join(f"{v:16.4f}" for v in xyz) + "\n"
            text += block * (levcfg + 1)
    (tmp_path / name).write_text(text)
    u = open_universe([tmp_path / name])
    got = np.array([ts.positions.copy() for ts in u.trajectory])
    np.testing.assert_allclose(got, expected, atol=1e-3)
    np.testing.assert_allclose(u.trajectory[1].dimensions, [30, 31, 32, 90, 90, 90])
    assert u.atoms.elements.tolist() == ELEMENTS


def test_contents_go_before_names(tmp_path, top):
    for name in ("a.gro", "a.xyz", "a.data", "a"):
        u = open_universe([shutil.copy(top, tmp_path / name)])
        np.testing.assert_allclose(u.atoms.positions, frames(1)[0], atol=1e-5)
