"""Whether a box can be that of a frame: atoms do not overlap the images of others.

This has to be known before bonds are looked for by distance, and so rests on no bonds.
Atoms nearer than 2 Å as they stand in the file belong to one piece. A molecule that was
wrapped comes in several, each of them a part of one cell, so that a bond which crosses
the boundary joins two pieces, never one to itself. Only a molecule without end (a
crystal, a nanotube) is bonded to its own image, and no bond is as short as 1 Å between
atoms heavier than hydrogen: carbon monoxide's, the shortest, is 1.13 Å.
"""

from __future__ import annotations

import numpy as np

from mdgeomfeat.boxes.lattice import box_heights, lattice_vectors, reduced_lattices

__all__ = ["MIN_IMAGE", "nearest_image"]

#: A piece whose image comes nearer to it than this overlaps it, Å.
MIN_IMAGE = 1.0
# Two pieces may be one molecule, in a box a little too small for the frame (of another
# moment of a run at constant pressure): their bond looks that much shorter (Å).
_SLACK = 0.5
# Longest bond that holds a piece together (Å): less than any other contact.
_BOND = 2.0
# A contact is one with an image if the box has moved it by more than rounding (Å).
_MOVED = 0.5

_STEPS = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1)
_STEPS = _STEPS.reshape(-1, 3)[np.any(_STEPS.reshape(-1, 3) != 0, axis=1)]


def nearest_image(positions: np.ndarray, box: np.ndarray, numbers: np.ndarray) -> float:
    """Return how near an atom comes to the image of another where none can be.

    Parameters
    ----------
    positions : (A, 3) ndarray, Å
        As read: however wrapped, or not at all.
    box : (6,) ndarray, Å and degrees
        Such that :func:`mdgeomfeat.boxes.has_box` holds.
    numbers : (A,) ndarray of int
        Atomic numbers; hydrogen counts only if there is nothing else.

    Returns
    -------
    float
        Å; infinite if no atom comes nearer than :data:`MIN_IMAGE` (less a slack of
        0.5 Å between atoms that may be bonded across the boundary) to the image of an
        atom that it is not near to in the file.
    """
    heavy = np.asarray(numbers) > 1
    chosen = heavy if heavy.any() else np.ones(len(heavy), dtype=bool)
    x = np.asarray(positions, dtype=np.float64)[chosen]
    first, second, apart = _contacts(x, lattice_vectors(box))
    distance = np.linalg.norm(apart, axis=1)
    moved = np.linalg.norm(x[first] - x[second] - apart, axis=1) > _MOVED
    first, second, distance = first[moved], second[moved], distance[moved]
    if not len(distance):
        return np.inf
    piece = _pieces(x)
    limit = np.where(piece[first] == piece[second], MIN_IMAGE, MIN_IMAGE - _SLACK)
    return float(distance[distance < limit].min(initial=np.inf))


def _contacts(
    x: np.ndarray, vectors: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs nearer than MIN_IMAGE in any images, and their vectors (n, 3)."""
    from scipy.spatial import cKDTree

    h = reduced_lattices(vectors[None])[0]
    places = x @ np.linalg.inv(h)
    places -= np.floor(places)
    # One cell, and of the cells around it the atoms next to its faces.
    margin = MIN_IMAGE / box_heights(h)
    shown, owner = [places], [np.arange(len(x))]
    for step in _STEPS:
        image = places + step
        near = ((image > -margin) & (image < 1 + margin)).all(axis=1)
        shown.append(image[near])
        owner.append(np.flatnonzero(near))
    images, owners = np.concatenate(shown) @ h, np.concatenate(owner)
    pairs = cKDTree(images).query_pairs(MIN_IMAGE, output_type="ndarray")
    first, second = pairs.T
    return owners[first], owners[second], images[first] - images[second]


def _pieces(x: np.ndarray) -> np.ndarray:
    """Return the piece that each of the atoms (A, 3) belongs to, (A,)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    pairs = cKDTree(x).query_pairs(_BOND, output_type="ndarray")
    ones = np.ones(len(pairs), dtype=np.int8)
    graph = coo_matrix((ones, tuple(pairs.T)), shape=(len(x), len(x)))
    component: np.ndarray = connected_components(graph, directed=False)[1]
    return component
