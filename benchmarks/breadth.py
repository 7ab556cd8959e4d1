"""Frozen features where the network was never trained: crystals, ice and water.

    python benchmarks/breadth.py --out FOLDER

builds periodic cells of elements that the shipped network's card names (C, Si, SiC,
SiO2, H2O), strains them at random and rattles their atoms, and asks linear models for

* the phase that an atom is in, from its own features,
* how much a cell is strained in volume and in shape, from means and standard
  deviations over its atoms,
* the energy of a cell of C or Si by the potential of Tersoff, as ASE computes it,

with the features of the network, of its untrained twins, and with the distances to the
16 nearest atoms. Ridge regression on standardised features; the penalty is chosen on
a validation part, and the test is looked at once. Cells of a part share no atom's
displacement with another. Water is TIP3P at 300 K, cells taken 1 ps apart, the parts
one after the other in time.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import networkx
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.tersoff import Tersoff, TersoffParameters
from ase.spacegroup import crystal

from mdgeomfeat import GeomGNNTransformer, InputError
from mdgeomfeat.gnn import load_model, random_twin
from mdgeomfeat.neighbors import neighbor_list

PARTS = ("train", "validation", "test")
PENALTIES = 10.0 ** np.arange(-6, 5)
SIGMAS = (0.05, 0.1, 0.2)  # Å
N_NEAREST = 16
SHORTEST = 10.4  # Å; twice the network's cutoff, and a little for strain
FAR = 6.0  # Å, a cutoff within which the nearest atoms are looked for

#: Tersoff, Phys. Rev. B 39, 5566 (1989): m, gamma, lambda3, c, d, h, n, beta, lambda2,
#: B, R, D, lambda1, A (eV and Å; R and D are the middle and half of the switching).
TERSOFF = {
    "Si": (3, 1, 0, 1.0039e5, 16.217, -0.59825, 0.78734, 1.1e-6, 1.7322, 471.18, 2.85,
           0.15, 2.4799, 1830.8),
    "C": (3, 1, 0, 3.8049e4, 4.3484, -0.57058, 0.72751, 1.5724e-7, 2.2119, 346.74, 1.95,
          0.15, 3.4879, 1393.6),
}  # fmt: skip
#: Cohesive energies of diamond and silicon in that paper, eV: what is built is checked.
COHESIVE = {"C": (3.566, -7.371), "Si": (5.432, -4.630)}


@dataclass
class Cell:
    """A periodic cell and what is asked of it."""

    atoms: Atoms
    phase: str
    sigma: float
    volume_strain: float
    shape_strain: float
    energy: float = np.nan


def hexagonal_diamond(symbols: tuple[str, str], bond: float) -> Atoms:
    """Return lonsdaleite, or wurtzite of two elements, with ideal angles."""
    a, c = bond * np.sqrt(8 / 3), bond * 8 / 3
    return bulk(symbols[0] + symbols[1], "wurtzite", a=a, c=c, u=3 / 8)


def ice(lattice: Atoms, seed: int) -> Atoms:
    """Return water on a lattice of oxygens, hydrogens disordered by the ice rules.

    Every oxygen has four neighbours. A walk over all hydrogen bonds, each once (an
    Euler circuit), leaves every oxygen as often as it arrives, so that each gives two
    hydrogens and takes two.
    """
    rng = np.random.default_rng(seed)
    oxygen = lattice[rng.permutation(len(lattice))]
    positions = oxygen.get_positions()
    pairs = neighbor_list(positions[None], 3.0, oxygen.cell.cellpar())
    bonds = networkx.MultiGraph()
    for i, j, vector in zip(
        pairs.receiver.tolist(),
        pairs.sender.tolist(),
        pairs.vector.numpy(),
        strict=True,
    ):
        if i < j:
            bonds.add_edge(i, j, vector=vector)
    hydrogens = []
    for giver, taker, key in networkx.eulerian_circuit(bonds, source=0, keys=True):
        vector = bonds.edges[giver, taker, key]["vector"]
        toward = vector if giver < taker else -vector
        hydrogens.append(positions[giver] + 0.97 * toward / np.linalg.norm(toward))
    return oxygen + Atoms(f"H{len(hydrogens)}", positions=hydrogens)


def large(atoms: Atoms) -> Atoms:
    """Repeat a cell until every height is long enough, at right angles where it can."""
    cell = atoms.cell
    heights = atoms.get_volume() / np.array(
        [np.linalg.norm(np.cross(cell[i - 2], cell[i - 1])) for i in range(3)]
    )
    return atoms.repeat(np.ceil(SHORTEST / heights).astype(int).tolist())


def cubic(symbols: str, a: float) -> Atoms:
    name = "zincblende" if symbols == "SiC" else "diamond"
    return bulk(symbols, name, a=a, cubic=True)


def graphite() -> Atoms:
    cell = bulk("C", "hcp", a=2.461, c=6.708)  # only for its lattice
    thirds = [[0, 0, 0.25], [0, 0, 0.75], [1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]
    return Atoms("C4", cell=cell.cell, scaled_positions=thirds, pbc=True)


def silica() -> dict[str, Atoms]:
    """Return three phases of SiO2 from their space groups (lattices in Å)."""
    quartz = crystal(
        ["Si", "O"], [(0.4697, 0, 2 / 3), (0.4135, 0.2669, 0.7858)], spacegroup=154,
        cellpar=[4.916, 4.916, 5.405, 90, 90, 120],
    )  # fmt: skip
    cristobalite = crystal(
        ["Si", "O"], [(0.3003, 0.3003, 0), (0.2392, 0.1044, 0.1787)], spacegroup=92,
        cellpar=[4.972, 4.972, 6.922, 90, 90, 90],
    )  # fmt: skip
    stishovite = crystal(
        ["Si", "O"], [(0, 0, 0), (0.3062, 0.3062, 0)], spacegroup=136,
        cellpar=[4.180, 4.180, 2.667, 90, 90, 90],
    )  # fmt: skip
    found = {"quartz": quartz, "cristobalite": cristobalite, "stishovite": stishovite}
    for name, atoms in found.items():
        bonds = neighbor_list(
            large(atoms).positions[None], 2.0, large(atoms).cell.cellpar()
        )
        silicon = large(atoms).numbers == 14
        around = np.bincount(bonds.receiver.numpy(), minlength=len(silicon))[silicon]
        assert set(around) == {6 if name == "stishovite" else 4}, name
    return found


def phases() -> dict[str, dict[str, Atoms]]:
    """Return the crystals of every substance, large enough for the network."""
    ice_c, ice_h = cubic("C", 6.37), hexagonal_diamond(("C", "C"), 2.758)
    ice_c.numbers[:], ice_h.numbers[:] = 8, 8
    found = {
        "C": {
            "diamond": cubic("C", 3.567),
            "lonsdaleite": hexagonal_diamond(("C", "C"), 1.545),
            "graphite": graphite(),
        },
        "Si": {
            "diamond": cubic("Si", 5.431),
            "lonsdaleite": hexagonal_diamond(("Si", "Si"), 2.352),
        },
        "SiC": {
            "zincblende": cubic("SiC", 4.360),
            "wurtzite": hexagonal_diamond(("Si", "C"), 1.888),
        },
        "SiO2": silica(),
        "H2O": {"ice Ic": ice_c, "ice Ih": ice_h},
    }
    return {s: {n: large(a) for n, a in of.items()} for s, of in found.items()}


def water(out: Path, n: int) -> list[Atoms]:
    """Return snapshots of TIP3P water at 300 K and constant volume, 1 ps apart."""
    import openmm
    from openmm import app, unit

    path = out / f"water-{n}.npz"
    if not path.is_file():
        field, nm = app.ForceField("tip3p.xml"), unit.nanometer
        box = app.Modeller(app.Topology(), [] * nm)
        box.addSolvent(field, boxSize=openmm.Vec3(1.4, 1.4, 1.4) * nm)
        system = field.createSystem(
            box.topology, nonbondedMethod=app.PME, nonbondedCutoff=0.65 * nm
        )
        mover = openmm.LangevinMiddleIntegrator(300, 1, 0.002)
        mover.setRandomNumberSeed(1)
        platform = openmm.Platform.getPlatformByName("CPU")
        run = app.Simulation(box.topology, system, mover, platform, {"Threads": "1"})
        run.context.setPositions(box.positions)
        run.minimizeEnergy()
        run.context.setVelocitiesToTemperature(300, 1)
        run.step(10_000)
        frames = []
        for _ in range(n):
            run.step(500)
            state = run.context.getState(positions=True)
            frames.append(state.getPositions(asNumpy=True).value_in_unit(unit.angstrom))
        numbers = [atom.element.atomic_number for atom in box.topology.atoms()]
        np.savez(path, numbers=numbers, frames=frames)
    held = np.load(path)
    return [
        Atoms(held["numbers"], positions=x, cell=[14.0] * 3, pbc=True)
        for x in held["frames"]
    ]


def strained(atoms: Atoms, phase: str, sigma: float, rng: np.random.Generator) -> Cell:
    """Return a cell with random strain and rattled atoms."""
    along = rng.uniform(-0.03, 0.03, 3)
    cell = atoms.copy()
    cell.set_cell(cell.cell[:] * (1 + along), scale_atoms=True)
    cell.positions += rng.normal(0, sigma, cell.positions.shape)
    shape = np.linalg.norm(along - along.mean())
    return Cell(cell, phase, sigma, float(along.sum()), float(shape))


def cells(args: argparse.Namespace, substance: str) -> dict[str, list[Cell]]:
    """Return the cells of every part."""
    sizes = dict(
        zip(PARTS, (args.cells, args.cells // 2, args.cells // 2), strict=True)
    )
    found: dict[str, list[Cell]] = {part: [] for part in PARTS}
    liquid = iter(water(args.out, sum(sizes.values()) * len(SIGMAS)))
    built = phases()[substance] | ({"water": None} if substance == "H2O" else {})
    for part, n in sizes.items():
        for number, (phase, lattice) in enumerate(built.items()):
            rng = np.random.default_rng([PARTS.index(part), number])
            for sigma in np.repeat(SIGMAS, n):
                seed = int(rng.integers(2**31))
                if lattice is None:
                    atoms = next(liquid)
                elif substance == "H2O":
                    atoms = ice(lattice, seed)
                else:
                    atoms = lattice
                found[part].append(strained(atoms, phase, float(sigma), rng))
    return found


def add_energies(parts: dict[str, list[Cell]], symbol: str) -> None:
    """Compute energies per atom, relative to the crystal that the potential prefers."""
    parameters = {(symbol,) * 3: TersoffParameters.from_list(list(TERSOFF[symbol]))}
    a, cohesive = COHESIVE[symbol]
    perfect = cubic(symbol, a)
    perfect.calc = Tersoff(parameters)
    computed = perfect.get_potential_energy() / len(perfect)
    assert abs(computed - cohesive) < 0.005, (symbol, computed)
    for part in parts.values():
        for cell in part:
            if cell.phase == "graphite":
                continue
            cell.atoms.calc = Tersoff(parameters)
            cell.energy = cell.atoms.get_potential_energy() / len(cell.atoms) - cohesive
            cell.atoms.calc = None


def token_features(cell: Cell, model: Any) -> np.ndarray:
    """Return the network's features (A, K) of atoms, in the cell's box."""
    transformer = GeomGNNTransformer(
        (cell.atoms.numbers,),
        model=model,
        invariants="norms",
        periodic=True,
        allow_implausible=True,
    )
    box = cell.atoms.cell.cellpar()
    return transformer.fit().transform_tokens(cell.atoms.positions[None], box)[0]


def distance_features(cell: Cell) -> np.ndarray:
    """Return the distances (A, 16) to the nearest atoms, and an atom's element."""
    box = cell.atoms.cell.cellpar()
    far = min(FAR, 0.49 * cell_heights(cell.atoms).min())
    pairs = neighbor_list(cell.atoms.positions[None], far, box)
    found = np.full((len(cell.atoms), N_NEAREST), far)
    for atom in range(len(cell.atoms)):
        row = slice(int(pairs.row_ptr[atom]), int(pairs.row_ptr[atom + 1]))
        nearest = np.sort(pairs.distance[row].numpy())[:N_NEAREST]
        found[atom, : len(nearest)] = nearest
    kinds = np.unique(cell.atoms.numbers)
    return np.concatenate([found, cell.atoms.numbers[:, None] == kinds], axis=1)


