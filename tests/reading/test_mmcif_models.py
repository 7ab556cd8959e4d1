"""Models of an mmCIF file are frames."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from molecules import ATOMS, ELEMENTS, N_ATOMS, frames

from mdgeomfeat.errors import InputError
from mdgeomfeat.reading import open_universe

gemmi = pytest.importorskip("gemmi")

COLUMNS = str.split(
    "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id "
    "label_entity_id label_seq_id pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z occupancy "
    "B_iso_or_equiv auth_seq_id auth_comp_id auth_asym_id auth_atom_id "
    "pdbx_PDB_model_num"
)


def cif(path, models, cell=(31, 32, 33, 90, 95, 90), names=None):
    text = "data_test\n"
    keys = [f"length_{x}" for x in "abc"]
    keys += [f"angle_{x}" for x in ("alpha", "beta", "gamma")]
    for key, value in zip(keys, cell, strict=True):
        text += f"_cell.{key} {value}\n"
    text += "loop_\n" + "".join(f"_atom_site.{c}\n" for c in COLUMNS)
    for number, frame in enumerate(models, 1):
        for i, (x, y, z) in enumerate(frame):
            name, element = ATOMS[i]
            name = names[number - 1][i] if names else name
            text += (
                f"ATOM {i + 1} {element} {name} . CYX A 1 1 ? {x} {y} {z} 1.0 0.0 1 "
                f"CYX A {name} {number}\n"
            )
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["a.cif", "a.mmcif", "a.pdbx", "a"])
def test_every_model_is_a_frame(tmp_path, name):
    expected = frames(5)
    path = cif(tmp_path / name, expected)
    u = open_universe([path])
    theirs = gemmi.read_structure(str(path), format=gemmi.CoorFormat.Mmcif)
    assert u.trajectory.n_frames == len(theirs) == 5
    got = np.array([ts.positions.copy() for ts in u.trajectory])
    np.testing.assert_allclose(got, expected, atol=1e-5)
    for ts, model in zip(u.trajectory, theirs, strict=True):
        listed = [a.pos.tolist() for c in model for r in c for a in r]
        np.testing.assert_allclose(ts.positions, listed, atol=1e-5)
        np.testing.assert_allclose(ts.dimensions, [31, 32, 33, 90, 95, 90])
    assert u.atoms.elements.tolist() == ELEMENTS
    copy = pickle.loads(pickle.dumps(u))
    np.testing.assert_allclose(copy.trajectory[3].positions, expected[3], atol=1e-5)


def test_the_placeholder_is_no_cell(tmp_path):
    path = cif(tmp_path / "a.cif", frames(2), cell=(1, 1, 1, 90, 90, 90))
    assert open_universe([path]).trajectory.ts.dimensions is None


def test_models_of_unlike_atoms_are_refused(tmp_path):
    whole = frames(1)[0]
    path = cif(tmp_path / "a.cif", [whole, whole[:-1]])
    with pytest.raises(
        InputError, match=f"{N_ATOMS} in model 1 and {N_ATOMS - 1} in mod"
    ):
        open_universe([path])
    names = [[n for n, _ in ATOMS] for _ in range(2)]
    names[1][1], names[1][3] = names[1][3], names[1][1]
    path = cif(tmp_path / "b.cif", [whole, whole], names=names)
    with pytest.raises(
        InputError, match="atom 2 is A 1 CYX CA in model 1 and A 1 CYX CB"
    ):
        open_universe([path])


def test_a_crystal_with_fractional_coordinates_is_told_from_mmcif(tmp_path):
    (tmp_path / "urea.cif").write_text(
        "data_urea\n_cell_length_a 5.6\n_cell_length_b 5.6\n_cell_length_c 4.7\n"
        "_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n"
        "_symmetry_space_group_name_H-M 'P 1'\nloop_\n_atom_site_label\n"
        "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
        "C1 0.0 0.5 0.33\nO1 0.0 0.5 0.6\n"
    )
    with pytest.raises(InputError, match=r"fractional coordinates.*ase convert in.cif"):
        open_universe([tmp_path / "urea.cif"])
    # The conversion that is named works.
    ase_io = pytest.importorskip("ase.io")
    ase_io.write(tmp_path / "out.pdb", ase_io.read(tmp_path / "urea.cif"))
    u = open_universe([tmp_path / "out.pdb"])
    assert u.atoms.elements.tolist() == ["C", "O"]
    np.testing.assert_allclose(u.trajectory.ts.dimensions[:3], [5.6, 5.6, 4.7])
