"""Free energies over coordinates that the user names."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import MDAnalysis as mda
import numpy as np
import pytest
from MDAnalysis.analysis.dihedrals import Dihedral

from mdgeomfeat.commands.chosen_coordinates import FreeEnergyPlan, chosen_free_energies
from mdgeomfeat.commands.options import StudyOptions
from mdgeomfeat.errors import InputError
from mdgeomfeat.report import html
from mdgeomfeat.report.gallery import Gallery
from mdgeomfeat.report.sections.coordinates import coordinates_section
from mdgeomfeat.store.lazy import LazyArray
from mdgeomfeat.structure import Structure

GAS_CONSTANT = 8.314462618e-3  # kJ/mol/K


def few_frames(data):
    """Return atoms and frames (200, A, 3) of alanine dipeptide."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = mda.Universe(data / "ala2/ala2.pdb", data / "ala2/ala2-0.xtc")
    atoms = universe.select_atoms("not element H")
    x = universe.trajectory.timeseries(atoms, stop=2000, step=10, order="fac")
    universe.trajectory[0]
    return atoms, x


def energies(data, fes, weights, lazy=False):
    atoms, x = few_frames(data)
    structure = Structure.from_atomgroup(atoms)
    plan = FreeEnergyPlan(StudyOptions(fes=fes))
    plan.find(structure, atoms)
    # two runs, and a frame between them that is in none
    rows = [slice(0, 80), slice(81, 200)]
    states = SimpleNamespace(
        n_states=2,
        weights=None if weights is None else [weights[r] for r in rows],
        representatives=[np.array([[1, 5], [0, 3]]), np.empty((0, 2), int)],
    )
    study = SimpleNamespace(states=states, settings=SimpleNamespace(temperature=310.0))
    if lazy:
        x = LazyArray([x], [None])
    source = SimpleNamespace(
        positions=x, results=SimpleNamespace(boxes=None), rows=rows
    )
    residue = atoms.select_atoms("resname ALA").residues[0]
    pairs = [residue.phi_selection(), residue.psi_selection()]
    angles = Dihedral(pairs).run(stop=2000, step=10).results.angles
    return chosen_free_energies(plan.found, study, source), angles


def test_energies_are_those_of_the_weighted_angles(data):
    weights = np.random.default_rng(0).uniform(0, 1, 200)
    weights[[7, 150]] = 0.0
    (both, one), angles = energies(
        data, ("phi A:ALA2, psi A:ALA2", "phi A:ALA2"), weights
    )
    used = np.r_[0:80, 81:200]
    edges = [np.linspace(-180, 180, 21)] * 2
    mass = np.histogramdd(angles[used], edges, weights=weights[used])[0]
    with np.errstate(divide="ignore"):
        expected = -GAS_CONSTANT * 310 * np.log(mass / mass.max())
    expected[mass == 0] = np.nan
    np.testing.assert_allclose(both.surface.edges[1], edges[1])
    np.testing.assert_allclose(both.surface.energy, expected, atol=1e-6)
    assert both.surface.unit == "kJ/mol"
    profile = mass.sum(axis=1)
    with np.errstate(divide="ignore"):
        expected = -GAS_CONSTANT * 310 * np.log(profile / profile.max())
    np.testing.assert_allclose(
        one.surface.energy[profile > 0], expected[profile > 0], atol=1e-6
    )
    # a state's most typical frame is where it is in its own run
    np.testing.assert_allclose(both.representatives[0], angles[86], atol=0.05)
    assert np.isnan(both.representatives[1]).all()


def test_frames_that_stay_on_disk_give_the_same(data):
    fes = "phi A:ALA2, rmsd all"
    (held,), _ = energies(data, fes, np.ones(200))
    (read,), _ = energies(data, fes, np.ones(200), lazy=True)
    np.testing.assert_array_equal(read.surface.energy, held.surface.energy)


def test_the_figure_and_the_summary_say_what_is_drawn(data, tmp_path):
    fes = "phi A:ALA2, distance name CA to name C and resname NME"
    found, _ = energies(data, fes, np.ones(200))
    page = coordinates_section(
        found, weighted=False, temperature=310.0, gallery=Gallery(tmp_path)
    )
    assert isinstance(page, html.Html)
    assert "at 310 K over phi A:ALA2 and distance name CA to name C and" in page
    assert "with the Markov model&#x27;s weights" in page
    assert (tmp_path / "free-energy-1.png").is_file()
    content = found[0].to_dict()
    assert [c["unit"] for c in content["coordinates"]] == ["degrees", "Å"]
    assert content["representatives"][1] == [None, None]
    first, second = content["surface"]["edges"]
    assert (first[0], first[-1]) == (-180, 180)
    assert 0 < second[0] < second[-1] < 10
    assert len(content["surface"]["energy"]) == len(first) - 1


def test_without_weights_there_is_no_free_energy(data):
    found, _ = energies(data, "phi A:ALA2", None)
    assert found[0].to_dict()["surface"] is None
    page = coordinates_section(
        found, weighted=False, temperature=None, gallery=Gallery(None)
    )
    assert "No free energy is drawn" in page
    assert "<img" not in page


def test_what_cannot_be_read_is_refused_before_a_file_is_opened():
    with pytest.raises(InputError, match="'phj 3' is not a coordinate"):
        StudyOptions(fes=("phi A:ALA2", "phj 3"))


def test_one_text_is_one_free_energy_and_repeats_are_left_out():
    assert StudyOptions(fes="phi 2, psi 2").free_energies == ("phi 2, psi 2",)
    assert StudyOptions(fes=("phi 2", "psi 2", "phi 2")).free_energies == (
        "phi 2",
        "psi 2",
    )