def cell_heights(atoms: Atoms) -> np.ndarray:
    return 1 / np.linalg.norm(np.linalg.inv(atoms.cell[:]), axis=0)


def fit(
    x: dict[str, np.ndarray], y: dict[str, np.ndarray], wrong: Any
) -> tuple[np.ndarray, float]:
    """Return the test's predictions by ridge regression, and the penalty chosen."""
    mean, scale = x["train"].mean(0), x["train"].std(0)
    kept = scale > 1e-9 * (1 + np.abs(mean))
    z = {part: (v[:, kept] - mean[kept]) / scale[kept] for part, v in x.items()}
    offset = y["train"].mean(0)
    left, values, right = np.linalg.svd(z["train"], full_matrices=False)
    target = left.T @ (y["train"] - offset)
    tried = []
    for penalty in PENALTIES:
        shrunk = values / (values**2 + penalty * len(z["train"]))
        weights = right.T @ (shrunk[:, None] * target)
        guess = z["validation"] @ weights + offset
        tried.append((wrong(guess, y["validation"]), penalty, weights))
    _, penalty, weights = min(tried, key=lambda t: t[0])
    return z["test"] @ weights + offset, penalty


def misses(guess: np.ndarray, truth: np.ndarray) -> float:
    return float((guess.argmax(1) != truth.argmax(1)).mean())


