"""How long bonds usually are: sums of covalent radii."""

from __future__ import annotations

import numpy as np

__all__ = ["bond_lengths"]

# Single-bond radii, Å (Cordero et al., Dalton Trans. 2008, 2832), of the elements that
# organic molecules are made of. Metals and the rest get the largest that bonds to them
# suggest, so that nothing is called broken for want of a number.
_RADII = {1: 0.31, 5: 0.84, 6: 0.76, 7: 0.71, 8: 0.66, 9: 0.57, 14: 1.11, 15: 1.07}
_RADII |= {16: 1.05, 17: 1.02, 34: 1.20, 35: 1.20, 53: 1.39}
_OTHER_RADIUS = 1.5
_RADIUS = np.full(119, _OTHER_RADIUS)
_RADIUS[list(_RADII)] = list(_RADII.values())


def bond_lengths(numbers: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the usual length of bonds between atoms.

    Parameters
    ----------
    numbers : (A,) ndarray of int
        Atomic numbers.
    pairs : (B, 2) ndarray of int

    Returns
    -------
    (B,) ndarray, Å
    """
    lengths: np.ndarray = _RADIUS[numbers[pairs]].sum(axis=1)
    return lengths
