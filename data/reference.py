"""Reference kinetics of the trajectories in this folder.

    python data/reference.py            # all systems
    python data/reference.py gly2

Implied timescales of Markov state models whose states are made from the backbone
dihedrals alone: a 12 x 12 grid of (phi, psi) where there is one residue, else 200
k-means clusters of the slow TICA coordinates of their sines and cosines. The
uncertainties are standard deviations over bootstrap samples of whole trajectories.
The dihedrals come from MDAnalysis and the models from deeptime: nothing here uses
the package whose results are compared with these numbers.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from pathlib import Path

import MDAnalysis as mda
import numpy as np
from deeptime.clustering import KMeans
from deeptime.decomposition import TICA
from deeptime.markov import TransitionCountEstimator
from deeptime.markov.msm import MaximumLikelihoodMSM
from MDAnalysis.lib.distances import calc_dihedrals

HERE = Path(__file__).parent
LAGS_PS = {
    "ala2": (2, 4, 10, 20, 40, 80),
    "gly2": (1, 2, 5, 10, 20),
    "wlall": (10, 20, 40, 60, 100, 150),
    "aagaa": (4, 10, 20, 40, 80),
}
N_PROCESSES = 3
N_BOOTSTRAP = 30


def backbone_quadruples(universe: mda.Universe) -> dict[str, np.ndarray]:
    """Find the atoms of every phi and psi, the caps' atoms included."""
    found = {}
    for before, here, after in itertools.zip_longest(
        [None, *universe.residues[:-1]], universe.residues, universe.residues[1:]
    ):
        atoms = {a.name: a.index for a in here.atoms}
        if not {"N", "CA", "C"} <= atoms.keys():
            continue
        n, ca, c = (atoms[name] for name in ("N", "CA", "C"))
        label = f"{here.resname}{here.resid}"
        if before is not None:
            previous = before.atoms.select_atoms("name C")
            found[f"phi {label}"] = np.array([previous[0].index, n, ca, c])
        if after is not None:
            following = after.atoms.select_atoms("name N")
            found[f"psi {label}"] = np.array([n, ca, c, following[0].index])
    return found


def dihedrals(name: str) -> tuple[list[np.ndarray], float, list[str]]:
    """Read all runs of a system: angles (F, n) in radians, spacing in ps, labels."""
    folder, runs = HERE / name, []
    for path in sorted(folder.glob(f"{name}-*.xtc")):
        universe = mda.Universe(folder / f"{name}.pdb", path)
        quadruples = backbone_quadruples(universe)
        index = np.stack(list(quadruples.values()))
        angles = np.empty((len(universe.trajectory), len(index)))
        for frame, ts in enumerate(universe.trajectory):
            angles[frame] = calc_dihedrals(*(ts.positions[i] for i in index.T))
        runs.append(angles)
        spacing = float(universe.trajectory.dt)
    return runs, spacing, list(quadruples)


def discretise(runs: list[np.ndarray], spacing: float) -> list[np.ndarray]:
    """Assign every frame to a state."""
    if runs[0].shape[1] == 2:
        cells = [
            np.minimum((12 * (a + np.pi) / (2 * np.pi)).astype(int), 11) for a in runs
        ]
        return [12 * c[:, 0] + c[:, 1] for c in cells]
    inputs = [np.concatenate([np.sin(a), np.cos(a)], axis=1) for a in runs]
    tica = TICA(lagtime=round(20 / spacing), dim=6).fit_fetch(inputs)
    slow = [tica.transform(x) for x in inputs]
    clusters = KMeans(200, fixed_seed=1, n_jobs=1).fit_fetch(
        np.concatenate(slow)[:: max(1, len(slow) * len(slow[0]) // 20000)]
    )
    return [clusters.transform(x) for x in slow]


def timescales(states: list[np.ndarray], lag: int, spacing: float) -> np.ndarray:
    """Slowest relaxation times (ps) of a reversible model at one lag (frames)."""
    counts = TransitionCountEstimator(lag, "sliding").fit_fetch(states)
    model = MaximumLikelihoodMSM(reversible=True).fit_fetch(counts.submodel_largest())
    found = np.full(N_PROCESSES, np.nan)
    times = model.timescales(k=N_PROCESSES) * spacing
    found[: len(times)] = times
    return found


def count_crossings(phi: np.ndarray) -> int:
    """Count changes of sign that last: the majority of five frames decides."""
    positive = np.convolve(phi > 0, np.ones(5), "valid") > 2.5
    return int(np.count_nonzero(positive[1:] != positive[:-1]))


def report(name: str) -> None:
    """Print one table."""
    runs, spacing, labels = dihedrals(name)
    states = discretise(runs, spacing)
    total = sum(len(a) for a in runs) * spacing / 1000
    print(f"\n{name}: {len(runs)} runs, {total:.1f} ns, {', '.join(labels)}")
    for label, column in zip(labels, np.concatenate(runs).T, strict=True):
        if label.startswith("phi"):
            crossings = sum(count_crossings(a[:, labels.index(label)]) for a in runs)
            print(f"  {label} > 0: {np.mean(column > 0):.4f}, crossings {crossings}")
    print("  lag (ps)  timescales (ps)")
    random = np.random.default_rng(0)
    for lag_ps in LAGS_PS[name]:
        lag = round(lag_ps / spacing)
        if lag < 1:
            continue
        best = timescales(states, lag, spacing)
        samples = []
        for _ in range(N_BOOTSTRAP):
            chosen = random.integers(len(states), size=len(states))
            samples.append(timescales([states[i] for i in chosen], lag, spacing))
        spread = np.nanstd(samples, axis=0)
        columns = "  ".join(
            f"{t:6.1f} ± {s:4.1f}" for t, s in zip(best, spread, strict=True)
        )
        print(f"  {lag * spacing:8.0f}  {columns}")


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(LAGS_PS))
    warnings.simplefilter("ignore")
    for name in parser.parse_args().names:
        report(name)


if __name__ == "__main__":
    main()
