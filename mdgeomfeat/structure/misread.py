"""Elements that may have been read from atom names by mistake."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.structure.elements import SYMBOLS, is_unmistakable

if TYPE_CHECKING:
    from mdgeomfeat.structure.structure import Structure

__all__ = ["doubtful_element"]


def doubtful_element(structure: Structure, numbers: Iterable[int]) -> str | None:
    """Say which of some elements may have been read from an atom name by mistake.

    Parameters
    ----------
    structure : Structure
    numbers : iterable of int
        Atomic numbers.

    Returns
    -------
    str or None
        Such as calcium from CA13 of an atom that is joined to others (an ion alone is
        what it is called), with what to do.
    """
    joined = np.bincount(structure.component)[structure.component] > 1
    for number in sorted(numbers):
        symbol = SYMBOLS[number]
        if is_unmistakable(symbol):
            continue
        names = np.unique(structure.names[(structure.numbers == number) & joined])
        alike = [str(n) for n in names if str(n).upper().startswith(symbol.upper())]
        if len(symbol) > 1 and alike:
            return (
                f"the atom name {alike[0]} may mean {symbol[0]} rather than {symbol}, "
                "so state the elements in the topology (the element column of a PDB "
                "file), or leave these atoms out with select= (--select)"
            )
    return None
