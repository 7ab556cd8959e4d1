"""What is simulated: systems and boxes from files."""

from __future__ import annotations

import numpy as np
import openmm as mm
import pytest
from openmm import app

from mdgeomfeat.bias.systems import read_simulated
from mdgeomfeat.errors import InputError
from mdgeomfeat.pretraining.peptides import FORCE_FIELD_FILES

BOX = "CRYST1   18.000   20.000   22.000  90.00  90.00  90.00 P 1           1\n"


@pytest.fixture
def boxed(molecule, tmp_path):
    """Return the dipeptide in a box of 18 Å and more."""
    path = tmp_path / "boxed.pdb"
    atoms = [x for x in molecule.path.read_text().splitlines() if x[:6] != "CRYST1"]
    path.write_text(BOX + "\n".join(atoms) + "\n")
    return path


def written(system, path):
    path.write_text(mm.XmlSerializer.serialize(system))
    return path


def test_a_force_field_in_a_small_box_has_a_cutoff_that_fits(boxed):
    made = read_simulated(boxed, force_field=FORCE_FIELD_FILES[:1])
    (force,) = (f for f in made.system.getForces() if isinstance(f, mm.NonbondedForce))
    assert force.getNonbondedMethod() == mm.NonbondedForce.PME
    assert 0.8 < force.getCutoffDistance()._value < 0.9
    np.testing.assert_allclose(made.box, np.diag([1.8, 2.0, 2.2]))
    assert made.system.getNumConstraints() == 12  # bonds to hydrogens


def test_a_system_that_is_not_periodic_has_no_box(molecule, boxed, tmp_path):
    path = written(molecule.system(), tmp_path / "system.xml")
    made = read_simulated(boxed, system=path)
    assert made.box is None
    assert made.topology.getPeriodicBoxVectors() is None


def test_the_box_is_the_structure_s_or_else_the_system_s(molecule, boxed, tmp_path):
    system = app.ForceField(FORCE_FIELD_FILES[0]).createSystem(
        app.PDBFile(str(boxed)).topology,
        nonbondedMethod=app.CutoffPeriodic,
        nonbondedCutoff=0.8,
    )
    system.setDefaultPeriodicBoxVectors(*np.diag([3.0, 3.5, 4.0]))
    path = written(system, tmp_path / "system.xml")
    np.testing.assert_allclose(
        read_simulated(boxed, system=path).box, np.diag([1.8, 2.0, 2.2])
    )
    bare = tmp_path / "bare.pdb"
    bare.write_text(boxed.read_text().replace(BOX, ""))
    made = read_simulated(bare, system=path)
    np.testing.assert_allclose(made.box, np.diag([3.0, 3.5, 4.0]))
    assert made.topology.getPeriodicBoxVectors() is not None


def test_a_system_of_another_molecule_is_refused(molecule, tmp_path):
    system = mm.System()
    system.addParticle(1.0)
    path = written(system, tmp_path / "small.xml")
    with pytest.raises(InputError, match=r"has 22 atoms, but the system in .* has 1;"):
        read_simulated(molecule.path, system=path)


def test_a_system_that_would_execute_something_is_not_read(molecule, tmp_path):
    system = molecule.system()
    system.addForce(mm.PythonForce(print))
    path = written(system, tmp_path / "python.xml")
    with pytest.raises(InputError, match="are executed when they are read"):
        read_simulated(molecule.path, system=path)


def test_what_is_no_system_is_told(molecule, tmp_path):
    path = tmp_path / "x.xml"
    path.write_text(mm.XmlSerializer.serialize(mm.VerletIntegrator(0.001)))
    with pytest.raises(InputError, match="holds a VerletIntegrator, not a system"):
        read_simulated(molecule.path, system=path)
    with pytest.raises(InputError, match="There is no file"):
        read_simulated(molecule.path, system=tmp_path / "no.xml")
    empty = tmp_path / "empty.pdb"
    empty.write_text("END\n")
    with pytest.raises(InputError, match="holds no atoms"):
        read_simulated(empty, force_field=FORCE_FIELD_FILES)
    with pytest.raises(InputError, match="give one of them"):
        read_simulated(molecule.path)
