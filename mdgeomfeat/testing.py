"""Checks for everything that maps atoms to scalars and vectors.

They serve our own tests and anyone who brings another network, engine or pooling:
whatever takes atomic numbers, positions and boxes can be checked in one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import torch

from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.neighbors import lattice_vectors, neighbor_list

__all__ = [
    "TOLERANCES",
    "Compute",
    "assert_equivariant",
    "assert_parity",
    "compute_features",
    "random_rotation",
    "relative_error",
]

#: (numbers (A,), positions (F, A, 3) Å, boxes (F, 6) or None) to scalars (F, A, C)
#: and vectors (F, A, 3, C).
Compute = Callable[
    [np.ndarray, np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray]
]

#: Largest relative L2 difference between results that should be equal.
TOLERANCES: Final = {torch.float64: 1e-10, torch.float32: 1e-5}


def random_rotation(seed: int = 0) -> np.ndarray:
    """Draw a proper rotation, uniform over all of them.

    Parameters
    ----------
    seed : int

    Returns
    -------
    (3, 3) ndarray of float64

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.testing import random_rotation
    >>> rotation = random_rotation(seed=1)
    >>> bool(np.allclose(rotation @ rotation.T, np.eye(3)))
    True
    >>> round(float(np.linalg.det(rotation)), 6)
    1.0
    """
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else q[:, [1, 0, 2]]


def relative_error(got: np.ndarray, expected: np.ndarray) -> float:
    """Return the L2 norm of the difference over that of `expected`.

    Infinite where a value is not finite, or where the shapes differ; the norm of the
    difference itself where `expected` is zero.

    Parameters
    ----------
    got, expected : arrays of one shape
        What was computed, and what is right.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.testing import relative_error
    >>> round(relative_error(np.array([1.0, 2.2]), np.array([1.0, 2.0])), 3)
    0.089
    >>> relative_error(np.ones(2), np.ones(3))
    inf
    """
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape or not np.isfinite(got).all():
        return float("inf")
    error = np.linalg.norm(got.astype(np.float64) - expected)
    return float(error / (np.linalg.norm(expected) or 1.0))


def compute_features(
    model: Backbone,
    numbers: np.ndarray,
    positions: np.ndarray,
    boxes: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute features with the reference path, every neighbour included.

    Parameters
    ----------
    model : Backbone
    numbers : (A,) ndarray of int
        Atomic numbers.
    positions : (F, A, 3) ndarray, Å
    boxes : (F, 6) ndarray, optional
        Å and degrees, as MDAnalysis gives them.

    Returns
    -------
    scalars, vectors : (F, A, C) ndarray, (F, A, 3, C) ndarray
        In the model's type.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat import load_model
    >>> from mdgeomfeat.testing import compute_features
    >>> positions = np.array([[[0.0, 0.0, 0.0], [1.2, 0.0, 0.0]]])  # CO, one frame, Å
    >>> scalars, vectors = compute_features(load_model(), np.array([6, 8]), positions)
    >>> scalars.shape, vectors.shape
    ((1, 2, 64), (1, 2, 3, 64))
    """
    positions = np.asarray(positions)
    F, A, _ = positions.shape
    edges = neighbor_list(
        positions,
        model.spec.cutoff,
        boxes,
        backend="torch",
        dtype=model.dtype,
        device=model.device,
    )
    repeated = torch.as_tensor(np.tile(numbers, F), device=model.device)
    with torch.no_grad():
        scalars, vectors = model(repeated.long(), edges)
    return (
        scalars.cpu().numpy().reshape(F, A, -1),
        vectors.cpu().numpy().reshape(F, A, 3, -1),
    )


def assert_parity(
    got: tuple[np.ndarray, np.ndarray],
    expected: tuple[np.ndarray, np.ndarray],
    rtol: float,
) -> None:
    """Assert that scalars and vectors equal stored ones.

    Parameters
    ----------
    got, expected : (scalars, vectors)
        Arrays of equal shapes.
    rtol : float
        Largest relative L2 difference of each.

    Raises
    ------
    AssertionError
        With both differences.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.testing import assert_parity
    >>> scalars, vectors = np.ones((1, 4, 8)), np.ones((1, 4, 3, 8))
    >>> assert_parity((scalars, vectors), (scalars, vectors), rtol=1e-5)
    >>> assert_parity((scalars, 2 * vectors), (scalars, vectors), rtol=1e-5)
    Traceback (most recent call last):
        ...
    AssertionError: features differ from the expected ones by 0.00e+00 (scalars) ...
    """
    errors = [relative_error(a, b) for a, b in zip(got, expected, strict=True)]
    if not max(errors) < rtol:
        raise AssertionError(
            f"features differ from the expected ones by {errors[0]:.2e} (scalars) and "
            f"{errors[1]:.2e} (vectors), relative; allowed is {rtol:.0e}"
        )


