"""Simulate the trajectories that this folder holds.

    pip install "mdgeomfeat[data]"
    python data/simulate.py ala2          # every run of one system, or
    python data/simulate.py wlall --run 3 # a single run

Each run starts from its own minimised structure, heated to 600 K for 100 ps and
brought back to the target for 100 ps, so that runs are independent; only what
follows is written. The settings and why they are what they are stand in the
README beside this file.
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass
from pathlib import Path

import openmm as mm
from openmm import app, unit

from mdgeomfeat.pretraining.peptides import FORCE_FIELD_FILES, build_peptide

HERE = Path(__file__).parent
HEATING_TEMPERATURE = 600.0  # K
HEATING_TIME = 100.0  # ps, and as long again at the target temperature


@dataclass(frozen=True, kw_only=True)
class System:
    """What is simulated, and how."""

    sequence: str
    capped: bool
    temperature: float  # K
    n_runs: int
    length: float  # ns, each run
    spacing: float  # ps between frames
    platform: str  # the faster one on a single CPU core for this size
    time_step: float = 0.004  # ps, with hydrogens of 3 u
    flattening: float = 0.0  # kJ/mol, see `flatten_phi`


SYSTEMS = {
    "ala2": System(
        sequence="A",
        capped=True,
        temperature=450.0,
        n_runs=4,
        length=40.0,
        spacing=2.0,
        platform="Reference",
    ),
    "gly2": System(
        sequence="G",
        capped=True,
        temperature=300.0,
        n_runs=4,
        length=5.0,
        spacing=1.0,
        platform="Reference",
    ),
    "wlall": System(
        sequence="WLALL",
        capped=False,
        temperature=420.0,
        n_runs=8,
        length=7.6,
        spacing=4.0,
        platform="CPU",
    ),
    "aagaa": System(
        sequence="AAGAA",
        capped=True,
        temperature=500.0,
        n_runs=8,
        length=2.0,
        spacing=2.0,
        platform="Reference",
        flattening=16.7,
    ),
}


def flatten_phi(topology: app.Topology, strength: float) -> mm.Force:
    """Build the energy -strength (1 + cos phi) of every residue between two others.

    It lowers phi = 0 most, and the basins at -60 and 60 degrees alike, so that
    residues cross to phi > 0 and back within tens of picoseconds.
    """
    force = mm.PeriodicTorsionForce()
    residues = [{a.name: a.index for a in r.atoms()} for r in topology.residues()]
    for before, here in itertools.pairwise(residues):
        if {"N", "CA", "C"} <= here.keys():
            phi = (before["C"], here["N"], here["CA"], here["C"])
            force.addTorsion(*phi, 1, 0.0, -strength)
    return force


def simulate(name: str, run: int, out: Path) -> None:
    """Write ``NAME.pdb`` (once) and ``NAME-RUN.xtc``."""
    system = SYSTEMS[name]
    seed = 1000 * (1 + list(SYSTEMS).index(name)) + run
    peptide = build_peptide(system.sequence, capped=system.capped)
    forcefield = app.ForceField(*FORCE_FIELD_FILES)
    model = forcefield.createSystem(
        peptide.topology,
        nonbondedMethod=app.NoCutoff,
        constraints=app.HBonds,
        hydrogenMass=3.0 * unit.amu,
    )
    if system.flattening:
        model.addForce(flatten_phi(peptide.topology, system.flattening))
    integrator = mm.LangevinMiddleIntegrator(
        HEATING_TEMPERATURE, 1.0 / unit.picosecond, system.time_step
    )
    integrator.setRandomNumberSeed(seed)
    platform = mm.Platform.getPlatformByName(system.platform)
    properties = {"Threads": "1"} if system.platform == "CPU" else {}
    simulation = app.Simulation(
        peptide.topology, model, integrator, platform, properties
    )
    simulation.context.setPositions(peptide.positions)
    simulation.minimizeEnergy()
    topology_file = out / f"{name}.pdb"
    if not topology_file.exists():
        state = simulation.context.getState(getPositions=True)
        with topology_file.open("w") as handle:
            app.PDBFile.writeFile(peptide.topology, state.getPositions(), handle)
    simulation.context.setVelocitiesToTemperature(HEATING_TEMPERATURE, seed)
    simulation.step(round(HEATING_TIME / system.time_step))
    integrator.setTemperature(system.temperature)
    simulation.step(round(HEATING_TIME / system.time_step))
    simulation.context.setTime(0.0)
    simulation.currentStep = 0

    every = round(system.spacing / system.time_step)
    part = out / f"{name}-{run}.part.xtc"
    simulation.reporters.append(app.XTCReporter(str(part), every))
    started = time.monotonic()
    simulation.step(round(1000 * system.length / system.time_step))
    simulation.reporters.clear()
    part.rename(out / f"{name}-{run}.xtc")
    minutes = (time.monotonic() - started) / 60
    print(f"{name} run {run}: {system.length} ns in {minutes:.1f} min, seed {seed}")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(SYSTEMS))
    parser.add_argument("--run", type=int, action="append", help="only these runs")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    out = options.out or HERE / options.name
    out.mkdir(parents=True, exist_ok=True)
    for run in options.run or range(SYSTEMS[options.name].n_runs):
        simulate(options.name, run, out)


if __name__ == "__main__":
    main()
