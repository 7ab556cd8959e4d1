"""Residue tokens of a protein in one call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..featurizer.transformer import GeomGNNTransformer
from ..gnn import Backbone
from ..structure import Structure
from ..structure.selected import select_structure
from .domains import Domain, read_domain

if TYPE_CHECKING:
    from MDAnalysis.core.groups import AtomGroup
    from MDAnalysis.core.universe import Universe

__all__ = ["ResidueTokens", "residue_tokens"]


class ResidueTokens(NamedTuple):
    """Features of the residues of one structure.

    Examples
    --------
    >>> from mdgeomfeat.folds import residue_tokens
    >>> tokens = residue_tokens("top.pdb")
    >>> tokens.scalars.shape, tokens.vectors.shape
    ((3, 64), (3, 3, 64))
    """

    scalars: NDArray[np.float32]  #: (T, C)
    vectors: NDArray[np.float32]  #: (T, 3, C)
    structure: Structure

    @property
    def joined(self) -> NDArray[np.float32]:
        """Scalars and vectors as (T, 1 + 3, C), scalars first."""
        return np.concatenate([self.scalars[:, None], self.vectors], axis=1)


def residue_tokens(
    source: str | Path | Domain | Universe | AtomGroup | tuple[Any, Any, Any],
    model: str | Path | Backbone = "default",
    *,
    engine: str = "auto",
    allow_unseen: bool = False,
    allow_implausible: bool = False,
) -> ResidueTokens:
    """Compute the token of every residue of a protein, in its own conformation.

    The features are those of :class:`~mdgeomfeat.GeomGNNTransformer`, mean over the
    atoms of a residue. No box is used, also where a file states one: that of a crystal
    would add its other copies.

    Parameters
    ----------
    source : path, Domain, Universe, AtomGroup, or (numbers, positions, residues)
        A structure file or a domain in HDF5 (see
        :func:`~mdgeomfeat.folds.domains.read_domain`); of a Universe the current
        frame; or arrays: atomic numbers (A,), positions (A, 3) in Å, and the residue
        of each atom (A,), 0 … T - 1.
    model : str, path or Backbone
    engine, allow_unseen, allow_implausible
        As for :class:`~mdgeomfeat.GeomGNNTransformer`.

    Returns
    -------
    ResidueTokens

    Raises
    ------
    InputError
        If the structure cannot be used, or holds elements the network never saw.

    Examples
    --------
    >>> from mdgeomfeat.folds import residue_tokens
    >>> tokens = residue_tokens("top.pdb")
    >>> tokens.structure.token_labels(), tokens.joined.shape
    (['A:ACE1', 'A:GLY2', 'A:NME3'], (3, 4, 64))
    """
    structure, positions = _atoms(source)
    transformer = GeomGNNTransformer(
        structure,
        engine=engine,
        allow_implausible=allow_implausible,
        model=model,
        allow_unseen=allow_unseen,
        invariants="scalars",
        periodic=False,
    ).fit()
    scalars, vectors = transformer.encode(positions[None])
    return ResidueTokens(scalars[0], vectors[0], structure)


def _atoms(source: Any) -> tuple[Structure, NDArray[np.float64]]:
    if isinstance(source, str | Path):
        source = read_domain(source)
    if isinstance(source, Domain):
        return source.structure, source.positions
    if isinstance(source, tuple):
        if len(source) != 3:
            raise InputError(
                f"A tuple of {len(source)} is not a protein; give atomic numbers, "
                "positions and the residue of each atom."
            )
        numbers, positions, residues = source
        return Structure.from_arrays(numbers, residues), np.asarray(positions, float)
    if getattr(source, "universe", None) is None:
        raise InputError(
            f"Got a {type(source).__name__} as protein; give a path, a Domain, a "
            "Universe, an AtomGroup, or (numbers, positions, residues)."
        )
    atoms, structure = select_structure(source)
    return structure, atoms.positions.astype(np.float64)
