"""Reference kinetics of the folding trajectories in this folder.

    python data/folding/reference.py            # every protein whose runs are here
    python data/folding/reference.py villin

Two independent views of the same runs. First, the fraction of native contacts Q:
events are counted with two thresholds on its running mean, so that a run must cross
from one side to the other, and folding and unfolding times are the time spent in a
state for each time it was left. Second, a Markov state model on contacts of residues:
implied timescales and a Chapman-Kolmogorov test of its two metastable sets.
Intervals are 5 to 95 % of bootstrap samples of whole runs. Nothing here uses the
package whose results are compared with these numbers.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path

import MDAnalysis as mda
import numpy as np
from deeptime.clustering import KMeans
from deeptime.decomposition import TICA
from deeptime.markov import TransitionCountEstimator
from deeptime.markov.msm import MarkovStateModel, MaximumLikelihoodMSM
from simulate import HERE, load
from structure_based import StructureBasedModel

N_BOOTSTRAP = 200
N_CLUSTERS = 50
N_PROCESSES = 3


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """Choices for one protein; times in ps."""

    folded: float  # running mean of Q from which on a run has folded
    unfolded: float  # and down to which it has unfolded
    mean_over: float
    lags: tuple[float, ...]
    tested_lag: float  # of the model that the Chapman-Kolmogorov test is made for


ANALYSES = {
    "hairpin": Analysis(
        folded=0.75,
        unfolded=0.35,
        mean_over=3.0,
        lags=(2, 5, 10, 20, 40),
        tested_lag=10,
    ),
    "villin": Analysis(
        folded=0.75,
        unfolded=0.55,
        mean_over=6.0,
        lags=(4, 10, 20, 40, 80),
        tested_lag=20,
    ),
    "lambda": Analysis(
        folded=0.67,
        unfolded=0.50,
        mean_over=48.0,
        lags=(12, 30, 60, 120, 240),
        tested_lag=120,
    ),
}


def read(name: str, folder: Path) -> tuple[list[np.ndarray], float]:
    """Read all runs: positions ``(F, N, 3)`` in nm, and the spacing in ps."""
    runs = []
    for path in sorted(folder.glob(f"{name}-?.xtc")):
        universe = mda.Universe(HERE / name / f"{name}.pdb", path)
        runs.append(np.stack([ts.positions / 10 for ts in universe.trajectory]))
        spacing = float(universe.trajectory.dt)
    return runs, spacing


def residue_contacts(
    model: StructureBasedModel, positions: np.ndarray, residues: np.ndarray
) -> np.ndarray:
    """Share of the native atom contacts formed in each pair of residues, ``(F, n)``."""
    formed = model.formed(positions)
    pairs = residues[model.contacts]
    _, group = np.unique(pairs, axis=0, return_inverse=True)
    size = np.bincount(group)
    shares = np.zeros((len(formed), len(size)))
    np.add.at(shares.T, group, formed.T)
    return shares / size


def two_states(q: np.ndarray, analysis: Analysis, spacing: float) -> np.ndarray:
    """Assign 1 (folded) or 0 by the threshold that was crossed last.

    Frames before the first crossing are -1 and belong to no state.
    """
    window = max(1, round(analysis.mean_over / spacing))
    smooth = np.convolve(q, np.full(window, 1 / window), "same")
    edges = np.convolve(np.ones_like(q), np.full(window, 1 / window), "same")
    states = np.full(len(q), -1)
    now = -1
    for frame, value in enumerate(smooth / edges):
        if value >= analysis.folded:
            now = 1
        elif value <= analysis.unfolded:
            now = 0
        states[frame] = now
    return states


def rates(states: list[np.ndarray], spacing: float) -> np.ndarray:
    """Summarise: folded share, foldings, unfoldings, folding and unfolding time.

    A mean time is the time spent in the state it starts from, divided by how often
    that was left: the estimate for exponential waiting times, which stays right when
    runs end in the middle of a wait.
    """
    folded = sum(int((s == 1).sum()) for s in states)
    unfolded = sum(int((s == 0).sum()) for s in states)
    up = sum(int(((s[:-1] == 0) & (s[1:] == 1)).sum()) for s in states)
    down = sum(int(((s[:-1] == 1) & (s[1:] == 0)).sum()) for s in states)
    with np.errstate(divide="ignore", invalid="ignore"):
        times = np.array([unfolded, folded]) * spacing / np.array([up, down])
    return np.array([folded / max(folded + unfolded, 1), up, down, *times])


def bootstrap(runs: list, statistic) -> np.ndarray:
    """5 and 95 % points of a statistic over samples of whole runs, ``(2, n)``."""
    random = np.random.default_rng(0)
    samples = []
    for _ in range(N_BOOTSTRAP):
        chosen = random.integers(len(runs), size=len(runs))
        samples.append(statistic([runs[i] for i in chosen]))
    return np.nanpercentile(samples, [5, 95], axis=0)


def discretise(contacts: list[np.ndarray], spacing: float) -> list[np.ndarray]:
    """Cluster the slow combinations of residue contacts."""
    tica = TICA(lagtime=max(1, round(10 / spacing)), dim=2).fit_fetch(contacts)
    slow = [tica.transform(x) for x in contacts]
    clusters = KMeans(N_CLUSTERS, fixed_seed=1, n_jobs=1).fit_fetch(
        np.concatenate(slow)
    )
    return [clusters.transform(x) for x in slow]


def markov_model(states: list[np.ndarray], lag: int) -> MarkovStateModel:
    """Fit a reversible model on the largest connected set."""
    counts = TransitionCountEstimator(lag, "sliding").fit_fetch(states)
    return MaximumLikelihoodMSM(reversible=True).fit_fetch(counts.submodel_largest())


def timescales(states: list[np.ndarray], lag: int, spacing: float) -> np.ndarray:
    """Slowest relaxation times, ps."""
    found = np.full(N_PROCESSES, np.nan)
    times = markov_model(states, lag).timescales(k=N_PROCESSES) * spacing
    found[: len(times)] = times
    return found


def chapman_kolmogorov(
    states: list[np.ndarray], lag: int, multiples: tuple[int, ...] = (2, 3, 4, 5)
) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Compare the chance of staying in each metastable set, predicted and observed.

    The prediction starts from the equilibrium within the set and applies the model
    of one lag several times; what was observed is the same from a model estimated at
    the longer lag.
    """
    model = markov_model(states, lag)
    sets = model.pcca(2).assignments
    symbols = model.count_model.state_symbols
    rows = []
    for multiple in multiples:
        longer = markov_model(states, lag * multiple)
        kept = longer.count_model.state_symbols
        of_longer = sets[np.searchsorted(symbols, kept)]
        power = np.linalg.matrix_power(model.transition_matrix, multiple)
        rows.append(
            (
                multiple,
                _staying(power, model.stationary_distribution, sets),
                _staying(
                    longer.transition_matrix, longer.stationary_distribution, of_longer
                ),
            )
        )
    return rows


