"""What the atoms of a trajectory are: elements, tokens, chains, selections, boxes."""

from mdgeomfeat.structure.elements import resolve_elements
from mdgeomfeat.structure.selection import select_atoms
from mdgeomfeat.structure.structure import Structure, Tokens, Windows, make_whole

__all__ = [
    "Structure",
    "Tokens",
    "Windows",
    "make_whole",
    "resolve_elements",
    "select_atoms",
]
