r"""Do fine-tuned forces keep the energy? Judged by the method that gave the labels.

    python benchmarks/constant_energy.py --frames hot/malonaldehyde.xyz \
        runs/malonaldehyde-forces-... runs/malonaldehyde-conservative-...

runs the first frame of a file without a thermostat, by the forces of fine-tuned
networks, from the same velocities. Every fifth frame is given to GFN2-xTB, and its
energy is added to the kinetic one. Even where a network conserves an energy of its own,
that sum is as little constant as the two energies differ: it drifts if the molecule
moves to where they disagree more, or if forces do work on a closed path. A network of
kind "conservative" has an energy of its own, and its drift, which stands beside the
other, tells which of the two it is.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.io import read
from ase.md.velocitydistribution import Stationary
from ase.md.verlet import VelocityVerlet
from hot_molecules import gfn2

from mdgeomfeat.finetuning import calculator, load_finetuned


def slope(ps: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Fit a straight line; return its slope and the deviation about it."""
    gradient, start = np.polyfit(ps, values, 1)
    return float(gradient), float(np.std(values - gradient * ps - start))


def at_constant_energy(
    atoms: Atoms,
    forces: Calculator,
    judge: Calculator,
    *,
    steps: int,
    every: int = 5,
    temperature: float = 300.0,
    timestep: float = 0.5,
    seed: int = 0,
) -> dict[str, float]:
    """Move a molecule, and see what its energy does.

    Parameters
    ----------
    atoms : Atoms
    forces, judge : Calculator
        What moves the molecule, and whose energy is looked at.
    steps, every : int
        How long, and how often it is looked at.
    temperature : float, K
        Of the first velocities.
    timestep : float, fs
    seed : int

    Returns
    -------
    dict
        ``judged_drift`` and ``own_drift`` (where there is such an energy), with their
        ``_fluctuation``: meV per atom and ps, meV per atom; the kinetic temperatures
        of the first and the last quarter, K.
    """
    moved = Atoms(numbers=atoms.numbers, positions=atoms.positions, calculator=forces)
    rng = np.random.default_rng(seed)
    width = np.sqrt(moved.get_masses() * units.kB * temperature)
    moved.set_momenta(width[:, None] * rng.standard_normal((len(moved), 3)))
    Stationary(moved)
    has_energy = "energy" in calculated(moved, forces)
    looked_at = Atoms(numbers=atoms.numbers, positions=atoms.positions)
    looked_at.calc = judge
    rows: list[list[float]] = []

    def note() -> None:
        kinetic = moved.get_kinetic_energy()
        looked_at.positions = moved.positions
        own = moved.get_potential_energy() if has_energy else np.nan
        judged = looked_at.get_potential_energy()
        rows.append([kinetic + judged, kinetic + own, moved.get_temperature()])

    dynamics = VelocityVerlet(moved, timestep=timestep * units.fs)
    dynamics.attach(note, interval=every)
    dynamics.run(steps)
    table = np.array(rows)
    ps = np.arange(len(table)) * every * timestep * 1e-3
    found = {"ps": float(ps[-1])}
    for name, column in (("judged", 0), ("own", 1)):
        values = 1e3 * (table[:, column] - table[0, column]) / len(moved)
        if np.isfinite(values).all():
            found[f"{name}_drift"], found[f"{name}_fluctuation"] = slope(ps, values)
    quarter = max(1, len(table) // 4)
    found["first_temperature"] = float(table[:quarter, 2].mean())
    found["last_temperature"] = float(table[-quarter:, 2].mean())
    return found


def calculated(atoms: Atoms, forces: Calculator) -> dict[str, Any]:
    """Return what a calculator gives of a molecule."""
    atoms.get_forces()
    return forces.results


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000, help="steps of 0.5 fs")
    parser.add_argument("--temperature", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(words)
    torch.set_num_threads(args.threads)
    numba.set_num_threads(args.threads)
    atoms = read(args.frames, index=0)
    for run in args.runs:
        model = load_finetuned(run / "finetuned.safetensors")
        found = at_constant_energy(
            atoms,
            calculator(model),
            gfn2(),
            steps=args.steps,
            temperature=args.temperature,
            seed=args.seed,
        )
        print(run.name, json.dumps({k: round(v, 2) for k, v in found.items()}))


if __name__ == "__main__":
    main()
