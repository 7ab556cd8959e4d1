"""Trajectories with known kinetics."""

from __future__ import annotations

import numpy as np


def markov_chain(matrix: np.ndarray, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    edges = np.cumsum(matrix, axis=1)
    edges[:, -1] = 1.0
    draws = rng.random(n)
    states = np.empty(n, dtype=np.int64)
    states[0] = rng.integers(len(matrix))
    for t in range(1, n):
        states[t] = np.searchsorted(edges[states[t - 1]], draws[t], side="right")
    return states


def two_state(a: float, b: float) -> tuple[np.ndarray, float]:
    """Return the matrix and its second eigenvalue."""
    return np.array([[1 - a, a], [b, 1 - b]]), 1 - a - b


THREE = np.array([[0.970, 0.025, 0.005], [0.030, 0.965, 0.005], [0.002, 0.003, 0.995]])


def timescales(matrix: np.ndarray) -> np.ndarray:
    values = np.sort(np.linalg.eigvals(matrix).real)[::-1][1:]
    return -1 / np.log(values)


def embed(
    states: list[np.ndarray], width: int, noise: float, seed: int = 0
) -> list[np.ndarray]:
    """Put each state at a random point of a space, and blur it."""
    rng = np.random.default_rng(seed)
    n_states = max(int(s.max()) for s in states) + 1
    # orthogonal centres, so that every process is as visible as any other
    centres = np.linalg.qr(rng.normal(size=(width, width)))[0][:n_states] * 2
    return [
        (centres[s] + noise * rng.normal(size=(len(s), width))).astype(np.float32)
        for s in states
    ]