def rms(guess: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(((guess - truth) ** 2).mean()))


def tell_phases(
    parts: dict[str, list[Cell]], features: dict[str, list[np.ndarray]]
) -> Iterator[tuple[str, float]]:
    """Yield the share of atoms whose phase is told, in %, for each size of rattling."""
    names = sorted({cell.phase for cell in parts["train"]})
    x, y, sigma = {}, {}, {}
    for part, found in parts.items():
        rng = np.random.default_rng(0)
        drawn = [rng.permutation(len(f))[:30] for f in features[part]]
        x[part] = np.concatenate(
            [f[d] for f, d in zip(features[part], drawn, strict=True)]
        )
        counts = [len(d) for d in drawn]
        phase = np.repeat([names.index(cell.phase) for cell in found], counts)
        y[part] = np.eye(len(names))[phase]
        sigma[part] = np.repeat([cell.sigma for cell in found], counts)
    guess, _ = fit(x, y, misses)
    right = guess.argmax(1) == y["test"].argmax(1)
    for size in SIGMAS:
        yield (
            f"phase of an atom, rattled by {size} Å, %",
            100 * right[sigma["test"] == size].mean(),
        )


def tell_numbers(
    parts: dict[str, list[Cell]], features: dict[str, list[np.ndarray]]
) -> Iterator[tuple[str, float]]:
    """Yield R² of what is asked of a cell, among cells of its phase and rattling."""
    kinds = sorted({(cell.phase, cell.sigma) for cell in parts["train"]})
    asked = {
        "volume strain, R²": "volume_strain",
        "strain of the shape, R²": "shape_strain",
        "Tersoff energy, R²": "energy",
    }
    for title, name in asked.items():
        x, y, kind = {}, {}, {}
        for part, found in parts.items():
            kept = [
                (cell, f)
                for cell, f in zip(found, features[part], strict=True)
                if np.isfinite(getattr(cell, name)) and cell.phase != "water"
            ]
            if not kept:
                break
            x[part] = np.array([np.r_[f.mean(0), f.std(0)] for _, f in kept])
            y[part] = np.array([[getattr(cell, name)] for cell, _ in kept])
            kind[part] = np.array(
                [kinds.index((cell.phase, cell.sigma)) for cell, _ in kept]
            )
        if len(x) < len(PARTS):
            continue
        guess, _ = fit(x, y, rms)
        # what a guess of the mean of each kind leaves
        rest = np.concatenate(
            [y["test"][kind["test"] == k] - y["train"][kind["train"] == k].mean()
             for k in np.unique(kind["test"])]
        )  # fmt: skip
        yield title, 1 - ((guess - y["test"]) ** 2).mean() / (rest**2).mean()