_Pair = tuple[np.ndarray, np.ndarray]
_Check = tuple[str, _Pair, _Pair]


def _checks(
    compute: Compute,
    numbers: np.ndarray,
    positions: np.ndarray,
    boxes: np.ndarray | None,
    seed: int,
) -> Iterator[_Check]:
    """Yield (name, features of the changed input, features expected from it)."""
    rng = np.random.default_rng(seed)
    n_frames, n_atoms, _ = positions.shape
    scalars, vectors = compute(numbers, positions, boxes)

    def turned(matrix: np.ndarray) -> tuple[_Pair, _Pair]:
        expected = scalars, np.einsum("xy,fayc->faxc", matrix, vectors)
        return compute(numbers, positions @ matrix.T, None), expected

    if boxes is None:
        rotation = random_rotation(seed)
        yield ("rotation", *turned(rotation))
        yield ("inversion", *turned(-np.eye(3)))
        yield ("reflection", *turned(rotation @ np.diag([1.0, 1.0, -1.0])))
    else:
        lattice = np.asarray(lattice_vectors(boxes), dtype=np.float64)
        images = rng.integers(-2, 3, size=positions.shape)
        shifted = positions + np.einsum("fax,fxy->fay", images, lattice)
        yield (
            "lattice shift of each atom",
            compute(numbers, shifted, boxes),
            (scalars, vectors),
        )
    shift = rng.uniform(-5.0, 5.0, size=3)
    yield "translation", compute(numbers, positions + shift, boxes), (scalars, vectors)

    order = rng.permutation(n_atoms)
    yield (
        "order of atoms",
        compute(numbers[order], positions[:, order], boxes),
        (scalars[:, order], vectors[:, order]),
    )
    parts = [
        compute(numbers, positions[[f]], None if boxes is None else boxes[[f]])
        for f in reversed(range(n_frames))
    ]
    yield (
        "one frame at a time",
        (np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])),
        (scalars[::-1], vectors[::-1]),
    )


def assert_equivariant(
    model: Backbone | Compute,
    numbers: np.ndarray,
    positions: np.ndarray,
    boxes: np.ndarray | None = None,
    *,
    rtol: float | None = None,
    seed: int = 0,
) -> None:
    """Assert that features follow their atoms.

    Without a box: scalars do not change and vectors turn along under a rotation, an
    inversion and a reflection. With one: neither changes when atoms move by lattice
    vectors. In both cases: neither changes under a translation, a new order of the
    atoms, or another batch.

    Parameters
    ----------
    model : Backbone or callable
        A network, or a function of (numbers, positions, boxes) that returns scalars
        (F, A, C) and vectors (F, A, 3, C).
    numbers : (A,) ndarray of int
        Atomic numbers.
    positions : (F, A, 3) ndarray, Å
    boxes : (F, 6) ndarray, optional
        Å and degrees.
    rtol : float, optional
        Largest relative L2 difference; by default what :data:`TOLERANCES` has for
        the type of the network, or of the features that come out.
    seed : int
        Of the random rotation, shift and order.

    Raises
    ------
    AssertionError
        Naming every check with its differences.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.gnn import ModelSpec, build_model
    >>> positions = np.random.default_rng(0).uniform(0, 4, size=(2, 5, 3))
    >>> model = build_model(ModelSpec(n_layers=2, n_channels=16), seed=0).double()
    >>> assert_equivariant(model, np.array([6, 1, 7, 8, 6]), positions)
    """
    numbers = np.asarray(numbers)
    positions = np.asarray(positions, dtype=np.float64)
    if positions.ndim != 3 or positions.shape[1:] != (len(numbers), 3):
        raise InputError(
            f"Positions have shape {positions.shape}, but must be (n_frames, "
            f"{len(numbers)}, 3) for {len(numbers)} atomic numbers."
        )
    if boxes is not None:
        boxes = np.broadcast_to(np.asarray(boxes), (len(positions), 6))
    compute: Compute
    if isinstance(model, Backbone):
        backbone = model

        def compute(
            numbers: np.ndarray, positions: np.ndarray, boxes: np.ndarray | None
        ) -> _Pair:
            return compute_features(backbone, numbers, positions, boxes)

    else:
        compute = model

    lines, failed = [], False
    for name, got, expected in _checks(compute, numbers, positions, boxes, seed):
        dtype = torch.float64 if got[0].dtype == np.float64 else torch.float32
        allowed = TOLERANCES[dtype] if rtol is None else rtol
        errors = [relative_error(a, b) for a, b in zip(got, expected, strict=True)]
        bad = not max(errors) < allowed
        failed |= bad
        lines.append(
            f"  {'FAILED' if bad else 'ok':6s}  {name:26s} scalars {errors[0]:.1e}  "
            f"vectors {errors[1]:.1e}  (allowed {allowed:.0e})"
        )
    if failed:
        kind = type(model).__name__
        raise AssertionError("\n".join([f"{kind} is not equivariant:", *lines]))
