"""Let a ligand leave its pocket and return, in a model without chemistry.

    pip install "mdgeomfeat[data]"
    python data/pocket/simulate.py cut 2src.pdb   # PDB entry 2SRC: writes pocket.pdb
    python data/pocket/simulate.py run            # writes pocket-0.xtc to pocket-3.xtc
    python data/pocket/simulate.py count          # how often the ligand comes and goes

The README beside this file says what the model is and what it is not.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import MDAnalysis as mda
import numpy as np
import openmm as mm
from MDAnalysis.lib.formats.libmdaxdr import XTCFile
from scipy.spatial.distance import cdist, pdist, squareform

HERE = Path(__file__).parent
LIGAND = "ANP"
POCKET_RADIUS = 0.8  # nm from the ligand: residues that are kept

NETWORK_CUTOFF = 0.6  # nm: springs between atoms of the protein, or of the ligand
BOND_LENGTH = 0.2  # nm: shorter springs are bonds
BOND_SPRING = 50_000.0  # kJ/mol/nm^2
SPRING = 500.0
CONTACT_CUTOFF = 0.45  # nm: protein and ligand in the structure
CONTACT_WIDTH = 0.1  # nm
FUNNEL_WIDTH = 0.4  # nm: half of the attraction reaches so far, and guides it back
CONTACT_ENERGY = 45.0  # kJ/mol, all contacts together
REPULSION_RADIUS = 0.25  # nm
WALL_RADIUS = 1.3  # nm between the centres of ligand and pocket
WALL_SPRING = 200.0

TEMPERATURE = 300.0  # K
FRICTION = 2.0  # per ps
TIME_STEP = 0.005  # ps
MASS = 14.0  # u, of every heavy atom
N_RUNS = 4
N_FRAMES = 400  # of each run
EVERY = 2500  # steps between frames
SEED = 5_000_000
PRECISION = 250.0  # per nm: positions are rounded to 0.04 Å

STRETCHED = 0.2  # nm: a contact of the structure is there up to so much more
BOUND, UNBOUND = 0.6, 0.2  # shares of the contacts that count as returned and as left


def cut(entry: Path) -> None:
    """Keep the ligand and the residues around it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = mda.Universe(entry)
        near = f"byres (protein and around {10 * POCKET_RADIUS} resname {LIGAND})"
        atoms = universe.select_atoms(
            f"({near} or resname {LIGAND}) and not name H* and not altloc B"
        )
        atoms.write(HERE / "pocket.pdb", bonds=None)


def build(positions: np.ndarray, ligand: np.ndarray) -> mm.System:
    """Build the springs, contacts, repulsion and wall; positions in nm."""
    system = mm.System()
    for _ in positions:
        system.addParticle(MASS)
    protein_atoms = np.flatnonzero(~ligand)
    ligand_atoms = np.flatnonzero(ligand)
    system.addForce(_springs(positions, (protein_atoms, ligand_atoms)))
    system.addForce(_contacts(positions, protein_atoms, ligand_atoms))
    system.addForce(_repulsion(protein_atoms, ligand_atoms))
    system.addForce(_wall(positions, protein_atoms, ligand_atoms))
    system.addForce(mm.CMMotionRemover())
    return system


def _springs(positions: np.ndarray, molecules: tuple[np.ndarray, ...]) -> mm.Force:
    force = mm.HarmonicBondForce()
    for atoms in molecules:
        distances = squareform(pdist(positions[atoms]))
        for i, j in np.argwhere(np.triu(distances < NETWORK_CUTOFF, 1)):
            length = distances[i, j]
            spring = BOND_SPRING if length < BOND_LENGTH else SPRING
            force.addBond(int(atoms[i]), int(atoms[j]), length, spring)
    return force


def _contacts(
    positions: np.ndarray, protein: np.ndarray, ligand: np.ndarray
) -> mm.Force:
    """Attract pairs that are in contact in the structure, by Gaussian wells."""
    force = mm.CustomBondForce(
        f"-e/2*(exp(-d^2/(2*{CONTACT_WIDTH}^2))+exp(-d^2/(2*{FUNNEL_WIDTH}^2))); d=r-r0"
    )
    force.addPerBondParameter("r0")
    force.addPerBondParameter("e")
    distances = cdist(positions[protein], positions[ligand])
    pairs = np.argwhere(distances < CONTACT_CUTOFF)
    for i, j in pairs:
        energy = CONTACT_ENERGY / len(pairs)
        force.addBond(int(protein[i]), int(ligand[j]), [distances[i, j], energy])
    return force


