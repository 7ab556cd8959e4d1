"""Frames as graphs of torch-geometric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.boxes import lattice_vectors

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["frame_graph"]


def frame_graph(
    numbers: NDArray[np.int64],
    token_of_atom: NDArray[np.int64],
    bonds: NDArray[np.int64] | None,
    positions: NDArray[np.float64],
    box: NDArray[np.float64] | None = None,
) -> Data:
    """Put a frame in the form that graph networks of torch-geometric take.

    Parameters
    ----------
    numbers, token_of_atom : (A,) ndarray of int64
    bonds : (B, 2) ndarray of int64 or None
        None where they are not known.
    positions : (A, 3) ndarray, Å
        Of whole molecules.
    box : (6,) ndarray, optional
        Lengths in Å, angles in degrees.

    Returns
    -------
    torch_geometric.data.Data
        As :meth:`~mdgeomfeat.Structure.to_data` describes it.
    """
    import torch
    from torch_geometric.data import Data

    data = Data(
        z=torch.from_numpy(numbers.copy()),
        token=torch.from_numpy(token_of_atom.copy()),
        pos=torch.from_numpy(positions.astype(np.float32)),
    )
    if box is not None:
        data.cell = torch.from_numpy(lattice_vectors(box[None]).astype(np.float32))
    if bonds is not None:
        both = np.concatenate([bonds, bonds[:, ::-1]]).T
        data.edge_index = torch.from_numpy(np.ascontiguousarray(both))
    return data
