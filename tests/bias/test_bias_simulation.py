"""A simulation in a folder: what it writes, and how it goes on."""

from __future__ import annotations

import signal

import MDAnalysis as mda
import numpy as np
import openmm as mm
import pytest

from mdgeomfeat.bias import openmm_variables, propose_ranges
from mdgeomfeat.bias.checkpoint import Checkpoint
from mdgeomfeat.bias.colvar import ColvarWriter
from mdgeomfeat.bias.ranges import BiasRange
from mdgeomfeat.bias.sampler import BiasSettings
from mdgeomfeat.bias.signals import hold_back
from mdgeomfeat.bias.simulation import (
    CHECKPOINT,
    COLVAR,
    TRAJECTORY,
    BiasedSimulation,
    RunSettings,
)
from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.colvar import read_colvar
from mdgeomfeat.variables import read_training


@pytest.fixture
def begin(learnt, molecule):
    """Return a function that makes, or goes on with, a simulation in a folder."""

    def make(folder, method="opes", *, system=None, ranges=None, positions=None, **run):
        *cvs, distance = openmm_variables(learnt(), molecule.topology, reach=True)
        chosen = {"time_step": 0.001, "record": 10, "frames": 20, "checkpoint": 40}
        folder.mkdir(exist_ok=True)
        return BiasedSimulation(
            folder,
            molecule.topology,
            system or molecule.system(),
            molecule.positions if positions is None else positions,
            None,
            {"cv1": cvs[0]},
            ranges or propose_ranges(read_training(learnt()), [0]),
            BiasSettings(method=method, pace=20, fade=0.5),
            RunSettings(**({"platform": "Reference", "seed": 3} | chosen | run)),
            distance,
        )

    return make


def nothing(_):
    pass


def contents(folder):
    return {name: (folder / name).read_bytes() for name in (COLVAR, TRAJECTORY)}


@pytest.mark.parametrize("method", ["opes", "metad"])
def test_a_run_that_goes_on_is_the_run_that_was_not_stopped(begin, tmp_path, method):
    whole = begin(tmp_path / "whole", method)
    whole.run(160, nothing)
    first = begin(tmp_path / "parts", method)
    first.run(80, nothing)
    first.close()
    # what is written after the checkpoint is as good as lost
    with (tmp_path / "parts" / COLVAR).open("a") as file:
        file.write("0.081 1 2")
    with (tmp_path / "parts" / TRAJECTORY).open("ab") as file:
        file.write(b"half a frame")
    second = begin(tmp_path / "parts", method)
    assert second.step == 80
    assert second.exact
    second.run(160, nothing)
    assert contents(tmp_path / "whole") != {}
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    one, other = (
        Checkpoint.load(tmp_path / part / CHECKPOINT) for part in ("whole", "parts")
    )
    assert (one.positions == other.positions).all()
    assert one.step == other.step == 160


def test_what_is_written_belongs_together(begin, learnt, molecule, tmp_path):
    from mdgeomfeat import Structure
    from mdgeomfeat.structure import select_atoms
    from mdgeomfeat.variables import CollectiveVariables

    told = []
    simulation = begin(tmp_path)
    simulation.run(120, told.append)
    simulation.close()
    assert sum(told) == 120
    written = read_colvar(tmp_path / COLVAR)
    assert written.fields == (
        "time", "cv1", "distance", "opes.bias", "opes.c", "wall.bias", "logweight"
    )  # fmt: skip
    columns = {name: written.column(name) for name in written.fields}
    assert np.allclose(columns["time"], np.arange(1, 13) * 0.01)
    kt = simulation.bias.settings.kt
    weights = (columns["opes.bias"] - columns["opes.c"]) / kt
    assert np.allclose(columns["logweight"], weights, atol=1e-6)
    assert (columns["logweight"][0], columns["logweight"][-1] != 0) == (0, True)
    # frames are those of every second line, and give its values again
    universe = mda.Universe(str(molecule.path), str(tmp_path / TRAJECTORY))
    assert universe.trajectory.ts.dimensions is None  # it is in vacuum
    assert np.allclose([ts.time for ts in universe.trajectory], columns["time"][1::2])
    atoms = select_atoms(universe)
    variables = CollectiveVariables.load(
        learnt(), Structure.from_atomgroup(atoms), reach=True
    )
    frames = np.array([atoms.positions for _ in universe.trajectory], np.float64)
    values, _ = variables.differentiate(frames)
    # xtc rounds to 0.01 Å
    slack = 0.5 * 0.01 * 30
    assert np.abs(values[:, 0] - columns["cv1"][1::2]).max() < slack
    assert np.abs(values[:, -1] - columns["distance"][1::2]).max() < slack


