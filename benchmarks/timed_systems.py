"""What the speed benchmarks compute: molecules from files, and packings of atoms."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
System = tuple[np.ndarray, np.ndarray]
# Heavy atoms per cubic Å inside a protein, and the distance of bonded ones in Å.
DENSITY, BOND = 0.05, 1.4
# The villin headpiece HP35.
PROTEIN = "LSDEDFKAVFGMTRSAFANLPLWKQQNLKKEKGLF"


def packing(
    n_atoms: int, n_frames: int, seed: int = 0, density: float = DENSITY
) -> System:
    """Return a ball of atoms at some density, none closer than a bond."""
    rng = np.random.default_rng(seed)
    radius = (3 * n_atoms / (4 * np.pi * density)) ** (1 / 3)
    placed, n = np.empty((n_atoms, 3)), 0
    while n < n_atoms:
        trial = rng.uniform(-radius, radius, 3)
        if trial @ trial > radius**2:
            continue
        apart = placed[:n] - trial
        if not n or np.einsum("ij,ij->i", apart, apart).min() > BOND**2:
            placed[n] = trial
            n += 1
    # Neighbours in space are near in a file, roughly: sort along a chain of slabs.
    slab = np.floor(placed / 4)
    frame = placed[np.lexsort((placed[:, 0], slab[:, 1], slab[:, 2]))]
    frames = frame + rng.normal(0, 0.2, (n_frames, n_atoms, 3))
    return rng.choice([6, 6, 6, 7, 8], n_atoms), frames.astype(np.float32)


def from_files(files: list[str], n_frames: int) -> System:
    """Read the default selection of a topology and its trajectories."""
    from mdgeomfeat.reading import open_universe
    from mdgeomfeat.structure import Structure, select_atoms

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = open_universe(files)
    atoms = select_atoms(universe)
    numbers = Structure.from_atomgroup(atoms).numbers
    frames = [atoms.positions.copy() for _ in universe.trajectory[:n_frames]]
    return numbers, np.array(frames, np.float32)


def ala2_files() -> list[str]:
    """Return alanine dipeptide's topology and trajectories."""
    folder = ROOT / "data" / "ala2"
    return [str(p) for p in (*folder.glob("*.pdb"), *sorted(folder.glob("*.xtc")))]


def protein_files(cache: Path, n_frames: int = 20) -> list[str]:
    """Return topology and trajectory of a protein of 35 residues, made when missing.

    A helix of the villin headpiece's sequence, drawn together to about the radius of
    gyration of the folded protein, in implicit solvent; frames are 0.2 ps apart.
    """
    files = [cache / "protein35.pdb", cache / "protein35.xtc"]
    if not all(path.exists() for path in files):
        cache.mkdir(parents=True, exist_ok=True)
        _simulate(files, n_frames)
    return [str(path) for path in files]


def _simulate(files: list[Path], n_frames: int) -> None:
    import openmm as mm
    from openmm import app, unit

    from mdgeomfeat.pretraining.peptides import FORCE_FIELD_FILES, build_peptide

    peptide = build_peptide(PROTEIN, capped=False, phi=-60.0, psi=-45.0)
    system = app.ForceField(*FORCE_FIELD_FILES).createSystem(
        peptide.topology,
        nonbondedMethod=app.NoCutoff,
        constraints=app.HBonds,
        hydrogenMass=3.0 * unit.amu,
    )
    inward = mm.CustomCVForce("20000 * max(0, rg - 0.9)^2")
    names = [atom.name for atom in peptide.topology.atoms()]
    inward.addCollectiveVariable(
        "rg", mm.RGForce([i for i, name in enumerate(names) if name == "CA"])
    )
    system.addForce(inward)
    integrator = mm.LangevinMiddleIntegrator(450.0, 1.0 / unit.picosecond, 0.002)
    integrator.setRandomNumberSeed(1)
    simulation = app.Simulation(
        peptide.topology,
        system,
        integrator,
        mm.Platform.getPlatformByName("CPU"),
        {"Threads": "1"},
    )
    simulation.context.setPositions(peptide.positions)
    simulation.minimizeEnergy(maxIterations=500)
    simulation.context.setVelocitiesToTemperature(450.0, 1)
    simulation.step(5000)
    integrator.setTemperature(300.0)
    simulation.step(1000)
    state = simulation.context.getState(getPositions=True)
    with files[0].open("w") as handle:
        app.PDBFile.writeFile(peptide.topology, state.getPositions(), handle)
    part = files[1].with_suffix(".part.xtc")
    simulation.reporters.append(app.XTCReporter(str(part), 100))
    simulation.step(100 * n_frames)
    simulation.reporters.clear()
    part.rename(files[1])


def named_systems(
    entries: list[str], cache: Path, n_frames: int = 20
) -> dict[str, System]:
    """Return alanine dipeptide, the protein (with openmm) and systems from files.

    Parameters
    ----------
    entries : list of str
        ``NAME=TOPOLOGY[,TRAJECTORY]``.
    cache : Path
        Where the protein is kept.
    n_frames : int
    """
    found = {"ala2": from_files(ala2_files(), n_frames)}
    if find_spec("openmm") and find_spec("PeptideBuilder"):
        found["protein35"] = from_files(protein_files(cache), n_frames)
    else:
        found["packing of 300"] = packing(300, 4)
    for entry in entries:
        name, text = entry.split("=", 1)
        found[name] = from_files(text.split(","), n_frames)
    if not entries:
        found["packing of 1,600"] = packing(1600, 4)
    return found


def repeated(system: System, n_frames: int) -> System:
    """Repeat or cut the frames to a number."""
    numbers, frames = system
    return numbers, np.resize(frames, (n_frames, *frames.shape[1:]))