def _staying(matrix: np.ndarray, weights: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """Chance to be in a set again, started from its own equilibrium."""
    return np.array(
        [
            (weights[sets == k] @ matrix[np.ix_(sets == k, sets == k)]).sum()
            / weights[sets == k].sum()
            for k in (0, 1)
        ]
    )


def report(name: str, folder: Path) -> None:
    """Print the figures of one protein."""
    analysis, model = ANALYSES[name], load(name)
    runs, spacing = read(name, folder)
    n_frames = sum(len(x) for x in runs)
    print(
        f"\n{name}: {len(runs)} runs, {n_frames} frames every {spacing:g} ps, "
        f"{n_frames * spacing / 1000:.2f} ns, {len(model.contacts)} native contacts"
    )
    q = [model.fraction_native(x) for x in runs]
    report_contacts(q, analysis, spacing)
    universe = mda.Universe(HERE / name / f"{name}.pdb")
    residues = universe.atoms.resindices
    states = discretise([residue_contacts(model, x, residues) for x in runs], spacing)
    report_model(states, q, analysis, spacing)


def report_contacts(q: list[np.ndarray], analysis: Analysis, spacing: float) -> None:
    """Print what the fraction of native contacts says."""
    states = [two_states(x, analysis, spacing) for x in q]
    together, of_all = np.concatenate(q), np.concatenate(states)
    folded, unfolded = together[of_all == 1], together[of_all == 0]
    print(
        f"  Q: folded {folded.mean():.2f} ± {folded.std():.2f}, "
        f"unfolded {unfolded.mean():.2f} ± {unfolded.std():.2f}"
    )
    share, up, down, t_fold, t_unfold = rates(states, spacing)
    low, high = bootstrap(states, lambda chosen: rates(chosen, spacing))
    print(f"  folded {share:.2f} [{low[0]:.2f}, {high[0]:.2f}]")
    print(
        f"  {up:.0f} foldings, {down:.0f} unfoldings; in the single runs "
        + ", ".join(
            f"{r[1]:.0f}+{r[2]:.0f}" for r in (rates([s], spacing) for s in states)
        )
    )
    print(
        f"  folding time {t_fold:.0f} [{low[3]:.0f}, {high[3]:.0f}] ps, "
        f"unfolding time {t_unfold:.0f} [{low[4]:.0f}, {high[4]:.0f}] ps, "
        f"relaxation {1 / (1 / t_fold + 1 / t_unfold):.0f} ps"
    )


def report_model(
    states: list[np.ndarray], q: list[np.ndarray], analysis: Analysis, spacing: float
) -> None:
    """Print what the Markov state model says."""
    print("  lag (ps)  timescales (ps)")
    for lag_ps in analysis.lags:
        lag = round(lag_ps / spacing)
        best = timescales(states, lag, spacing)
        low, high = bootstrap(states, lambda s, lag=lag: timescales(s, lag, spacing))
        columns = "  ".join(
            f"{t:5.0f} [{a:.0f}, {b:.0f}]"
            for t, a, b in zip(best, low, high, strict=True)
        )
        print(f"  {lag * spacing:8.0f}  {columns}")
    lag = round(analysis.tested_lag / spacing)
    model = markov_model(states, lag)
    sets = model.pcca(2).assignments
    weights = model.stationary_distribution
    mean_q = np.array(
        [
            np.concatenate([x[s == k] for x, s in zip(q, states, strict=True)]).mean()
            for k in model.count_model.state_symbols
        ]
    )
    for k in (0, 1):
        inside = weights[sets == k]
        average = inside @ mean_q[sets == k] / inside.sum()
        print(f"  metastable set {k}: {inside.sum():.2f} of all, mean Q {average:.2f}")
    print(f"  Chapman-Kolmogorov test, lag {lag * spacing:g} ps: stays in set 0, set 1")
    for multiple, predicted, observed in chapman_kolmogorov(states, lag):
        print(
            f"    {multiple * lag * spacing:4.0f} ps: predicted {predicted[0]:.2f}, "
            f"{predicted[1]:.2f}; observed {observed[0]:.2f}, {observed[1]:.2f}"
        )


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="all whose runs are here by default")
    parser.add_argument("--folder", type=Path, help="where the runs are")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    there = [name for name in ANALYSES if any((HERE / name).glob(f"{name}-?.xtc"))]
    for name in options.names or there:
        report(name, options.folder or HERE / name)


if __name__ == "__main__":
    main()
