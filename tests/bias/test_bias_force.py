"""Variables as forces of OpenMM: the physics that a force must have."""

from __future__ import annotations

import MDAnalysis as mda
import numpy as np
import openmm as mm
import pytest
from openmm import app, unit

from mdgeomfeat import Structure
from mdgeomfeat.bias import openmm_variables
from mdgeomfeat.bias.force import SharedEvaluation
from mdgeomfeat.boxes import lattice_vectors
from mdgeomfeat.errors import InputError
from mdgeomfeat.structure import select_atoms
from mdgeomfeat.variables import CollectiveVariables

TRICLINIC = (22.0, 23.0, 24.0, 75.0, 80.0, 95.0)


def context(system, positions, box=None, integrator=None):
    made = mm.Context(
        system,
        integrator or mm.VerletIntegrator(0.001),
        mm.Platform.getPlatformByName("Reference"),
    )
    if box is not None:
        made.setPeriodicBoxVectors(*(lattice_vectors(box) / 10))
    made.setPositions(positions)
    return made


def alone(molecule, force):
    """Return a system of nothing but this force."""
    system = mm.System()
    for _ in range(molecule.topology.getNumAtoms()):
        system.addParticle(12.0)
    system.addForce(force)
    return system


def energy_and_forces(made):
    state = made.getState(getEnergy=True, getForces=True)
    forces = state.getForces(asNumpy=True)
    return (
        state.getPotentialEnergy().value_in_unit(unit.kilojoules_per_mole),
        forces.value_in_unit(unit.kilojoules_per_mole / unit.nanometer),
    )


@pytest.fixture
def distorted(molecule):
    noise = np.random.default_rng(5).normal(0, 0.01, (22, 3))
    return molecule.positions + noise


@pytest.mark.parametrize("which", [0, 1, 2], ids=["cv1", "cv2", "distance"])
def test_forces_are_finite_differences(learnt, molecule, distorted, which):
    force = openmm_variables(learnt("float64"), molecule.topology, reach=True)[which]
    made = context(alone(molecule, force), distorted)
    _, forces = energy_and_forces(made)
    step = 1e-5
    expected = np.zeros_like(forces)
    for atom in molecule.indices:
        for k in range(3):
            sides = []
            for sign in (1, -1):
                moved = distorted.copy()
                moved[atom, k] += sign * step
                made.setPositions(moved)
                sides.append(energy_and_forces(made)[0])
            expected[atom, k] = (sides[1] - sides[0]) / (2 * step)
    assert np.abs(forces - expected).max() < 1e-6 * np.abs(expected).max()
    hydrogens = np.setdiff1d(np.arange(22), molecule.indices)
    assert (forces[hydrogens] == 0).all()
    assert np.abs(forces.sum(axis=0)).max() < 1e-8 * np.abs(forces).max()
    torque = np.cross(distorted, forces).sum(axis=0)
    assert np.abs(torque).max() < 1e-8 * np.abs(forces).max()


def test_compiled_forces_are_those_of_float64(learnt, molecule, distorted):
    found = []
    for dtype in ("float32", "float64"):
        force = openmm_variables(learnt(dtype), molecule.topology)[0]
        found.append(energy_and_forces(context(alone(molecule, force), distorted)))
    (fast, fast_forces), (exact, exact_forces) = found
    assert abs(fast - exact) < 1e-4
    size = np.linalg.norm(exact_forces)
    assert np.linalg.norm(fast_forces - exact_forces) < 1e-4 * size


def test_values_are_those_of_the_variables(learnt, molecule, distorted):
    atoms = select_atoms(mda.Universe(str(molecule.path)))
    variables = CollectiveVariables.load(
        learnt(), Structure.from_atomgroup(atoms), reach=True
    )
    (expected,), _ = variables.differentiate(10 * distorted[None, atoms.ix])
    forces = openmm_variables(learnt(), molecule.topology, reach=True)
    collected = mm.CustomCVForce("cv1+cv2+distance")
    for force in forces:
        collected.addCollectiveVariable(force.getName(), force)
    made = context(alone(molecule, collected), distorted)
    got = collected.getCollectiveVariableValues(made)
    assert [f.getName() for f in forces] == ["cv1", "cv2", "distance"]
    assert np.allclose(got, expected, rtol=0, atol=1e-12)


