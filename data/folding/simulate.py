"""Fold and unfold a protein many times in a structure-based model.

    pip install "mdgeomfeat[data]"
    python data/folding/simulate.py villin       # all runs, to their full length
    python data/folding/simulate.py lambda --segments 5   # five segments of each

A run is a chain of segments. Every segment starts a fresh OpenMM context from the
positions and velocities where the last one ended, with random numbers of its own, and
only when it is complete do its frames join ``NAME-RUN.xtc``: stopped at any moment
and started again, the script goes on to the same trajectory, bit for bit. The runs
take turns, so that they are equally long whenever one stops.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openmm as mm
from MDAnalysis.lib.formats.libmdaxdr import XTCFile
from openmm import app, unit
from structure_based import (
    UNIT_TEMPERATURE,
    StructureBasedModel,
    build_model,
    build_system,
)

HERE = Path(__file__).parent
SEGMENT = 50_000  # steps
EQUILIBRATION = 10_000  # steps before the first segment
UNFOLDING_TEMPERATURE = 1.5  # reduced; odd runs start from there
UNFOLDING = 40_000  # steps
PRECISION = 250.0  # per nm: positions are rounded to 0.04 A


@dataclass(frozen=True, kw_only=True)
class Protein:
    """What is simulated, and how long."""

    temperature: float  # reduced: thermal energies in epsilon
    contacts_to_dihedrals: float  # ratio of the sums of their strengths
    friction: float  # per ps, which is the reduced unit of time
    time_step: float  # ps
    n_runs: int
    n_segments: int  # of each run
    every: int  # steps between frames
    seed: int


PROTEINS = {
    "hairpin": Protein(
        temperature=1.32,
        contacts_to_dihedrals=2.0,
        friction=1.0,
        time_step=0.002,
        n_runs=8,
        n_segments=6,
        every=500,
        seed=3_000_000,
    ),
    "villin": Protein(
        temperature=0.97,
        contacts_to_dihedrals=2.0,
        friction=1.0,
        time_step=0.002,
        n_runs=8,
        n_segments=12,
        every=1000,
        seed=1_000_000,
    ),
    "lambda": Protein(
        temperature=0.825,
        contacts_to_dihedrals=1.0,
        friction=0.1,
        time_step=0.003,
        n_runs=8,
        n_segments=24,
        every=2000,
        seed=2_000_000,
    ),
}


def load(name: str) -> StructureBasedModel:
    """Build the model of a protein from the structure beside this script."""
    structure = app.PDBFile(str(HERE / name / f"{name}.pdb"))
    native = structure.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    ratio = PROTEINS[name].contacts_to_dihedrals
    return build_model(structure.topology, np.asarray(native), ratio)


@dataclass
class Run:
    """One trajectory on the disk: its frames so far and where it goes on."""

    name: str
    index: int
    folder: Path

    @property
    def trajectory(self) -> Path:
        """The frames of the complete segments."""
        return self.folder / f"{self.name}-{self.index}.xtc"

    @property
    def checkpoint(self) -> Path:
        """Positions and velocities at their end, and the trajectory's size then."""
        return self.folder / f"{self.name}-{self.index}.npz"

    @property
    def n_done(self) -> int:
        """Number of complete segments."""
        if not self.checkpoint.exists():
            return 0
        with np.load(self.checkpoint) as saved:
            return int(saved["n_done"])

    def advance(self, system: mm.System, native: np.ndarray, length: int) -> None:
        """Simulate the next segment, of so many steps, and append its frames."""
        protein = PROTEINS[self.name]
        n_done = self.n_done
        seed = protein.seed + 1000 * self.index + n_done
        integrator = mm.LangevinMiddleIntegrator(
            protein.temperature * UNIT_TEMPERATURE, protein.friction, protein.time_step
        )
        integrator.setRandomNumberSeed(seed)
        # One thread, so that sums always run in one order.
        context = mm.Context(
            system, integrator, mm.Platform.getPlatformByName("CPU"), {"Threads": "1"}
        )
        size = 0
        if n_done:
            with np.load(self.checkpoint) as saved:
                context.setPositions(saved["positions"])
                context.setVelocities(saved["velocities"])
                size = int(saved["size"])
        else:
            self._begin(context, integrator, native, seed)
        frames = [_step(context, protein.every) for _ in range(length // protein.every)]
        if _burst(frames[-1]):
            raise RuntimeError(f"{self.trajectory.stem} burst; use a shorter time step")
        added = self._encode(frames, n_done * length)
        # What a stopped script may have appended after its last checkpoint goes.
        with self.trajectory.open("r+b" if size else "wb") as handle:
            handle.truncate(size)
            handle.seek(size)
            handle.write(added)
            handle.flush()
            os.fsync(handle.fileno())
        state = context.getState(getPositions=True, getVelocities=True)
        part = self.checkpoint.with_suffix(".part.npz")
        np.savez(
            part,
            positions=state.getPositions(asNumpy=True)._value,
            velocities=state.getVelocities(asNumpy=True)._value,
            n_done=n_done + 1,
            size=size + len(added),
        )
        part.replace(self.checkpoint)

    def _begin(
        self,
        context: mm.Context,
        integrator: mm.Integrator,
        native: np.ndarray,
        seed: int,
    ) -> None:
        """Equilibrate: from the native structure, or (odd runs) from a hot coil.

        The time step suits the temperature of the run. While it is heated, atoms may
        come so close in one step that it bursts; it is then heated once more.
        """
        target = integrator.getTemperature()
        for again in range(10):
            context.setPositions(native)
            context.setVelocitiesToTemperature(target, seed + 100 * again)
            if self.index % 2:
                integrator.setTemperature(UNFOLDING_TEMPERATURE * UNIT_TEMPERATURE)
                integrator.step(UNFOLDING)
                integrator.setTemperature(target)
            integrator.step(EQUILIBRATION)
            if not _burst(_step(context, 0)):
                return
        raise RuntimeError(f"{self.trajectory.stem} bursts whenever it is heated")

    def _encode(self, frames: list[np.ndarray], first_step: int) -> bytes:
        """Compress frames; an XTC file is the sum of its frames."""
        protein = PROTEINS[self.name]
        part = self.trajectory.with_suffix(".part.xtc")
        with XTCFile(str(part), "w") as handle:
            for k, positions in enumerate(frames, start=1):
                step = first_step + k * protein.every
                handle.write(
                    positions.astype(np.float32),
                    np.zeros((3, 3), np.float32),
                    step,
                    step * protein.time_step,
                    PRECISION,
                )
        data = part.read_bytes()
        part.unlink()
        return data


def _burst(positions: np.ndarray) -> bool:
    """Whether atoms are farther apart than a stretched chain reaches, or nowhere."""
    return not np.ptp(positions, axis=0).max() < 0.1 * len(positions)  # nm


def _step(context: mm.Context, n_steps: int) -> np.ndarray:
    """Simulate and return the positions, nm."""
    context.getIntegrator().step(n_steps)
    return context.getState(getPositions=True).getPositions(asNumpy=True)._value


def simulate(name: str, folder: Path, n_segments: int) -> None:
    """Bring every run of a protein to so many segments."""
    model, protein = load(name), PROTEINS[name]
    system = build_system(model)
    runs = [Run(name, index, folder) for index in range(protein.n_runs)]
    for segment in range(n_segments):
        for run in runs:
            if run.n_done > segment:
                continue
            started = time.monotonic(), time.process_time()
            run.advance(system, model.native, SEGMENT)
            wall = time.monotonic() - started[0]
            used = time.process_time() - started[1]
            print(
                f"{name} run {run.index}: segment {segment + 1} of {n_segments}, "
                f"{wall:.0f} s, {used:.0f} s of CPU time",
                flush=True,
            )


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(PROTEINS))
    parser.add_argument("--segments", type=int, help="of each run; all by default")
    parser.add_argument("--out", type=Path, help="folder; NAME beside this script")
    options = parser.parse_args()
    folder = options.out or HERE / options.name
    folder.mkdir(parents=True, exist_ok=True)
    n_segments = options.segments or PROTEINS[options.name].n_segments
    simulate(options.name, folder, n_segments)


if __name__ == "__main__":
    main()
