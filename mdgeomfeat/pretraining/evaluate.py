"""How well noise is predicted, in numbers that can be compared.

The error is the mean squared difference between the predicted and the true noise in
units of σ², over atoms and components: 1 predicts nothing. A molecule's translation
and rotation cannot be known, so a perfect network still leaves

    floor = Σ degrees of freedom lost (3, 5 or 6) / Σ 3 A

of it, and (1 - error) / (1 - floor) is the share explained of what can be known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .denoiser import Denoiser
from .packed import Packed
from .task import Batch, make_batch

__all__ = [
    "DenoisingError",
    "denoising_error",
    "errors_by_source",
    "predictor",
    "rigid_freedom",
]

#: (numbers, positions, graph_ptr) -> noise in units of its standard deviation, (M, 3).
Predict = Callable[
    [NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]], NDArray[np.floating]
]
MODES = {"all": 0, "heavy": 1, "some hydrogens": 2}


@dataclass(frozen=True, kw_only=True)
class DenoisingError:
    """Normalised denoising error of one set.

    Parameters
    ----------
    mse : float
        Averaged over atoms and components; 1 predicts nothing.
    floor : float
        What translation and rotation leave.
    n_atoms, n_graphs : int
    by_element : dict of int to float
        `mse` of the atoms of each element.
    """

    mse: float
    floor: float
    n_atoms: int
    n_graphs: int
    by_element: dict[int, float]

    @property
    def explained(self) -> float:
        """Share of what can be known that is predicted."""
        return (1.0 - self.mse) / (1.0 - self.floor)

    def to_dict(self) -> dict[str, Any]:
        """Return rounded JSON types."""
        return {
            "mse": round(self.mse, 4),
            "floor": round(self.floor, 4),
            "explained": round(self.explained, 4),
            "atoms": self.n_atoms,
            "graphs": self.n_graphs,
            "by_element": {str(k): round(v, 4) for k, v in self.by_element.items()},
        }


def rigid_freedom(positions: NDArray[np.floating]) -> int:
    """Degrees of freedom of rigid motion: 3 for an atom, 5 on a line, else 6.

    Parameters
    ----------
    positions : ndarray, shape (A, 3), Å
        Without noise.
    """
    if len(positions) == 1:
        return 3
    spread = np.linalg.svd(positions - positions.mean(0), compute_uv=False)
    return 5 if spread[1] < 1e-3 * spread[0] else 6


def predictor(denoiser: Denoiser, *, fast: bool = False) -> Predict:
    """Turn a network into a function of arrays."""

    def predict(
        numbers: NDArray[np.int64],
        positions: NDArray[np.float32],
        graph_ptr: NDArray[np.int64],
    ) -> NDArray[np.floating]:
        with torch.no_grad():
            guess = denoiser(numbers, positions, graph_ptr, fast=fast)
        values: NDArray[np.floating] = guess.cpu().numpy()
        return values

    return predict


def denoising_error(
    predict: Predict,
    data: Packed,
    indices: NDArray[np.int64],
    *,
    atoms: str = "all",
    sigma: float = 0.2,
    seed: int = 0,
    batch_graphs: int = 200,
) -> DenoisingError:
    """Measure the denoising error on some conformations.

    Parameters
    ----------
    predict : callable
        See `predictor`.
    data : Packed
    indices : ndarray, shape (G,)
    atoms : {"all", "heavy", "some hydrogens"}
    sigma : float, Å
    seed : int
        Of the noise; equal for every model that is compared.
    batch_graphs : int

    Returns
    -------
    DenoisingError
    """
    rng = np.random.default_rng(seed)
    squares: list[NDArray[np.float64]] = []
    numbers: list[NDArray[np.int64]] = []
    lost = 0
    for start in range(0, len(indices), batch_graphs):
        part = indices[start : start + batch_graphs]
        batch = make_batch(
            data, part, np.full(len(part), MODES[atoms]), np.full(len(part), sigma), rng
        )
        guess = predict(batch.numbers, batch.positions, batch.graph_ptr)
        squares.append(((guess - batch.noise).astype(np.float64) ** 2).mean(axis=1))
        numbers.append(batch.numbers)
        lost += _lost(batch, sigma)
    error, z = np.concatenate(squares), np.concatenate(numbers)
    return DenoisingError(
        mse=float(error.mean()),
        floor=lost / (3.0 * len(z)),
        n_atoms=len(z),
        n_graphs=len(indices),
        by_element={int(e): float(error[z == e].mean()) for e in np.unique(z)},
    )


def _lost(batch: Batch, sigma: float) -> int:
    clean = batch.positions - sigma * batch.noise
    return sum(
        rigid_freedom(clean[a:b])
        for a, b in zip(batch.graph_ptr[:-1], batch.graph_ptr[1:], strict=True)
    )


def errors_by_source(
    predict: Predict,
    data: Packed,
    *,
    split: str = "validation",
    validation: float = 0.02,
    sigmas: tuple[float, ...] = (0.2,),
    seed: int = 0,
    limit: int = 400,
) -> list[dict[str, Any]]:
    """Measure every source of a packed file apart.

    Parameters
    ----------
    predict : callable
        See `predictor`.
    data : Packed
    split : {"validation", "train"}
    validation : float
        Share of validation molecules, the one that the run was made with.
    sigmas : tuple of float, Å
    seed : int
    limit : int
        Conformations per source, evenly spread.

    Returns
    -------
    list of dict
        ``source``, ``seen``, ``sigma`` and the entries of `DenoisingError.to_dict`.
    """
    rows = []
    inside = data.indices(split, validation)
    source = data.source_of[data.mol_of[inside]]
    for number, name in enumerate(data.sources):
        members = inside[source == number]
        if not len(members):
            continue
        members = members[
            np.linspace(0, len(members) - 1, min(limit, len(members))).astype(int)
        ]
        for atoms in ("all", "heavy"):
            for sigma in sigmas:
                error = denoising_error(
                    predict, data, members, atoms=atoms, sigma=sigma, seed=seed
                )
                row = {"source": name, "seen": atoms, "sigma": sigma}
                rows.append({**row, **error.to_dict()})
    return rows
