"""The pocket of ``data/``: what its page says of the runs, and the forces in them."""

import warnings

import MDAnalysis as mda
import numpy as np
import pytest


def test_the_table_of_the_page_is_what_is_counted(simulate_pocket, capsys):
    folder = simulate_pocket.HERE
    simulate_pocket.count(folder)
    table = capsys.readouterr().out
    assert len(table.splitlines()) == 6
    assert table.strip() in (folder / "README.md").read_text(encoding="utf-8")


def test_the_structure_is_held_and_the_ligand_is_pulled_back(simulate_pocket):
    import openmm as mm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atoms = mda.Universe(simulate_pocket.HERE / "pocket.pdb").atoms
    x = atoms.positions.astype(float) / 10
    ligand = atoms.resnames == simulate_pocket.LIGAND
    context = mm.Context(
        simulate_pocket.build(x, ligand),
        mm.VerletIntegrator(0.001),
        mm.Platform.getPlatformByName("Reference"),
    )

    def energy_and_pull(distance):
        away = x[ligand].mean(axis=0) - x[~ligand].mean(axis=0)
        away /= np.linalg.norm(away)
        moved = x.copy()
        moved[ligand] += distance * away
        context.setPositions(moved)
        state = context.getState(getEnergy=True, getForces=True)
        pull = state.getForces(asNumpy=True)._value[ligand].sum(axis=0) @ away
        return state.getPotentialEnergy()._value, pull

    bound, _ = energy_and_pull(0.0)
    assert bound == pytest.approx(-simulate_pocket.CONTACT_ENERGY, abs=5)
    # out of the pocket and beyond the wall, which pulls the more the farther it is
    (left, near), (far, more) = map(energy_and_pull, (2.0, 3.0))
    assert bound + 30 < left < far
    assert more < near < 0