def test_positions_that_are_no_numbers_stop_it(begin, molecule, tmp_path):
    system = molecule.system()
    parts = mm.CustomExternalForce("k*sqrt(1-step(on)*x^2)")
    parts.addGlobalParameter("on", -1.0)
    parts.addGlobalParameter("k", 0.0)
    parts.addParticle(0, [])
    system.addForce(parts)
    simulation = begin(tmp_path, system=system)
    simulation.run(40, nothing)
    context = simulation._simulation.context
    context.setParameter("on", 1e6)
    context.setParameter("k", float("nan"))
    with pytest.raises(
        InputError, match=r"At step 4\d .*no longer finite numbers"
    ) as e:
        simulation.run(80, nothing)
    assert "the checkpoint of step 40 is kept" in str(e.value)
    assert "--time-step" in str(e.value)
    assert Checkpoint.load(tmp_path / CHECKPOINT).step == 40


def test_a_start_outside_of_the_grid_is_refused(begin, tmp_path):
    far = [BiasRange(width=0.1, lower=20, upper=21, grid=(19, 22))]
    with pytest.raises(InputError, match=r"cv1 is .*, outside of its grid from 19 to"):
        begin(tmp_path, ranges=far)
    assert not (tmp_path / CHECKPOINT).exists()


def test_another_platform_s_checkpoint_still_serves(begin, tmp_path):
    simulation = begin(tmp_path)
    simulation.run(40, nothing)
    simulation.close()
    found = Checkpoint.load(tmp_path / CHECKPOINT)
    moved = Checkpoint(**{**found.__dict__, "made_by": "Cray", "native": b"strange"})
    moved.save(tmp_path / CHECKPOINT)
    again = begin(tmp_path)
    assert (again.step, again.exact) == (40, False)
    state = again._simulation.context.getState(getPositions=True, getVelocities=True)
    for got, kept in (
        (state.getPositions(asNumpy=True)._value, found.positions),
        (state.getVelocities(asNumpy=True)._value, found.velocities),
    ):
        np.testing.assert_allclose(got, kept, rtol=0, atol=1e-6)
    assert np.abs(found.velocities).max() > 0.1
    again.run(60, nothing)
    assert read_colvar(tmp_path / COLVAR).times[-1] == pytest.approx(0.06)