def test_all_variables_cost_one_evaluation(learnt, molecule, distorted):
    forces = openmm_variables(learnt(), molecule.topology)
    collected = mm.CustomCVForce("cv1*cv2")
    for force in forces:
        collected.addCollectiveVariable(force.getName(), force)
    system = molecule.system()
    system.addForce(collected)
    made = context(
        system, distorted, integrator=mm.LangevinMiddleIntegrator(300, 1, 0.001)
    )
    evaluations = list(SharedEvaluation._alive.values())
    before = sum(e.n_computed for e in evaluations)
    made.getIntegrator().step(20)
    assert sum(e.n_computed for e in evaluations) - before in (20, 21)


def test_energy_is_conserved_with_a_bias(learnt, molecule):
    cv = openmm_variables(learnt(), molecule.topology, outputs=[0])[0]
    bias = mm.CustomCVForce("20*(cv1-3)^2")
    bias.addCollectiveVariable("cv1", cv)
    bias.setForceGroup(1)
    system = molecule.system()
    system.addForce(bias)
    integrator = mm.VerletIntegrator(0.0005)
    integrator.setConstraintTolerance(1e-9)
    made = context(system, molecule.positions, integrator=integrator)
    mm.LocalEnergyMinimizer.minimize(made, maxIterations=50)
    made.setVelocitiesToTemperature(300, 7)
    integrator.step(100)
    total, biases = [], []
    for _ in range(100):
        integrator.step(10)
        state = made.getState(getEnergy=True)
        energy = state.getPotentialEnergy() + state.getKineticEnergy()
        total.append(energy.value_in_unit(unit.kilojoules_per_mole))
        state = made.getState(getEnergy=True, groups={1})
        biases.append(
            state.getPotentialEnergy().value_in_unit(unit.kilojoules_per_mole)
        )
    assert np.ptp(biases) > 2  # the bias works on the molecule,
    drift = abs(np.mean(total[-20:]) - np.mean(total[:20]))
    assert drift < 0.05  # kJ/mol; and all of that work is accounted for
    assert np.std(total) < 0.1


def test_a_molecule_may_be_wrapped_in_a_box(learnt, molecule, distorted):
    force = openmm_variables(learnt("float64"), molecule.topology, periodic=True)[0]
    lattice = lattice_vectors(TRICLINIC) / 10
    whole = distorted - distorted[molecule.indices].mean(axis=0) + lattice.sum(0) / 2
    shifted = whole + 0.45 * lattice[0] - 0.48 * lattice[2]
    fraction = shifted @ np.linalg.inv(lattice)
    broken = (fraction - np.floor(fraction)) @ lattice
    assert len({tuple(row) for row in np.floor(fraction)[molecule.indices]}) > 1
    system = alone(molecule, force)
    system.setDefaultPeriodicBoxVectors(*lattice)
    found = [energy_and_forces(context(system, r, TRICLINIC)) for r in (whole, broken)]
    assert abs(found[0][0] - found[1][0]) < 1e-9
    assert np.allclose(found[0][1], found[1][1], atol=1e-7)


def test_a_box_that_changes_alone_counts(learnt, molecule, distorted):
    force = openmm_variables(learnt("float64"), molecule.topology, periodic=True)[0]
    system = alone(molecule, force)
    system.setDefaultPeriodicBoxVectors(*(lattice_vectors(TRICLINIC) / 10))
    # across the boundary of the first box, and inside of the second
    lattice = lattice_vectors(TRICLINIC) / 10
    centred = distorted - distorted[molecule.indices].mean(axis=0)
    fraction = centred @ np.linalg.inv(lattice)
    broken = (fraction - np.floor(fraction)) @ lattice
    wide = (32.0, 33.0, 34.0, 90.0, 90.0, 90.0)
    made = context(system, broken, TRICLINIC)
    before = energy_and_forces(made)
    made.setPeriodicBoxVectors(*(lattice_vectors(wide) / 10))
    after, anew = (
        energy_and_forces(made),
        energy_and_forces(context(system, broken, wide)),
    )
    assert abs(before[0] - anew[0]) > 1e-3
    assert after[0] == anew[0]
    assert (after[1] == anew[1]).all()


