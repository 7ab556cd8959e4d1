"""PCCA+: memberships of microstates in metastable states.

References
----------
Röblitz & Weber, Adv. Data Anal. Classif. 7, 147 (2013), for PCCA+; Deuflhard & Weber,
Linear Algebra Appl. 398, 161 (2005), section 4, for the inner simplex;
Buchete & Hummer, J. Phys. Chem. B 112, 6057 (2008), for cores.
"""

from __future__ import annotations

import numpy as np
from deeptime.markov import pcca
from numpy.typing import NDArray

from mdgeomfeat.kinetics.msm import MarkovModel

__all__ = ["MAX_OPTIMIZED", "cores", "inner_simplex", "metastable_states"]

#: More states than this are read from the inner simplex. The optimisation has
#: (n - 1)² parameters and no gradient: seconds for six states, minutes for twelve,
#: without an end for twenty. By default there are six states at most.
MAX_OPTIMIZED = 6
#: Membership from which on a microstate is of the core of its state.
CORE = 0.9
#: Share of a state's probability that its core holds at least. Where states shade into
#: each other, only outliers have a membership of 0.9, and a core of outliers would be
#: visited seldom however often the state is.
CORE_SHARE = 0.5


def metastable_states(
    model: MarkovModel, n_states: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Divide the microstates of a Markov model into metastable states.

    Parameters
    ----------
    model : MarkovModel
        With m microstates.
    n_states : int
        Number of states that is wanted. There are fewer where the model has no more
        microstates, or where a state would be the most likely one of no microstate.

    Returns
    -------
    assignment : (m,) ndarray of int64
        State of every microstate, the most populated state first.
    memberships : (m, n) ndarray of float64
        Membership of every microstate in every state; rows sum to 1.
    """
    for n in range(min(n_states, len(model.states)), 1, -1):
        try:
            found = _memberships(model, n)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError):
            # the eigenvectors span no simplex with n corners
            continue
        crisp = found.argmax(axis=1)
        if len(np.unique(crisp)) == n and np.isfinite(found).all():
            mass = np.bincount(crisp, model.stationary, minlength=n)
            order = np.argsort(-mass, kind="stable")
            rank = np.argsort(order)
            return rank[crisp].astype(np.int64), found[:, order]
    single = np.zeros(len(model.states), dtype=np.int64)
    return single, np.ones((len(single), 1))


def _memberships(model: MarkovModel, n: int) -> NDArray[np.float64]:
    if n > MAX_OPTIMIZED:
        return inner_simplex(model, n)
    memberships: NDArray[np.float64] = pcca(
        model.transition_matrix, n, stationary_distribution=model.stationary
    ).memberships
    return memberships


def cores(
    memberships: NDArray[np.float64], stationary: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the state whose core each microstate is of, -1 on the borders.

    A core holds the microstates that are of a state beyond doubt, and at least the
    surest of them that have half of its probability.

    Parameters
    ----------
    memberships : (m, n) ndarray of float64
        Each state is the most likely one of some microstate.
    stationary : (m,) ndarray of float64
        Probability of every microstate.

    Returns
    -------
    (m,) ndarray of int64
    """
    assignment = memberships.argmax(axis=1)
    own = memberships.max(axis=1)
    core = np.full(len(own), -1, dtype=np.int64)
    for state in range(memberships.shape[1]):
        inside = np.flatnonzero(assignment == state)
        surest = inside[np.argsort(-own[inside], kind="stable")]
        held = np.cumsum(stationary[surest])
        least = own[surest[np.searchsorted(held, CORE_SHARE * held[-1])]]
        core[inside[own[inside] >= min(CORE, least)]] = state
    return core


def inner_simplex(model: MarkovModel, n: int) -> NDArray[np.float64]:
    """Return memberships from the simplex of the `n` most extreme microstates.

    The first n eigenvectors put every microstate at a point near a simplex with n
    corners, one for each metastable state. The corners are taken to be microstates,
    each the farthest from the span of those before it, and memberships are barycentric
    coordinates. Points outside the simplex, whose coordinates would be negative, are
    cut off at its faces.

    Parameters
    ----------
    model : MarkovModel
        With m microstates.
    n : int
        Number of states, 2 to m.

    Returns
    -------
    (m, n) ndarray of float64
        Rows sum to 1; every state has one microstate with a membership of 1.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the points lie in fewer than n - 1 dimensions.
    """
    points = model.eigenvectors(n)
    inside = np.clip(points @ np.linalg.inv(points[_corners(points, n)]), 0.0, None)
    shares: NDArray[np.float64] = inside / inside.sum(axis=1, keepdims=True)
    return shares


def _corners(points: NDArray[np.float64], n: int) -> list[int]:
    """Return the row that is farthest out, then the farthest from the span so far."""
    corners = [int(np.argmax(np.linalg.norm(points, axis=1)))]
    rest = points - points[corners[0]]
    while len(corners) < n:
        distance = np.linalg.norm(rest, axis=1)
        distance[corners] = -1.0
        corners.append(int(np.argmax(distance)))
        far = rest[corners[-1]]
        rest = rest - np.outer(rest @ far, far) / (far @ far)
    return corners
