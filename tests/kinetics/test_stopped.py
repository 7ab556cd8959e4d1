"""Killed processes and committors of a double well, against its matrix."""

from __future__ import annotations

import numpy as np
import pytest
from chains import markov_chain

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics import fit_committor, fit_stopped_vamp

N = 15
X = np.linspace(-1.4, 1.4, N)
ENERGY = 3 * (X**2 - 1) ** 2 + 0.4 * X
LAG = 3
#: The wells are the outer three sites on each side.
SOURCE, TARGET = np.arange(N) < 3, np.arange(N) >= N - 3
BETWEEN = ~(SOURCE | TARGET)


def double_well():
    """Hops between neighbours with the Boltzmann distribution; some stay."""
    matrix = np.zeros((N, N))
    for i in range(N):
        for j in (i - 1, i + 1):
            if 0 <= j < N:
                matrix[i, j] = 0.4 * min(1, np.exp(ENERGY[i] - ENERGY[j]))
    return matrix + np.diag(1 - matrix.sum(axis=1))


MATRIX = double_well()
KILLED = MATRIX[np.ix_(BETWEEN, BETWEEN)]


@pytest.fixture(scope="module")
def runs():
    return [markov_chain(MATRIX, 60_000, seed) for seed in range(4)]


def indicators(runs, sites=None):
    sites = np.flatnonzero(BETWEEN) if sites is None else sites
    return [(r[:, None] == sites).astype(float) for r in runs]


def exact_committor():
    inner = np.eye(BETWEEN.sum()) - KILLED
    reached = MATRIX[np.ix_(BETWEEN, TARGET)].sum(axis=1)
    q = TARGET.astype(float)
    q[BETWEEN] = np.linalg.solve(inner, reached)
    return q


def test_eigenvalues_of_the_killed_process_are_those_of_the_matrix(runs):
    inside = [BETWEEN[r] for r in runs]
    model = fit_stopped_vamp(indicators(runs), inside, LAG, 3)
    exact = np.sort(np.linalg.eigvals(KILLED).real)[::-1][:3]
    np.testing.assert_allclose(model.eigenvalues.real, exact**LAG, atol=0.02)
    np.testing.assert_allclose(model.lifetimes[:1], -1 / np.log(exact[:1]), rtol=0.05)
    # the density is stationary and the dynamics reversible: singular values as well
    np.testing.assert_allclose(model.singular_values, exact**LAG, atol=0.02)
    assert model.score == pytest.approx(np.sum(exact ** (2 * LAG)), abs=0.05)


def test_a_run_that_left_and_came_back_has_not_survived(runs):
    """Against a count that looks at every frame of every pair."""
    short = [r[:3000] for r in runs[:2]]
    inside = [BETWEEN[r] for r in short]
    sites = np.flatnonzero(BETWEEN)
    counts, starts = np.zeros((2, N, N))
    for r in short:
        for t in range(len(r) - LAG):
            if BETWEEN[r[t]]:
                starts[r[t], r[t]] += 1
                if all(BETWEEN[r[s]] for s in range(t, t + LAG + 1)):
                    counts[r[t], r[t + LAG]] += 1
    matrix = np.linalg.solve(starts[np.ix_(sites, sites)], counts[np.ix_(sites, sites)])
    model = fit_stopped_vamp(indicators(short), inside, LAG, 9)
    expected = np.linalg.eigvals(matrix)
    expected = expected[np.argsort(-expected.real)]
    np.testing.assert_allclose(model.eigenvalues.real, expected.real, atol=1e-9)
    assert model.n_survived == counts.sum()
    assert model.n_pairs == starts.sum()


def test_singular_functions_have_unit_moments_and_vanish_outside(runs):
    inside = [BETWEEN[r] for r in runs]
    basis = [np.stack([np.ones(len(r)), X[r], X[r] ** 2], axis=1) for r in runs]
    model = fit_stopped_vamp(basis, inside, LAG, 3)
    values = model.transform(basis, inside)
    assert all((v[~i] == 0).all() for v, i in zip(values, inside, strict=True))
    pairs = [(v[:-LAG], i[:-LAG]) for v, i in zip(values, inside, strict=True)]
    joined = np.concatenate([v[i] for v, i in pairs])
    np.testing.assert_allclose(joined.T @ joined / len(joined), np.eye(3), atol=1e-9)
    assert (np.diff(model.singular_values) <= 0).all()
    # the first function has one sign: where the quasi-stationary density lies
    first = np.concatenate(values)[np.concatenate(inside), 0]
    assert (first > 0).all() or (first < 0).all()


@pytest.mark.parametrize("lag", [1, 3, 10])
def test_the_committor_is_that_of_the_matrix_at_every_lag(runs, lag):
    model = fit_committor(
        indicators(runs), [SOURCE[r] for r in runs], [TARGET[r] for r in runs], lag
    )
    sites = [np.arange(N)]
    found = model.transform(indicators(sites), [SOURCE], [TARGET])[0]
    exact = exact_committor()
    np.testing.assert_allclose(found, exact, atol=0.03)
    assert found[SOURCE].tolist() == [0.0] * 3
    assert found[TARGET].tolist() == [1.0] * 3


def test_smooth_functions_are_a_basis_as_well(runs):
    def basis(parts):
        return [np.stack([X[r] ** k for k in range(6)], axis=1) for r in parts]

    model = fit_committor(
        basis(runs), [SOURCE[r] for r in runs], [TARGET[r] for r in runs], LAG
    )
    found = model.transform(basis([np.arange(N)]), [SOURCE], [TARGET])[0]
    np.testing.assert_allclose(found, exact_committor(), atol=0.05)


def test_sets_that_cannot_be_used(runs):
    basis = indicators(runs)
    source, target = [SOURCE[r] for r in runs], [TARGET[r] for r in runs]
    with pytest.raises(InputError, match="in the source and in the target"):
        fit_committor(basis, source, source, LAG)
    nowhere = [np.zeros(len(r), bool) for r in runs]
    with pytest.raises(InputError, match="No run reaches the target"):
        fit_committor(basis, source, nowhere, LAG)
    with pytest.raises(InputError, match="No run reaches the source"):
        fit_committor(basis, nowhere, target, LAG)
    with pytest.raises(InputError, match="one value per frame"):
        fit_committor(basis, source[:2], target, LAG)
    with pytest.raises(InputError, match="No pair stays in the region"):
        fit_stopped_vamp(basis, nowhere, LAG, 2)
    with pytest.raises(InputError, match="below 1"):
        fit_stopped_vamp(basis, source, 0, 2)
