"""Checks of arrays that describe atoms."""

from __future__ import annotations

from typing import Any

import numpy as np

from mdgeomfeat.errors import InputError

__all__ = ["check_bonds", "integers"]


def integers(values: Any, name: str, ndim: int = 1) -> np.ndarray:
    """Return whole numbers as int64.

    Parameters
    ----------
    values : array_like
    name : str
        What a message calls them.
    ndim : int

    Raises
    ------
    InputError
        If they are not whole numbers in `ndim` dimensions.
    """
    array = np.array(values)
    if array.ndim != ndim or (array.size and array.dtype.kind not in "iu"):
        raise InputError(
            f"{name} must be whole numbers in {ndim} dimension(s), got "
            f"{array.dtype} of shape {array.shape}."
        )
    return array.astype(np.int64)


def check_bonds(bonds: np.ndarray | None, n_atoms: int) -> None:
    """Refuse bonds that are not pairs of atoms.

    Parameters
    ----------
    bonds : (B, 2) ndarray of int64 or None
    n_atoms : int

    Raises
    ------
    InputError
        If an entry is not the number of an atom.
    """
    if bonds is None:
        return
    pairs = bonds.ndim == 2 and bonds.shape[1] == 2
    if not pairs or (len(bonds) and not 0 <= bonds.min() <= bonds.max() < n_atoms):
        raise InputError(
            f"Bonds must be pairs of atom numbers from 0 to {n_atoms - 1}, shape (B, "
            "2)."
        )
