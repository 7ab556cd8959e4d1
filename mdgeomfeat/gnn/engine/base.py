"""What every engine offers, and where it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import ArrayLike

from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.neighbors.search import check_positions
from mdgeomfeat.neighbors.windows import WindowsLike

__all__ = ["Engine", "resolve_device"]


class Engine(ABC):
    """A way to compute the features of trajectories with a network.

    Attributes
    ----------
    name : str
        What it is called: ``"torch"``, ``"cpu"`` or ``"cuda"``.
    device : torch.device
    dtype : torch.dtype
        Of the computation and of the results.
    cutoff : float, Å
    n_channels : int
    max_neighbors : int or None
    reason : str
        Why this engine was picked.
    """

    name: str

    def __init__(
        self,
        model: Backbone,
        device: torch.device,
        dtype: torch.dtype,
        max_neighbors: int | None,
        reason: str,
    ) -> None:
        self.device = device
        self.dtype = dtype
        self.cutoff = model.spec.cutoff
        self.n_channels = model.spec.n_channels
        self.max_neighbors = max_neighbors
        self.reason = reason
        self._max_z = model.spec.max_z

    def compute(
        self,
        numbers: ArrayLike,
        positions: ArrayLike,
        boxes: ArrayLike | None = None,
        windows: WindowsLike | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute the features of every atom in every frame.

        Parameters
        ----------
        numbers : (A,) ndarray of int
            Atomic numbers.
        positions : (F, A, 3) ndarray of float32 or float64, Å
        boxes : (F, 6) or (6,) ndarray, optional
            ``[a, b, c, alpha, beta, gamma]``, Å and degrees; rows of zeros are
            frames without a box.
        windows : Windows, optional
            Of ``Structure.windows``: each token is seen in a graph of its own, and
            an atom's features are those it has in the window of its own token.

        Returns
        -------
        scalars : (F, A, C) ndarray
        vectors : (F, A, 3, C) ndarray

        Raises
        ------
        InputError
            If shapes do not match, coordinates are not finite, an atomic number is
            outside the network's table, or a box is too small for the cutoff.
        """
        z = np.asarray(numbers)
        r = np.asarray(positions)
        if r.ndim != 3 or r.shape[2] != 3:
            raise InputError(
                f"Positions have shape {r.shape}, but must be (n_frames, n_atoms, 3)."
            )
        if z.shape != r.shape[1:2]:
            raise InputError(
                f"{z.size} atomic numbers do not fit positions of {r.shape[1]} atoms; "
                "give one number per atom."
            )
        z = z.astype(np.int64)
        if z.size and not (z.min() >= 0 and z.max() < self._max_z):
            worst = z.max() if z.max() >= self._max_z else z.min()
            raise InputError(
                f"Atomic number {worst} is outside the network's table of elements "
                f"(0 to {self._max_z - 1}); leave such atoms out of the selection."
            )
        check_positions(r.reshape(-1, 3), np.arange(len(r) + 1) * r.shape[1])
        return self._compute(z, r, boxes, windows)

    @abstractmethod
    def _compute(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        boxes: ArrayLike | None,
        windows: WindowsLike | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Do what :meth:`compute` promises, with inputs whose shapes are right."""

    def describe(self) -> dict[str, str]:
        """Return what runs where, in words, for ``info`` and provenance."""
        neighbors = "all" if self.max_neighbors is None else str(self.max_neighbors)
        return {
            "engine": self.name,
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
            "neighbors": neighbors,
            "reason": self.reason,
        }


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device that a name stands for.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` is the first CUDA device if there is one, else the CPU.

    Raises
    ------
    InputError
        If there is no such device here.
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"device={device!r} is unknown; choose 'auto', 'cpu', 'cuda' or 'cuda:N'."
        ) from error
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found.type == "cuda" and (found.index or 0) >= count:
        raise InputError(
            f"device={str(found)!r} was asked for, but torch sees {count} CUDA "
            "devices; use device='cpu', or install a CUDA build of torch."
        )
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(
            "device='mps' was asked for, but torch sees none here; use device='cpu'."
        )
    if found.type not in ("cpu", "cuda", "mps"):
        raise InputError(
            f"device={str(found)!r} is not supported; choose 'auto', 'cpu', 'cuda' "
            "or 'cuda:N'."
        )
    return found