def test_checkpoints_are_written_on_the_way(begin, tmp_path):
    simulation = begin(tmp_path)
    found = {}

    def look(_):
        path = tmp_path / CHECKPOINT
        found[simulation.step] = Checkpoint.load(path).step if path.exists() else 0

    simulation.run(100, look)
    assert found == {10 * k: 40 * (k // 4) for k in range(1, 11)}


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(
    begin, tmp_path, monkeypatch
):
    simulation = begin(tmp_path)
    simulation.run(40, nothing)

    def half(file, **_):
        file.write(b"PK half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", half)
        with pytest.raises(KeyboardInterrupt):
            simulation.save()
    assert Checkpoint.load(tmp_path / CHECKPOINT).step == 40


def test_a_checkpoint_of_a_later_format_is_refused(begin, tmp_path, monkeypatch):
    simulation = begin(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("mdgeomfeat.bias.checkpoint.FORMAT", 2)
        simulation.save()
    with pytest.raises(InputError, match=r"has format 2, but this .* reads format 1"):
        Checkpoint.load(tmp_path / CHECKPOINT)


class Trap:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_in_a_checkpoint_is_executed(begin, tmp_path):
    simulation = begin(tmp_path)
    simulation.save()
    with np.load(tmp_path / CHECKPOINT) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["box"] = np.array([Trap(tmp_path / "trapped")], dtype=object)
    with (tmp_path / CHECKPOINT).open("wb") as file:
        np.savez(file, **arrays)
    with pytest.raises(InputError, match="is not the checkpoint"):
        Checkpoint.load(tmp_path / CHECKPOINT)
    assert not (tmp_path / "trapped").exists()


def energy_of(system, positions):
    made = mm.Context(
        system, mm.VerletIntegrator(0.001), mm.Platform.getPlatformByName("Reference")
    )
    made.setPositions(positions)
    return made.getState(getEnergy=True).getPotentialEnergy()._value


def test_a_simulation_begins_relaxed_and_with_its_seed(begin, molecule, tmp_path):
    strained = molecule.positions + np.random.default_rng(5).normal(0, 0.01, (22, 3))
    found = []
    for name in ("a", "b"):
        context = begin(tmp_path / name, positions=strained)._simulation.context
        state = context.getState(getPositions=True, getVelocities=True)
        found.append(state.getVelocities(asNumpy=True)._value)
    assert (found[0] == found[1]).all()
    positions = state.getPositions(asNumpy=True)._value
    relaxed = energy_of(molecule.system(), positions)
    assert relaxed < energy_of(molecule.system(), strained) - 100


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04"])
def test_a_damaged_checkpoint_is_told(tmp_path, content):
    path = tmp_path / CHECKPOINT
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is not the checkpoint .* --overwrite"):
        Checkpoint.load(path)


def test_colvar_files_are_written_and_read(tmp_path):
    path = tmp_path / COLVAR
    writer = ColvarWriter(path, ["time", "phi", "opes.bias"])
    writer.write([0.5, -1.2345678, 3e-9])
    size = writer.flush()
    writer.write([1.0, 2.0, 4.0])
    writer.write([1.5, 2.0, 4.0])
    writer.close()
    assert path.read_text().splitlines()[0] == "#! FIELDS time phi opes.bias"
    assert read_colvar(path).column("opes.bias").tolist() == [3e-9, 4.0, 4.0]
    assert read_colvar(path).column("phi")[0] == -1.2345678
    again = ColvarWriter(path, ["time", "phi", "opes.bias"], size)
    again.write([7, 8, 9])
    with pytest.raises(ValueError, match="2 values for 3 fields"):
        again.write([1, 2])
    again.close()
    assert read_colvar(path).times.tolist() == [0.5, 7]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"time_step": 0.0}, "time_step=0.0 must be"),
        ({"frames": 15}, "frames=15 is not a multiple of record=10"),
        ({"checkpoint": 30}, "checkpoint=30 is not a multiple of frames=20"),
        ({"platform": "Abacus"}, "no platform 'Abacus' here; choose one of Reference"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(begin, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        begin(tmp_path, **options)


@pytest.mark.parametrize("before", ["ignored", "handled"])
def test_signals_wait_and_what_is_ignored_stays_so(before):
    came = []
    handlers = {"ignored": signal.SIG_IGN, "handled": lambda *_: came.append(1)}
    old = signal.signal(signal.SIGINT, handlers[before])
    try:
        with hold_back() as held:
            signal.raise_signal(signal.SIGINT)
            assert bool(held) == (before == "handled")
            assert not came
        assert len(came) == (before == "handled")
        assert signal.getsignal(signal.SIGINT) == handlers[before]
    finally:
        signal.signal(signal.SIGINT, old)
