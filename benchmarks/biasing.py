"""Does a learnt variable drive a simulation? Five variables, the same method.

    python benchmarks/biasing.py models --out biasing       # learn what is compared
    python benchmarks/biasing.py run --out biasing          # all runs, or --only NAME
    python benchmarks/biasing.py table --out biasing        # figures and table

Alanine dipeptide at 300 K with the force field of ``data/ala2``, whose runs at 450 K
the variables are learnt from. The first of the five is ours, the second ours as ``tica
--smooth`` writes it for biased simulations, with a bias factor of 5 (of the others it
is 16), the third phi, which everybody knows for this molecule, the fourth TICA of
distances between heavy atoms, the fifth our variable on a network that was never
trained. A run that was stopped goes on when the command is given again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import MDAnalysis as mda
import numpy as np
import openmm as mm
from matplotlib.figure import Figure
from MDAnalysis.lib.distances import calc_dihedrals
from openmm import app, unit

from mdgeomfeat.bias.force import openmm_variables
from mdgeomfeat.bias.ranges import BiasRange, propose_ranges
from mdgeomfeat.bias.sampler import BiasSettings
from mdgeomfeat.bias.simulation import COLVAR, TRAJECTORY, BiasedSimulation, RunSettings
from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn import load_model, random_twin, save_model
from mdgeomfeat.kinetics.energy import GAS_CONSTANT
from mdgeomfeat.kinetics.tica import fit_tica
from mdgeomfeat.pretraining.peptides import FORCE_FIELD_FILES
from mdgeomfeat.reading.colvar import read_colvar
from mdgeomfeat.report.figures.style import figure, figure_style
from mdgeomfeat.variables import read_training

DATA = Path(__file__).parents[1] / "data" / "ala2"
TEMPERATURE = 300.0  # K
# ps, with hydrogens of 3 u. TICA of distances breaks the integrator at 4 fs.
TIME_STEPS = {"learnt": 0.004, "smooth": 0.004}
OTHER_TIME_STEP = 0.002
# The twin's gradients are so steep that with the width that its training data propose
# the integrator breaks within picoseconds, at 4, 2 and 1 fs alike; with this one it
# takes some hundred.
WIDTHS = {"twin": 1.0}
BIAS_FACTORS = {"smooth": 5.0}
PACE = 1.0  # ps
BARRIER = 40.0  # kJ/mol
LENGTH = 1000.0  # ps
REFERENCE_LENGTH = 10_000.0  # ps
SEEDS = (1, 2, 3)
LAG = 8  # frames of 2 ps; of the TICA of distances
SKIP = 0.2  # of a run, in which the bias grows


def models(out: Path) -> None:
    """Learn the variables: with our network, and with its untrained twin."""
    save_model(random_twin(load_model("et-64"), 1), out / "twin.safetensors", {})
    runs = [str(DATA / f"ala2-{k}.xtc") for k in range(4)]
    for name, more in (
        ("learnt", ["--smooth"]),
        ("twin", ["--model", str(out / "twin.safetensors"), "--allow-unseen"]),
    ):
        command = ["tica", str(DATA / "ala2.pdb"), *runs, "--out", str(out / name)]
        command += ["--dim", "1", "--no-maps", "--temperature", "450", "--overwrite"]
        program = Path(sys.executable).with_name("mdgeomfeat")
        subprocess.run([str(program), *command, *more], check=True)


def named(universe: mda.Universe, *names: str) -> list[int]:
    """Return the atoms of a dihedral around the middle residue, 0-based."""
    chosen = []
    for name in names:
        resid, atom = name.split(":")
        (found,) = universe.select_atoms(f"resid {resid} and name {atom}").ix
        chosen.append(int(found))
    return chosen


def backbone(universe: mda.Universe) -> dict[str, list[int]]:
    """Return the atoms of phi and psi."""
    first = int(universe.residues[0].resid)
    before, here, after = (f"{first + k}" for k in range(3))
    return {
        "phi": named(universe, f"{before}:C", f"{here}:N", f"{here}:CA", f"{here}:C"),
        "psi": named(universe, f"{here}:N", f"{here}:CA", f"{here}:C", f"{after}:N"),
    }


def dihedral(atoms: list[int]) -> mm.Force:
    """Return a force whose energy is a dihedral angle."""
    force = mm.CustomTorsionForce("theta")
    force.addTorsion(*atoms, [])
    return force


def distance_tica() -> tuple[mm.Force, BiasRange]:
    """Return TICA of all distances of heavy atoms, and its range in the data."""
    universe = mda.Universe(str(DATA / "ala2.pdb"), str(DATA / "ala2-0.xtc"))
    heavy = universe.select_atoms("not name H* and not name [123]H*").ix
    i, j = np.triu_indices(len(heavy), 1)
    pairs = np.stack([heavy[i], heavy[j]], axis=1)
    arrays = []
    for k in range(4):
        run = mda.Universe(str(DATA / "ala2.pdb"), str(DATA / f"ala2-{k}.xtc"))
        r = np.array([run.atoms.positions for _ in run.trajectory], np.float64) / 10
        arrays.append(np.linalg.norm(r[:, pairs[:, 0]] - r[:, pairs[:, 1]], axis=-1))
    fitted = fit_tica(arrays, LAG, 1)
    values = np.concatenate(fitted.transform(arrays))[:, 0]
    sign = np.sign(((values - values.mean()) ** 3).mean())
    slopes = sign * fitted.standardizer.factor * fitted.matrix[:, 0]
    constant = sign * fitted.offset[0] - slopes @ fitted.standardizer.shift
    bonds = mm.CustomBondForce("slope*r + share")
    bonds.addPerBondParameter("slope")
    bonds.addPerBondParameter("share")
    for (a, b), slope in zip(pairs, slopes, strict=True):
        bonds.addBond(int(a), int(b), [float(slope), constant / len(pairs)])
    values = sign * values
    least, most = values.min(), values.max()
    extent = most - least
    # as propose_ranges does for a model that has been saved
    usual = values[values < least + extent / 2]
    width = max(np.diff(np.quantile(usual, [0.16, 0.84]))[0] / 2, 0.02 * extent)
    return bonds, BiasRange(
        width=float(width),
        lower=float(least - 0.05 * extent),
        upper=float(most + 0.05 * extent),
        grid=(float(least - 0.25 * extent), float(most + 0.25 * extent)),
    )


ANGLE = BiasRange(
    width=0.15, lower=-np.pi, upper=np.pi, grid=(-np.pi, np.pi), periodic=True
)
VARIABLES = ("learnt", "smooth", "phi", "distances", "twin")


def simulate(name: str, seed: int, out: Path, fade: float | None = None) -> None:
    """Run, or go on with, one biased simulation."""
    folder = out / f"{name}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "speed.json").exists():
        return
    pdb = app.PDBFile(str(DATA / "ala2.pdb"))
    system = app.ForceField(*FORCE_FIELD_FILES).createSystem(
        pdb.topology,
        nonbondedMethod=app.NoCutoff,
        constraints=app.HBonds,
        hydrogenMass=3.0 * unit.amu,
    )
    angles = backbone(mda.Universe(str(DATA / "ala2.pdb")))
    distance = None
    model = name.split("-")[0]
    if model == "phi":
        forces, ranges = {"phi": dihedral(angles["phi"])}, [ANGLE]
    elif model == "reference":
        forces = {key: dihedral(atoms) for key, atoms in angles.items()}
        ranges = [ANGLE, ANGLE]
    elif model == "distances":
        force, bounds = distance_tica()
        forces, ranges = {"tica": force}, [bounds]
    else:
        forces = {}
        saved = out / ("learnt/smooth" if model == "smooth" else model)
        if fade is None:
            (forces["cv1"],) = openmm_variables(saved, pdb.topology)
            distance = openmm_variables(saved, pdb.topology, reach=True)[-1]
        else:
            forces["cv1"], distance = openmm_variables(saved, pdb.topology, reach=True)
        ranges = list(propose_ranges(read_training(saved), [0]))
        if model in WIDTHS:
            ranges = [replace(ranges[0], width=WIDTHS[model])]
    time_step = TIME_STEPS.get(model, OTHER_TIME_STEP)
    pace = round(PACE / time_step)
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
            bias_factor=BIAS_FACTORS.get(model),
            pace=pace,
            fade=fade,
        ),
        RunSettings(
            time_step=time_step,
            seed=seed,
            platform="Reference",
            record=pace // 2,
            frames=pace // 2,
            checkpoint=10 * pace,
        ),
        distance,
    )
    begun, cpu = simulation.step, time.process_time()
    length = REFERENCE_LENGTH if model == "reference" else LENGTH
    n_steps = round(length / time_step)
    simulation.run(n_steps, lambda _: None)
    simulation.close()
    seconds = time.process_time() - cpu
    rate = (n_steps - begun) / seconds if n_steps > begun else None
    (folder / "speed.json").write_text(json.dumps({"steps_per_cpu_second": rate}))
    print(folder, rate, flush=True)


def columns_of(folder: Path) -> dict[str, np.ndarray]:
    """Return the columns of a run's COLVAR file."""
    table = read_colvar(folder / COLVAR)
    return {name: table.column(name) for name in table.fields}


