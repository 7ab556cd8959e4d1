"""Frames as graphs of torch-geometric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.boxes import lattice_vectors
from mdgeomfeat.errors import InputError

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from mdgeomfeat.structure.structure import Structure

__all__ = ["frame_graph"]


def frame_graph(structure: Structure, positions: Any, box: Any = None) -> Data:
    """Put a frame in the form that graph networks of torch-geometric take.

    Parameters
    ----------
    structure : Structure
    positions : (A, 3) array, Å
        Of the structure's atoms, in their order.
    box : (6,) array, optional
        Lengths in Å, angles in degrees; molecules are made whole in it.

    Returns
    -------
    torch_geometric.data.Data
        ``z`` (A,), ``pos`` (A, 3) in float32, ``token`` (A,): the token of each atom;
        ``edge_index`` (2, 2 B): the bonds in both directions, where they are known;
        ``cell`` (1, 3, 3): lattice vectors in rows, with a box.

    Raises
    ------
    InputError
        If positions or box do not fit the structure.
    """
    import torch
    from torch_geometric.data import Data

    from mdgeomfeat.structure.structure import make_whole

    x = np.asarray(positions, dtype=np.float64)
    if x.shape != (structure.n_atoms, 3) or not np.isfinite(x).all():
        raise InputError(
            f"positions= has shape {x.shape} or values that are not finite; give "
            f"({structure.n_atoms}, 3) coordinates in Å."
        )
    data = Data(
        z=torch.from_numpy(structure.numbers.copy()),
        token=torch.from_numpy(structure.token_of_atom.copy()),
    )
    if box is not None:
        boxes = np.asarray(box, np.float64).reshape(1, -1)
        x = make_whole(structure, x[None], boxes)[0]
        data.cell = torch.from_numpy(lattice_vectors(boxes).astype(np.float32))
    data.pos = torch.from_numpy(x.astype(np.float32))
    if structure.bonds is not None:
        both = np.concatenate([structure.bonds, structure.bonds[:, ::-1]]).T
        data.edge_index = torch.from_numpy(np.ascontiguousarray(both))
    return data