def measured(args: argparse.Namespace, substance: str) -> dict[str, dict[str, float]]:
    """Return every score of every input, computed once and kept in a file."""
    path = args.out / f"{substance}-{args.cells}.json"
    if path.is_file():
        return json.loads(path.read_text())
    parts = cells(args, substance)
    if substance in TERSOFF:
        add_energies(parts, substance)
    network = load_model()
    inputs = {"et-64": lambda c: token_features(c, network)}
    for seed in args.twins:
        twin = random_twin(network, seed)
        inputs[f"untrained {seed}"] = lambda c, twin=twin: token_features(c, twin)
    inputs["distances"] = distance_features
    found = {}
    for name, made in inputs.items():
        features = {part: [made(c) for c in of] for part, of in parts.items()}
        found[name] = dict(tell_phases(parts, features))
        found[name] |= dict(tell_numbers(parts, features))
        told = {title: round(float(value), 3) for title, value in found[name].items()}
        print(substance, name, told, flush=True)
    counts = {phase: len(a) for phase, a in phases()[substance].items()}
    found["atoms"] = counts
    path.write_text(json.dumps(found, indent=1))
    return found


def refusals() -> Iterator[str]:
    """Yield what the network says of elements that it was not trained on."""
    for atoms in (bulk("Al", cubic=True), bulk("NaCl", "rocksalt", a=5.64)):
        try:
            GeomGNNTransformer((atoms.numbers,)).fit()
        except InputError as error:
            yield f"{atoms.get_chemical_formula()}: {error}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--substances", nargs="+", default=list(phases()))
    parser.add_argument("--twins", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--cells", type=int, default=8, help="to train on, of each size of rattling"
    )
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    args.out.mkdir(parents=True, exist_ok=True)
    print(f"ASE {ase.__version__}; refused:", *refusals(), sep="\n  ", flush=True)
    print("| substance | asked | et-64 | untrained twin | distances |")
    print("| --- | --- | --- | --- | --- |")
    for substance in args.substances:
        found = measured(args, substance)
        for title, ours in found["et-64"].items():
            digits = 1 if "%" in title else 2
            twins = np.array([found[f"untrained {seed}"][title] for seed in args.twins])
            spread = f" ± {twins.std(ddof=1):.{digits}f}" if len(twins) > 1 else ""
            print(
                f"| {substance} | {title} | {ours:.{digits}f} | "
                f"{twins.mean():.{digits}f}{spread} | "
                f"{found['distances'][title]:.{digits}f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
