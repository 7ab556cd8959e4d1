"""The script that simulates the peptides of ``data/``."""

import numpy as np
import pytest

mm = pytest.importorskip("openmm")
pytest.importorskip("PeptideBuilder")


def test_flattening_is_a_cosine_of_every_phi(simulate_peptides):
    """-k (1 + cos phi), summed over the residues and not over the caps."""
    from mdgeomfeat.pretraining.peptides import build_peptide

    peptide = build_peptide("AGA", phi=-70.0)
    n_atoms = peptide.topology.getNumAtoms()
    system = mm.System()
    for _ in range(n_atoms):
        system.addParticle(1.0)
    system.addForce(simulate_peptides.flatten_phi(peptide.topology, 16.7))
    context = mm.Context(
        system,
        mm.VerletIntegrator(0.001),
        mm.Platform.getPlatformByName("Reference"),
    )
    context.setPositions(peptide.positions)
    energy = context.getState(getEnergy=True).getPotentialEnergy()._value
    assert energy == pytest.approx(-3 * 16.7 * (1 + np.cos(np.radians(70))), rel=1e-3)
