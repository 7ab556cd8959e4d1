"""How much of each token the solvent can reach.

References
----------
A. Shrake and J. A. Rupley, J. Mol. Biol. 79, 351 (1973), for the points on spheres;
Á. González, Math. Geosci. 42, 49 (2010), for where they lie. mdtraj's function of this
kind ends the process where two atoms lie at one place, and its areas depend on the
frame before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.jit import cached_njit, n_threads, run_threads

if TYPE_CHECKING:
    from mdgeomfeat.structure import Structure

__all__ = ["MAX_ATOMS", "accessible_surface"]

#: With more heavy atoms than this, areas of hundreds of frames take a minute.
MAX_ATOMS: Final = 2000
#: Radius of a water molecule, Å.
_PROBE: Final = 1.4
#: Of an element that MDAnalysis has no radius of, Å.
_OTHER_RADIUS: Final = 2.0
#: Points on the sphere about each atom, 1.2 Å² each for carbon.
_POINTS: Final = 100
#: Frames that one thread takes at a time.
_FRAMES: Final = 16


def accessible_surface(
    structure: Structure, positions: NDArray[np.floating], atoms: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the solvent-accessible surface area of every token, Å².

    Parameters
    ----------
    structure : Structure
    positions : (F, A, 3) ndarray, Å
        Whole molecules, side by side.
    atoms : (H,) ndarray of int64
        The heavy atoms; others are taken to be away.

    Returns
    -------
    (F, N) ndarray
        0 for a token without such atoms.
    """
    radii = _radii(np.asarray(structure.numbers)[atoms]) + _PROBE
    sphere = _sphere(_POINTS)
    owner = np.asarray(structure.token_of_atom)[atoms].astype(np.int64)
    found = np.zeros((len(positions), structure.n_tokens))

    def some(start: int) -> None:
        block = slice(start, start + _FRAMES)
        frames = positions[block, atoms].astype(np.float64)
        _areas(frames, radii, sphere, owner, found[block])

    jobs = [(start,) for start in range(0, len(positions), _FRAMES)]
    run_threads(some, jobs, n_threads())
    return found


def _radii(numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the van der Waals radii of elements, Å, as MDAnalysis has them."""
    from MDAnalysis.guesser.tables import Z2SYMB, vdwradii

    return np.array(
        [vdwradii.get(Z2SYMB[int(z)].upper(), _OTHER_RADIUS) for z in numbers]
    )


def _sphere(n: int) -> NDArray[np.float64]:
    """Return n points that are spread evenly over the unit sphere."""
    turn = np.pi * (3 - np.sqrt(5)) * np.arange(n)
    z = 1 - (2 * np.arange(n) + 1) / n
    flat = np.sqrt(1 - z**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1)


@cached_njit()
def _areas(frames, radii, sphere, owner, found):  # type: ignore[no-untyped-def]
    n = len(radii)
    near = np.empty(n, dtype=np.int64)
    for f in range(frames.shape[0]):
        r = frames[f]
        for i in range(n):
            count = 0
            for j in range(n):
                x = r[j, 0] - r[i, 0]
                y = r[j, 1] - r[i, 1]
                z = r[j, 2] - r[i, 2]
                reach = radii[i] + radii[j]
                if j != i and x * x + y * y + z * z < reach * reach:
                    near[count] = j
                    count += 1
            free, last = 0, 0
            for p in range(sphere.shape[0]):
                x = r[i, 0] + radii[i] * sphere[p, 0]
                y = r[i, 1] + radii[i] * sphere[p, 1]
                z = r[i, 2] + radii[i] * sphere[p, 2]
                hidden = False
                for k in range(count):
                    # what hid the last point probably hides this one
                    j = near[(last + k) % count]
                    u, v, w = x - r[j, 0], y - r[j, 1], z - r[j, 2]
                    if u * u + v * v + w * w < radii[j] * radii[j]:
                        hidden, last = True, (last + k) % count
                        break
                free += not hidden
            share = free / sphere.shape[0]
            found[f, owner[i]] += 4.0 * np.pi * radii[i] * radii[i] * share
