"""Hot trajectories of small molecules with energies and forces, by GFN2-xTB.

    pip install "mdgeomfeat[labels]"
    python benchmarks/hot_molecules.py --out hot --molecules malonaldehyde azobenzene

A molecule is built with RDKit, relaxed, and carried on by Langevin dynamics at 1,500 K
with energies and forces of GFN2-xTB (an electronic temperature of 3,000 K keeps
stretched bonds from failing to converge). Every fifth step (2.5 fs) becomes a frame of
``MOLECULE.xyz``: extended XYZ as ASE writes it, in the order of time, in eV and eV/Å.
The run ends where asked for, or where the molecule comes apart, and goes on where it
was stopped. It is one molecule in its ground state: there are no excited states, no
hopping between them, and no density functional.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.optimize import BFGS

#: Molecules by their SMILES; double bonds begin trans.
MOLECULES = {
    "malonaldehyde": r"O=C/C=C\O",
    "azobenzene": r"c1ccccc1/N=N/c1ccccc1",
    "stilbene": r"c1ccccc1/C=C/c1ccccc1",
    "dithiophene": "c1ccsc1-c1cccs1",
}
#: A molecule is apart where a part of it is farther from all the rest than this, Å.
APART = 2.6


def gfn2() -> Calculator:
    """Return GFN2-xTB as a calculator of ASE."""
    from tblite.ase import TBLite

    return TBLite(method="GFN2-xTB", electronic_temperature=3000.0, verbosity=0)


def build(smiles: str, seed: int) -> Atoms:
    """Embed a molecule and relax it with MMFF94."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    options: Any = rdDistGeom.ETKDGv3()
    options.randomSeed = seed
    if rdDistGeom.EmbedMolecule(mol, options) != 0:
        raise SystemExit(f"{smiles} could not be embedded; try another seed.")
    rdForceFieldHelpers.MMFFOptimizeMolecule(mol)
    numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
    return Atoms(numbers=numbers, positions=mol.GetConformer().GetPositions())


def in_one_piece(positions: np.ndarray) -> bool:
    """Whether all atoms are connected by steps of at most `APART`."""
    from scipy.sparse.csgraph import connected_components

    gaps = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    return connected_components(gaps < APART, directed=False)[0] == 1


def whole_frames(path: Path, n_atoms: int) -> int:
    """Cut a half-written frame off a file, and count the others."""
    if not path.is_file():
        return 0
    text = path.read_text()
    lines = text.splitlines(keepends=True)
    size = n_atoms + 2
    count = len(lines) // size
    if count and len(lines) == count * size and not text.endswith("\n"):
        count -= 1
    if count * size < len(lines):
        path.write_text("".join(lines[: count * size]))
    return count


def stored(atoms: Atoms) -> Atoms:
    """Copy a frame with what is stored of it: energy, forces and momenta."""
    frame = atoms.copy()
    frame.calc = SinglePointCalculator(
        frame, energy=atoms.get_potential_energy(), forces=atoms.get_forces()
    )
    return frame


def simulate(
    name: str,
    out: Path,
    *,
    frames: int,
    spacing: int = 5,
    timestep: float = 0.5,
    temperature: float = 1500.0,
    seed: int = 0,
    calculator: Calculator | None = None,
) -> int:
    """Carry a molecule on until there are enough frames; return how many there are.

    Parameters
    ----------
    name : str
        One of `MOLECULES`.
    out : Path
        Folder that gets ``NAME.xyz``.
    frames : int
    spacing : int
        Steps from frame to frame.
    timestep : float, fs
    temperature : float, K
    seed : int
        Of the structure, the first velocities and the thermostat.
    calculator : Calculator, optional
        GFN2-xTB by default.
    """
    path = out / f"{name}.xyz"
    atoms = build(MOLECULES[name], seed)
    done = whole_frames(path, len(atoms))
    if done >= frames:
        return done
    if done:
        atoms = read(path, index=done - 1)
    atoms.calc = gfn2() if calculator is None else calculator
    if not done:
        BFGS(atoms, logfile=None).run(fmax=0.05, steps=200)
        rng = np.random.default_rng([seed, 0])
        width = np.sqrt(atoms.get_masses() * units.kB * temperature)
        momenta = width[:, None] * rng.standard_normal((len(atoms), 3))
        atoms.set_momenta(momenta - momenta.mean(axis=0))
    for index in range(done, frames):
        # Each frame has a random stream of its own, so that a run can go on anywhere.
        dynamics = Langevin(
            atoms,
            timestep=timestep * units.fs,
            temperature_K=temperature,
            friction=0.01 / units.fs,
            fixcm=False,
            rng=np.random.RandomState([seed, index + 1]),
        )
        dynamics.run(spacing)
        if not in_one_piece(atoms.positions):
            print(f"{name} came apart after {index} frames")
            return index
        write(path, stored(atoms), format="extxyz", append=True)
    return frames


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--molecules", nargs="+", choices=list(MOLECULES),
                        default=list(MOLECULES))  # fmt: skip
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--spacing", type=int, default=5, help="steps of 0.5 fs")
    parser.add_argument("--temperature", type=float, default=1500.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(words)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.molecules:
        started = time.process_time()
        count = simulate(
            name,
            args.out,
            frames=args.frames,
            spacing=args.spacing,
            temperature=args.temperature,
            seed=args.seed,
        )
        spent = time.process_time() - started
        print(f"{name}: {count} frames, {spent:.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