def phi_of(folder: Path) -> np.ndarray:
    """Return phi of every frame, degrees."""
    universe = mda.Universe(str(DATA / "ala2.pdb"), str(folder / TRAJECTORY))
    atoms = backbone(universe)["phi"]
    return np.array(
        [
            np.rad2deg(calc_dihedrals(*universe.atoms.positions[atoms]))
            for _ in universe.trajectory
        ]
    )


def transitions(phi: np.ndarray) -> int:
    """Count how often phi goes from one basin into the other."""
    state = np.where((phi > 40) & (phi < 90), 1, 0)
    state[(phi > -160) & (phi < -50)] = -1
    return int((np.diff(state[state != 0]) != 0).sum())


def difference(phi: np.ndarray, logweight: np.ndarray) -> float:
    """Return the free energy of phi > 0 above that of phi < 0, kJ/mol."""
    weight = np.exp(logweight - logweight.max())
    with np.errstate(divide="ignore"):
        ratio = weight[phi > 0].sum() / weight[phi < 0].sum()
        return float(-GAS_CONSTANT * TEMPERATURE * np.log(ratio))


def summarise(folder: Path) -> dict[str, float]:
    """Return what a run shows."""
    columns = columns_of(folder)
    phi = phi_of(folder)
    n = min(len(phi), len(columns["time"]))
    phi, weight, times = phi[:n], columns["logweight"][:n], columns["time"][:n]
    skip = int(SKIP * n)
    pieces = np.array_split(np.arange(skip, n), 4)
    parts = [difference(phi[p], weight[p]) for p in pieces]
    rate = json.loads((folder / "speed.json").read_text())["steps_per_cpu_second"]
    first = np.flatnonzero((phi > 40) & (phi < 90))
    w = np.exp(weight[skip:] - weight[skip:].max())
    return {
        "transitions per ns": 1000 * transitions(phi) / times[-1],
        "first crossing, ps": float(times[first[0]]) if len(first) else np.nan,
        "dF": difference(phi[skip:], weight[skip:]),
        "error": float(np.std(parts) / 2),
        "effective": float(w.sum() ** 2 / (w * w).sum()),
        "steps per CPU s": rate or np.nan,
        "outside, %": float(100 * (columns["distance"] > 1).mean())
        if "distance" in columns
        else np.nan,
    }


