"""Which atom hangs on which: the tree along which molecules are made whole."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components

__all__ = ["components_of", "spanning_forest"]

_REACH = 64


def spanning_forest(
    residue: np.ndarray,
    next_residue: np.ndarray,
    bonds: np.ndarray | None,
    fragment: np.ndarray | None,
    positions: np.ndarray | None,
    box: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Hang every atom on another, by bonds first and by nearness where they lack.

    Parameters
    ----------
    residue : (A,) ndarray of int64
        Residue of each atom, numbered from 0.
    next_residue : (R,) ndarray of int64
        The residue that follows in the chain, -1 if none.
    bonds : (B, 2) ndarray of int64 or None
    fragment : (A,) ndarray of int64 or None
        Atoms of different fragments are known not to be joined by bonds.
    positions : (A, 3) ndarray or None
        Reference frame, Å.
    box : (6,) ndarray or None

    Returns
    -------
    parent : (A,) ndarray of int64
        -1 for the first atom of each connected component.
    order : (A,) ndarray of int64
        All atoms, parents before children.
    """
    n = len(residue)
    edges = [np.empty((0, 2), dtype=np.int64) if bonds is None else bonds]
    _, label = connected_components(_graph(edges, n), directed=False)
    groups = _groups(residue, len(next_residue))
    own = [
        (atoms, link)
        for atoms in groups
        if (link := _join_group(atoms, label, fragment, positions, box))
    ]
    edges += [np.array(link, dtype=np.int64) for _, link in own]
    _, label = connected_components(_graph(edges, n), directed=False)
    across = []
    for first, second in enumerate(next_residue):
        if second < 0:
            continue
        a, b = groups[first], groups[second]
        if len(a) and len(b) and label[a[-1]] != label[b[0]]:
            across.append(_closest(a, b, positions, box))
    if across:
        edges.append(np.array(across, dtype=np.int64))
    return _hang(_graph(edges, n), n)


def components_of(parent: np.ndarray) -> np.ndarray:
    """Return the number of each atom's connected component, by its first atom, (A,).

    Parameters
    ----------
    parent : (A,) ndarray of int64
        The atom that each atom hangs on, -1 for the first of a component.
    """
    component = np.where(parent >= 0, parent, np.arange(len(parent)))
    while (component[component] != component).any():
        component = component[component]
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse.ravel()]


def _graph(edges: list[np.ndarray], n: int) -> coo_matrix:
    pairs = np.concatenate(edges)
    weights = np.ones(len(pairs), dtype=np.int8)
    return coo_matrix((weights, (pairs[:, 0], pairs[:, 1])), shape=(n, n)).tocsr()


def _groups(residue: np.ndarray, n: int) -> list[np.ndarray]:
    order = np.argsort(residue, kind="stable")
    return np.split(order, np.cumsum(np.bincount(residue, minlength=n))[:-1])


def _join_group(
    atoms: np.ndarray,
    label: np.ndarray,
    fragment: np.ndarray | None,
    positions: np.ndarray | None,
    box: np.ndarray | None,
) -> list[tuple[int, int]]:
    """Links that join the atoms of one residue which bonds leave apart."""
    if len(np.unique(label[atoms])) == 1:
        return []
    links = []
    component = {int(a): int(label[a]) for a in atoms}
    for k in range(1, len(atoms)):
        atom = int(atoms[k])
        before = atoms[max(0, k - _REACH) : k]
        if fragment is not None:
            before = before[fragment[before] == fragment[atom]]
        if not len(before):
            continue
        target = _closest(before, atoms[k : k + 1], positions, box)[0]
        old, new = component[atom], component[target]
        if old != new:
            links.append((target, atom))
            component = {a: new if p == old else p for a, p in component.items()}
    return links


def _closest(
    first: np.ndarray,
    second: np.ndarray,
    positions: np.ndarray | None,
    box: np.ndarray | None,
) -> tuple[int, int]:
    """Nearest pair of two groups, or the last and the first without positions."""
    if positions is None:
        return int(first[-1]), int(second[0])
    from MDAnalysis.lib.distances import distance_array

    table = distance_array(positions[first], positions[second], box=box)
    a, b = np.unravel_index(np.argmin(table), table.shape)
    return int(first[a]), int(second[b])


def _hang(graph: coo_matrix, n: int) -> tuple[np.ndarray, np.ndarray]:
    parent = np.full(n, -1, dtype=np.int64)
    _, label = connected_components(graph, directed=False)
    _, roots = np.unique(label, return_index=True)
    # A last, artificial atom joins the components, so that one walk visits all.
    links = graph.tocoo()
    row = np.concatenate([links.row, np.full(len(roots), n)])
    col = np.concatenate([links.col, roots])
    joined = coo_matrix((np.ones(len(row), np.int8), (row, col)), shape=(n + 1, n + 1))
    order, predecessors = breadth_first_order(
        joined.tocsr(), n, directed=False, return_predecessors=True
    )
    parent[:] = np.where(predecessors[:n] == n, -1, predecessors[:n])
    return parent, np.ascontiguousarray(order[1:], dtype=np.int64)
