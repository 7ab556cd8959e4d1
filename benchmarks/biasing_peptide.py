"""A biased simulation of a peptide whose slow angle nobody named.

    python benchmarks/biasing_peptide.py models --out peptide   # learn it
    python benchmarks/biasing_peptide.py run --out peptide      # or --only NAME
    python benchmarks/biasing_peptide.py table --out peptide

Trp-Leu-Ala-Leu-Leu at 420 K with the force field of ``data/wlall``. Its 60.8 ns without
bias are what the variable is learnt from, and the reference for populations and
transitions. ``smooth`` is biased along the first variable of ``tica --smooth``, which
was told nothing of the molecule; ``smooth2`` along the first two; ``phi3`` along φ of
the alanine, the angle that the report of that command names. All are OPES with a bias
factor of 5. A run that was stopped goes on when the command is given again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import MDAnalysis as mda
import numpy as np
import openmm as mm
from MDAnalysis.lib.distances import calc_dihedrals
from openmm import app, unit

from mdgeomfeat.bias.force import openmm_variables
from mdgeomfeat.bias.ranges import BiasRange, propose_ranges
from mdgeomfeat.bias.sampler import BiasSettings
from mdgeomfeat.bias.simulation import COLVAR, TRAJECTORY, BiasedSimulation, RunSettings
from mdgeomfeat.kinetics.energy import GAS_CONSTANT
from mdgeomfeat.pretraining.peptides import FORCE_FIELD_FILES
from mdgeomfeat.reading.colvar import read_colvar
from mdgeomfeat.variables import read_training

DATA = Path(__file__).parents[1] / "data" / "wlall"
STRUCTURE = DATA / "wlall.pdb"
N_RUNS = 8
SPACING = 4.0  # ps, between the frames of DATA
TEMPERATURE = 420.0  # K
TIME_STEP = 0.004  # ps, with hydrogens of 3 u
PACE = 250  # steps, 1 ps
BARRIER = 30.0  # kJ/mol
BIAS_FACTOR = 5.0
LENGTH = 1000.0  # ps
SEEDS = (1, 2, 3)
#: Which of the learnt variables are biased.
OUTPUTS = {"smooth": [0], "smooth2": [0, 1]}
SKIP = 0.2  # of a run, in which the bias grows
#: φ in degrees; frames between the two count as still in the one left last.
LEFT, RIGHT = (-160.0, -40.0), (30.0, 100.0)
ANGLE = BiasRange(
    width=0.15, lower=-np.pi, upper=np.pi, grid=(-np.pi, np.pi), periodic=True
)


def models(out: Path) -> None:
    """Learn the variable from the runs without bias."""
    runs = [str(DATA / f"wlall-{k}.xtc") for k in range(N_RUNS)]
    command = ["tica", str(STRUCTURE), *runs, "--smooth", "--no-maps", "--overwrite"]
    command += ["--temperature", f"{TEMPERATURE:g}", "--out", str(out / "learnt")]
    program = Path(sys.executable).with_name("mdgeomfeat")
    subprocess.run([str(program), *command], check=True)


def phi_atoms() -> np.ndarray:
    """Return the atoms of φ of all residues but the first, (4, 4), 0-based."""
    residues = mda.Universe(str(STRUCTURE)).residues
    return np.array([r.phi_selection().ix for r in residues[1:]])


def phi_of(*trajectories: Path) -> np.ndarray:
    """Return φ of all frames, (F, 4), degrees."""
    universe = mda.Universe(str(STRUCTURE), *map(str, trajectories))
    a, b, c, d = phi_atoms().T
    values = [
        calc_dihedrals(p[a], p[b], p[c], p[d])
        for p in (universe.atoms.positions for _ in universe.trajectory)
    ]
    return np.rad2deg(np.array(values))


def chosen_variable(
    name: str, out: Path, topology: app.Topology
) -> tuple[dict[str, mm.Force], list[BiasRange]]:
    """Return what a run is biased along, and the range of it."""
    if name in OUTPUTS:
        saved, outputs = out / "learnt" / "smooth", OUTPUTS[name]
        forces = openmm_variables(saved, topology, outputs=outputs)
        named = {f"cv{k + 1}": force for k, force in zip(outputs, forces, strict=True)}
        return named, list(propose_ranges(read_training(saved), outputs))
    angle = mm.CustomTorsionForce("theta")
    angle.addTorsion(*map(int, phi_atoms()[1]), [])
    return {"phi": angle}, [ANGLE]


def simulate(name: str, seed: int, out: Path) -> None:
    """Run, or go on with, one biased simulation."""
    folder = out / f"{name}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    pdb = app.PDBFile(str(STRUCTURE))
    system = app.ForceField(*FORCE_FIELD_FILES).createSystem(
        pdb.topology,
        nonbondedMethod=app.NoCutoff,
        constraints=app.HBonds,
        hydrogenMass=3.0 * unit.amu,
    )
    forces, ranges = chosen_variable(name, out, pdb.topology)
    simulation = BiasedSimulation(
        folder,
        pdb.topology,
        system,
        np.array(pdb.getPositions(asNumpy=True).value_in_unit(unit.nanometer)),
        None,
        forces,
        ranges,
        BiasSettings(
            temperature=TEMPERATURE,
            barrier=BARRIER,
            bias_factor=BIAS_FACTOR,
            pace=PACE,
        ),
        RunSettings(
            time_step=TIME_STEP,
            seed=seed,
            platform="CPU",
            record=PACE,
            frames=PACE,
            checkpoint=10 * PACE,
        ),
        None,
    )
    begun, cpu = simulation.step, time.process_time()
    n_steps = round(LENGTH / TIME_STEP)
    simulation.run(n_steps, lambda _: None)
    simulation.close()
    if n_steps > begun:
        rate = (n_steps - begun) / (time.process_time() - cpu)
        print(f"{folder}: {rate:.0f} steps per CPU second", flush=True)


def transitions(phi: np.ndarray) -> int:
    """Count how often an angle goes from one basin into the other."""
    state = np.zeros(len(phi), int)
    state[(phi > LEFT[0]) & (phi < LEFT[1])] = -1
    state[(phi > RIGHT[0]) & (phi < RIGHT[1])] = 1
    return int((np.diff(state[state != 0]) != 0).sum())


def above(phi: np.ndarray, logweight: np.ndarray | None = None) -> float:
    """Return the free energy of φ > 0 above that of φ < 0, kJ/mol."""
    if logweight is None:
        logweight = np.zeros(len(phi))
    weight = np.exp(logweight - logweight.max())
    with np.errstate(divide="ignore"):
        ratio = weight[phi > 0].sum() / weight[phi < 0].sum()
        return float(-GAS_CONSTANT * TEMPERATURE * np.log(ratio))


def told(energy: float, parts: list[float] | None = None, error: float = 0.0) -> str:
    """Return an energy with its error, from the runs or parts that it was seen in."""
    if not np.isfinite(energy):
        return "not seen"
    if parts is not None:
        if not np.isfinite(parts).all():
            return f"{energy:.1f}"
        error = float(np.std(parts, ddof=1) / np.sqrt(len(parts)))
    return f"{energy:.1f} ± {error:.1f}"


def row(name: str, counts: list[float], energies: list[str], rest: list[str]) -> None:
    """Print a row: transitions per ns and free energy of every φ."""
    cells = [f"{c:.2g}" for c in counts] + energies + rest
    print(f"| {name} | " + " | ".join(cells) + " |")


def table(out: Path) -> None:
    """Print what the runs show beside the data without bias."""
    names = ["Leu2", "Ala3", "Leu4", "Leu5"]
    heads = [f"{n}, per ns" for n in names] + [f"{n}, kJ/mol" for n in names]
    print("| run | " + " | ".join([*heads, "effective frames"]) + " |")
    print("|" + " --- |" * (len(heads) + 2))
    runs = [phi_of(DATA / f"wlall-{k}.xtc") for k in range(N_RUNS)]
    joined = np.concatenate(runs)
    times = sum(len(r) for r in runs) * SPACING / 1000
    # Runs are independent: leaving out one after the other gives the error.
    left = [
        [above(np.concatenate(runs[:k] + runs[k + 1 :])[:, j]) for k in range(N_RUNS)]
        for j in range(4)
    ]
    errors = [np.sqrt((N_RUNS - 1) * np.var(v)) for v in left]
    row(
        f"none, {times:.1f} ns",
        [sum(transitions(r[:, j]) for r in runs) / times for j in range(4)],
        [told(above(joined[:, j]), error=float(errors[j])) for j in range(4)],
        [f"{len(joined):,}"],
    )
    for folder in sorted(path.parent for path in out.glob(f"*-[0-9]/{TRAJECTORY}")):
        phi = phi_of(folder / TRAJECTORY)
        columns = read_colvar(folder / COLVAR)
        n = min(len(phi), len(columns.column("time")))
        phi, logweight = phi[:n], columns.column("logweight")[:n]
        kept = np.arange(int(SKIP * n), n)
        pieces = np.array_split(kept, 4)
        w = np.exp(logweight[kept] - logweight[kept].max())
        energies = []
        for j in range(4):
            parts = [above(phi[p, j], logweight[p]) for p in pieces]
            energies.append(told(above(phi[kept, j], logweight[kept]), parts))
        ns = columns.column("time")[n - 1] / 1000
        row(
            f"{folder.name}, {ns:.2g} ns",
            [transitions(phi[:, j]) / ns for j in range(4)],
            energies,
            [f"{w.sum() ** 2 / (w * w).sum():.0f}"],
        )


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["models", "run", "table"])
    parser.add_argument("--out", type=Path, default=Path("peptide"))
    parser.add_argument("--only", choices=[*OUTPUTS, "phi3"])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.what == "models":
        models(options.out)
    elif options.what == "run":
        for seed in SEEDS:
            for name in [options.only] if options.only else [*OUTPUTS, "phi3"]:
                simulate(name, seed, options.out)
    else:
        table(options.out)


if __name__ == "__main__":
    main()