def _repulsion(protein: np.ndarray, ligand: np.ndarray) -> mm.Force:
    force = mm.CustomNonbondedForce(f"({REPULSION_RADIUS}/r)^12")
    for _ in range(len(protein) + len(ligand)):
        force.addParticle([])
    force.addInteractionGroup(protein.tolist(), ligand.tolist())
    force.setNonbondedMethod(mm.CustomNonbondedForce.CutoffNonPeriodic)
    force.setCutoffDistance(2 * REPULSION_RADIUS)
    return force


def _wall(positions: np.ndarray, protein: np.ndarray, ligand: np.ndarray) -> mm.Force:
    """Keep the ligand near the side of the pocket that it leaves through."""
    near = cdist(positions[protein], positions[ligand]).min(axis=1) < CONTACT_CUTOFF
    force = mm.CustomCentroidBondForce(
        2, f"{WALL_SPRING}*max(0, distance(g1, g2)-{WALL_RADIUS})^2"
    )
    force.addGroup(protein[near].tolist())
    force.addGroup(ligand.tolist())
    force.addBond([0, 1], [])
    return force


def run(out: Path) -> None:
    """Simulate all runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = mda.Universe(HERE / "pocket.pdb")
    positions = universe.atoms.positions.astype(float) / 10
    system = build(positions, universe.atoms.resnames == LIGAND)
    for index in range(N_RUNS):
        integrator = mm.LangevinMiddleIntegrator(TEMPERATURE, FRICTION, TIME_STEP)
        integrator.setRandomNumberSeed(SEED + index)
        platform = mm.Platform.getPlatformByName("CPU")
        context = mm.Context(system, integrator, platform, {"Threads": "1"})
        context.setPositions(positions)
        context.setVelocitiesToTemperature(TEMPERATURE, SEED + index)
        with XTCFile(str(out / f"pocket-{index}.xtc"), "w") as handle:
            for frame in range(1, N_FRAMES + 1):
                integrator.step(EVERY)
                now = context.getState(getPositions=True).getPositions(asNumpy=True)
                handle.write(
                    now._value.astype(np.float32),
                    np.zeros((3, 3), np.float32),
                    frame * EVERY,
                    frame * EVERY * TIME_STEP,
                    PRECISION,
                )
        print(f"pocket-{index}.xtc", flush=True)


def contacts_made(trajectory: Path) -> np.ndarray:
    """Return the share of the structure's contacts that each frame has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = mda.Universe(HERE / "pocket.pdb")
        ligand = universe.atoms.resnames == LIGAND
        start = universe.atoms.positions / 10
        universe.load_new(str(trajectory))
    distances = cdist(start[~ligand], start[ligand])
    pairs = np.argwhere(distances < CONTACT_CUTOFF).T
    shares = []
    for frame in universe.trajectory:
        x = frame.positions / 10
        now = np.linalg.norm(x[~ligand][pairs[0]] - x[ligand][pairs[1]], axis=1)
        shares.append((now < distances[tuple(pairs)] + STRETCHED).mean())
    return np.array(shares)


def count(folder: Path) -> None:
    """Print how long the ligand is bound, and how often it leaves and returns."""
    print("| run | frames | bound | leaves | returns |")
    print("| --- | --- | --- | --- | --- |")
    for path in sorted(folder.glob("pocket-*.xtc")):
        bound, seen = True, []
        for share in contacts_made(path):
            # what lies between belongs to where it came from
            bound = share > (UNBOUND if bound else BOUND)
            seen.append(bound)
        change = np.diff(np.array(seen).astype(int))
        print(
            f"| `{path.name}` | {len(seen)} | {100 * np.mean(seen):.0f} % | "
            f"{(change < 0).sum()} | {(change > 0).sum()} |"
        )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_subparsers(dest="what", required=True)
    what.add_parser("cut").add_argument("entry", type=Path)
    what.add_parser("run").add_argument("--out", type=Path, default=HERE)
    what.add_parser("count").add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    if options.what == "cut":
        cut(options.entry)
    elif options.what == "run":
        run(options.out)
    else:
        count(options.out)


if __name__ == "__main__":
    main()