def test_a_chosen_variable_is_the_one_that_was_asked_for(learnt, molecule, distorted):
    def energy(force):
        return energy_and_forces(context(alone(molecule, force), distorted))[0]

    model = learnt("float64")
    first, second = map(energy, openmm_variables(model, molecule.topology))
    for outputs, expected in (([1], [second]), ([1, 0], [second, first])):
        forces = openmm_variables(model, molecule.topology, outputs=outputs)
        assert [f.getName() for f in forces] == [f"cv{k + 1}" for k in outputs]
        assert list(map(energy, forces)) == pytest.approx(expected, rel=1e-12)
    assert abs(first - second) > 0.01


def test_a_system_survives_serialisation(learnt, molecule, distorted):
    bias = mm.CustomCVForce("3*cv1")
    bias.addCollectiveVariable("cv1", openmm_variables(learnt(), molecule.topology)[0])
    system = alone(molecule, bias)
    copy = mm.XmlSerializer.deserialize(mm.XmlSerializer.serialize(system))
    one, other = (energy_and_forces(context(s, distorted)) for s in (system, copy))
    assert one[0] == other[0]
    assert (one[1] == other[1]).all()


def test_openmm_s_own_metadynamics_takes_them(learnt, molecule):
    system = molecule.system()
    cv = openmm_variables(learnt(), molecule.topology, outputs=[1])[0]
    assert cv.getName() == "cv2"
    variable = app.BiasVariable(cv, -5, 5, 0.3)
    sampler = app.Metadynamics(system, [variable], 300, 5, 1, 5)
    integrator = mm.LangevinMiddleIntegrator(300, 1, 0.001)
    simulation = app.Simulation(
        molecule.topology,
        system,
        integrator,
        mm.Platform.getPlatformByName("Reference"),
    )
    simulation.context.setPositions(molecule.positions)
    sampler.step(simulation, 10)
    assert np.ptp(sampler.getFreeEnergy()._value) > 0.5


def test_what_does_not_fit_is_refused(learnt, molecule):
    other = app.Topology()
    chain = other.addChain()
    residue = other.addResidue("ALA", chain)
    carbon, oxygen = (app.Element.getBySymbol(s) for s in "CO")
    for name, element in (("N", oxygen), ("CA", carbon), ("C", carbon)):
        other.addAtom(name, element, residue)
    with pytest.raises(InputError, match="made for 3 tokens and these files have 1"):
        openmm_variables(learnt(), other)
    with pytest.raises(InputError, match=r"ALA2 of C3 N1 O1 there, .* of C2"):
        openmm_variables(
            learnt(), molecule.topology, select="not name H* and not name CB"
        )
    with pytest.raises(InputError, match="different numbers from 0 to 1"):
        openmm_variables(learnt(), molecule.topology, outputs=[2])
    with pytest.raises(InputError, match="different numbers from 0 to 1"):
        openmm_variables(learnt(), molecule.topology, outputs=[0, 0])


def test_a_box_in_one_and_not_in_the_other_is_refused(learnt, molecule):
    topology = app.PDBFile(str(molecule.path)).topology
    topology.setPeriodicBoxVectors(np.eye(3) * 4)
    with pytest.raises(InputError, match=r"has a box and .* from frames without one"):
        openmm_variables(learnt(), topology)
    (*_, whole) = openmm_variables(learnt(), topology, periodic=False)
    assert not whole.usesPeriodicBoundaryConditions()
    (*_, wrapped) = openmm_variables(learnt(), topology, periodic=True)
    assert wrapped.usesPeriodicBoundaryConditions()


def test_networks_that_jump_are_refused(learnt, molecule, monkeypatch):
    monkeypatch.setattr("mdgeomfeat.variables.collective.jump_at_cutoff", lambda *_: 1)
    with pytest.raises(InputError, match="a bias needs a smooth network"):
        openmm_variables(learnt(), molecule.topology)
