r"""Measure how often 90 % intervals of a slowest timescale hold the true one.

    python benchmarks/intervals.py

A particle hops between 60 places of a double well, so that the slowest timescale of the
chain is known exactly. Runs of it are analysed as `vamp` analyses frames: counts of a
sliding window, a reversible model of largest likelihood, and intervals by a bootstrap
over runs, by the posterior of the transitions between two metastable states, and by the
wider of both, which is what reports show.
"""

from __future__ import annotations

import argparse

import numpy as np

from mdgeomfeat.kinetics.msm import (
    bootstrap,
    estimate_msm,
    make_units,
    unit_counts,
)
from mdgeomfeat.kinetics.pcca import metastable_states
from mdgeomfeat.kinetics.posterior import timescale_samples, widest
from mdgeomfeat.kinetics.timescales import interval

N_PLACES, BARRIER, TILT, HOPS = 60, 4.0, 0.3, 25
#: Runs, and how many slowest timescales they are long together.
DATA = ((4, 15), (4, 50), (8, 15), (8, 50), (20, 50))
#: Lags as parts of the slowest timescale.
PARTS = (20, 5)
N_SAMPLES = 40


def double_well() -> tuple[np.ndarray, np.ndarray, float]:
    """Return the transition matrix, its stationary probabilities and its timescale."""
    x = np.linspace(-1.5, 1.5, N_PLACES)
    energy = BARRIER * (x**2 - 1) ** 2 + TILT * x
    matrix = np.zeros((N_PLACES, N_PLACES))
    for i in range(N_PLACES):
        for j in {max(i - 1, 0), min(i + 1, N_PLACES - 1)} - {i}:
            matrix[i, j] = 0.5 * min(1.0, np.exp(energy[i] - energy[j]))
        matrix[i, i] = 1.0 - matrix[i].sum()
    matrix = np.linalg.matrix_power(matrix, HOPS)
    stationary = np.exp(-energy) / np.exp(-energy).sum()
    second = np.sort(np.linalg.eigvals(matrix).real)[-2]
    return matrix, stationary, float(-1 / np.log(second))


def run(
    cumulative: np.ndarray, start: int, length: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the places of one run."""
    places = np.empty(length, dtype=np.int64)
    places[0] = start
    for t, draw in enumerate(rng.random(length - 1), 1):
        places[t] = np.searchsorted(cumulative[places[t - 1]], draw, side="right")
    return places


def intervals(
    runs: list[np.ndarray], lag: int, seed: int
) -> dict[str, tuple[float, float]]:
    """Return the intervals of one set of runs; none if they do not connect."""
    units = make_units([len(r) for r in runs], lag)
    counts = unit_counts(runs, units, lag, N_PLACES)
    total = counts.sum(axis=0)
    model = estimate_msm(total, lag)
    if model is None:
        return {}
    samples = np.full((N_SAMPLES, 1), np.nan)
    for row, weights in zip(
        samples, bootstrap(len(counts), N_SAMPLES, seed), strict=True
    ):
        drawn = np.tensordot(weights, counts, axes=1)
        sample = estimate_msm(drawn, lag, states=model.states, max_error=1e-5)
        if sample is not None:
            row[:] = sample.timescales(1)
    partition = np.full(N_PLACES, -1)
    partition[model.states] = metastable_states(model, 2)[0]
    known = timescale_samples(
        total, model, [partition], 1, n_samples=N_SAMPLES, seed=seed
    )
    found = {"bootstrap": interval(samples), "posterior": interval(known)}
    found["wider of both"] = widest(*found.values())
    return {name: (float(a[0]), float(b[0])) for name, (a, b) in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    options = parser.parse_args()
    matrix, stationary, timescale = double_well()
    cumulative = np.cumsum(matrix, axis=1)
    cumulative[:, -1] = 1.0
    names = ("bootstrap", "posterior", "wider of both")
    print(f"slowest timescale {timescale:.1f} frames, {options.trials} trials\n")
    print(
        "| runs | all frames, in timescales | lag, in timescales | "
        + " | ".join(names)
        + " |"
    )
    print("| --- " * (3 + len(names)) + "|")
    for n_runs, total in DATA:
        for part in PARTS:
            rng = np.random.default_rng([n_runs, total, part])
            length, lag = int(total * timescale / n_runs), int(timescale / part)
            found = [
                intervals(
                    [
                        run(cumulative, rng.choice(N_PLACES, p=stationary), length, rng)
                        for _ in range(n_runs)
                    ],
                    lag,
                    trial,
                )
                for trial in range(options.trials)
            ]
            cells = []
            for name in names:
                both = np.array([f.get(name, (np.nan, np.nan)) for f in found])
                held = np.mean((both[:, 0] <= timescale) & (timescale <= both[:, 1]))
                width = np.nanmedian(both[:, 1] / both[:, 0])
                cells.append(f"{held:.0%}, x {width:.1f}")
            print(
                f"| {n_runs} | {total} | 1/{part} | " + " | ".join(cells) + " |",
                flush=True,
            )


if __name__ == "__main__":
    main()