def table(out: Path) -> None:
    """Print what all runs show, and draw the variables over time."""
    reference = summarise(out / "reference-1")
    print(f"reference: {reference['dF']:.2f} +- {reference['error']:.2f} kJ/mol")
    head = ["variable", "seed", *reference]
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" for _ in head) + " |")
    shown = {}
    for name in VARIABLES:
        for seed in SEEDS:
            folder = out / f"{name}-{seed}"
            if not (folder / "speed.json").exists():
                print(f"| {name} | {seed} | {'not finished' + ' |' * len(reference)}")
                continue
            row = summarise(folder)
            cells = ["-" if np.isnan(v) else f"{v:.3g}" for v in row.values()]
            print(f"| {name} | {seed} | " + " | ".join(cells) + " |")
            if seed == SEEDS[0]:
                shown[name] = (columns_of(folder), phi_of(folder))
    draw(shown).savefig(out / "biasing.png", dpi=160)


def draw(shown: dict[str, tuple[dict[str, np.ndarray], np.ndarray]]) -> Figure:
    """Draw phi over time in one run of each variable."""
    with figure_style():
        fig = figure(1.2 + 1.1 * len(shown))
        axes = fig.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for ax, (name, (columns, phi)) in zip(axes, shown.items(), strict=True):
            n = min(len(phi), len(columns["time"]))
            ax.plot(columns["time"][:n], phi[:n], ".", ms=1.5)
            ax.set_ylim(-180, 180)
            ax.set_yticks([-180, 0, 180])
            ax.set_ylabel(f"bias on\n{name}")
        axes[-1].set_xlabel("time (ps)")
        fig.suptitle("\u03c6 of alanine dipeptide at 300 K (degrees)")
    return fig


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["models", "run", "table"])
    parser.add_argument("--out", type=Path, default=Path("biasing"))
    parser.add_argument("--only", action="append", help="of the variables")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.what == "models":
        models(options.out)
    elif options.what == "run":
        chosen = options.only or [*VARIABLES, "reference"]
        for seed in SEEDS:
            for name in chosen:
                if name != "reference" or seed == SEEDS[0]:
                    try:
                        simulate(name, seed, options.out)
                    except InputError as error:
                        print(f"{name}-{seed}: {error}", flush=True)
    else:
        table(options.out)


if __name__ == "__main__":
    main()
