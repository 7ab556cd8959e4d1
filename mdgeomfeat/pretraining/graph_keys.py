"""Names of molecules from the graph of their atoms, without RDKit.

A key of this kind is what Weisfeiler and Lehman's refinement (Nauchno-Tekhnicheskaya
Informatsiya, Ser. 2, 9, 1968, 12) makes of elements and bonds, hydrogens included:
every atom begins with its element and takes up its neighbours' labels until no further
atoms can be told apart. Equal molecules always have equal keys, in any order of their
atoms. A few unequal ones have equal keys as well (decalin and bicyclopentyl): they are
in the same split, and both are left out if one has to be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..radii import bond_lengths

__all__ = ["graph_key", "graph_key_from_coordinates"]

# A bond is at most this many times as long as the sum of the covalent radii.
_STRETCHED = 1.3
_DIGITS = 24


def graph_key(numbers: Iterable[int], bonds: NDArray[np.integer]) -> str:
    """Return the key of a molecule whose bonds are known.

    Parameters
    ----------
    numbers : iterable of A int
        Atomic numbers, hydrogens included.
    bonds : (B, 2) ndarray of int
        Pairs of atoms, each once.

    Returns
    -------
    str
        The keys of its connected parts, sorted and joined by dots.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    elements = [_digest(str(int(z))) for z in numbers]
    pairs = np.asarray(bonds, dtype=np.int64).reshape(-1, 2)
    neighbours: list[list[int]] = [[] for _ in elements]
    for i, j in pairs.tolist():
        neighbours[i].append(j)
        neighbours[j].append(i)
    n = len(elements)
    graph = coo_matrix((np.ones(len(pairs)), tuple(pairs.T)), shape=(n, n))
    part = connected_components(graph, directed=False)[1]
    keys = [
        _key_of_part(np.flatnonzero(part == number).tolist(), elements, neighbours)
        for number in range(int(part.max(initial=-1)) + 1)
    ]
    return ".".join(sorted(keys))


def _key_of_part(
    atoms: list[int], elements: list[str], neighbours: list[list[int]]
) -> str:
    """Refine the labels of a connected part until no further atoms are told apart."""
    labels = {i: elements[i] for i in atoms}
    kinds = 0
    while len(set(labels.values())) > kinds:
        kinds = len(set(labels.values()))
        labels = {
            i: _digest(labels[i] + "".join(sorted(labels[j] for j in neighbours[i])))
            for i in atoms
        }
    return f"g{_digest(''.join(sorted(labels.values())))[:_DIGITS]}"


def graph_key_from_coordinates(
    numbers: NDArray[np.integer], positions: NDArray[np.floating]
) -> str:
    """Return the key of a molecule of which only the coordinates are known.

    Atoms are bonded up to 1.3 times the sum of their covalent radii.

    Parameters
    ----------
    numbers : (A,) ndarray of int
        Atomic numbers, hydrogens included.
    positions : (A, 3) ndarray, Å

    Returns
    -------
    str
    """
    from scipy.spatial import cKDTree

    z = np.asarray(numbers, dtype=np.int64)
    x = np.asarray(positions, dtype=np.float64)
    own = np.repeat(np.arange(len(z))[:, None], 2, axis=1)
    reach = _STRETCHED * float(bond_lengths(z, own).max(initial=0.0))
    pairs = cKDTree(x).query_pairs(reach, output_type="ndarray")
    apart = np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1)
    return graph_key(z, pairs[apart <= _STRETCHED * bond_lengths(z, pairs)])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
