r"""Rotation-invariant numbers of tokens, for estimators that take flat inputs.

A network gives each token i scalars :math:`s_i` (C) and vectors :math:`V_i` (3, C).
TICA, UMAP and k-means must not see the vectors themselves, which turn with the
molecule; they get K invariant numbers per token, the same K for every token:

``"scalars"``
    :math:`s_i`; K = C.
``"norms"``
    :math:`s_i` and the lengths :math:`|V_{i,c}|`; K = 2 C.
``"geometric"``
    :math:`s_i`, and with three fixed mixes of the channels
    :math:`a_{im} = V_i A_m,\; b_{im} = V_i B_m,\; c_{im} = V_i C_m` for
    m = 1 ... 16 and with i+1, i+2 the tokens that follow i in its chain

    .. math::
        a_{im} \cdot b_{i+1,m}, \qquad
        a_{im} \cdot (b_{im} \times c_{im}), \qquad
        a_{im} \cdot (b_{i+1,m} \times c_{i+2,m});

    K = C + 48. Numbers whose neighbour token is absent are zero.
``"spatial"``
    The geometric ones, and how many other tokens lie in eight soft shells around the
    token, 4 to 18 Å from it (:mod:`mdgeomfeat.featurizer.surroundings`); K = C + 56.

Scalars, norms and distances are the same for a structure and its mirror image. The
triple products change sign under reflection, so that processes between mirror images
become visible, and the products between tokens say how tokens are turned against each
other. The columns of A, B and C are random directions of unit length in channel space,
so that a mixed vector is about as long as one channel's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import DEFAULT_SEED, FeatureSpec
from mdgeomfeat.featurizer.surroundings import N_SHELLS, Surroundings

if TYPE_CHECKING:
    from mdgeomfeat.structure import Structure

__all__ = [
    "N_MIXES",
    "channel_mixes",
    "compute_invariants",
    "frame_invariants",
    "invariant_names",
    "n_invariants",
    "token_invariants",
]

N_MIXES = 16

# Frames handled at once: bounds the memory for mixed vectors on long trajectories.
_BLOCK = 256


def n_invariants(spec: FeatureSpec, n_channels: int) -> int:
    """Return K, the numbers per token.

    Parameters
    ----------
    spec : FeatureSpec
    n_channels : int
        Channels C of a token.
    """
    _refuse_undecided(spec)
    extra = {
        "scalars": 0,
        "norms": n_channels,
        "geometric": 3 * N_MIXES,
        "spatial": 3 * N_MIXES + N_SHELLS,
    }
    return n_channels + extra[spec.invariants]


def invariant_names(spec: FeatureSpec, n_channels: int) -> list[str]:
    """Return the K names of a token's numbers.

    ``s`` scalars, ``|v|`` norms, ``dot`` with the next token, ``triple`` inside the
    token, ``chain`` across three consecutive tokens, ``shell`` the tokens around it.

    Parameters
    ----------
    spec : FeatureSpec
    n_channels : int
        C.

    Examples
    --------
    >>> invariant_names(FeatureSpec(invariants="norms"), 2)
    ['s000', 's001', '|v|000', '|v|001']
    """
    _refuse_undecided(spec)
    names = [f"s{c:03d}" for c in range(n_channels)]
    if spec.invariants == "norms":
        names += [f"|v|{c:03d}" for c in range(n_channels)]
    if spec.invariants in ("geometric", "spatial"):
        for word in ("dot", "triple", "chain"):
            names += [f"{word}{m:02d}" for m in range(N_MIXES)]
    if spec.invariants == "spatial":
        names += [f"shell{k}" for k in range(N_SHELLS)]
    return names


def _refuse_undecided(spec: FeatureSpec) -> None:
    if spec.invariants == "auto":
        raise InputError(
            "invariants='auto' depends on the number of tokens; use "
            "spec.decided(n_tokens), or name the kind."
        )


def channel_mixes(n_channels: int, seed: int = DEFAULT_SEED) -> NDArray[np.float64]:
    """Return the fixed mixes A, B and C: random unit columns.

    Normal numbers are made from the bit generator's raw output by the Box-Muller
    formula, because NumPy promises that only the raw output never changes; features
    must stay the same for as long as a model trained on them is in use.

    Returns
    -------
    mixes : (3, C, 16) ndarray
    """
    n = 3 * n_channels * N_MIXES
    raw = np.random.PCG64(seed).random_raw(2 * n)
    uniform = ((raw >> np.uint64(11)) + 0.5) * 2.0**-53
    radius, angle = np.sqrt(-2 * np.log(uniform[:n])), 2 * np.pi * uniform[n:]
    mixes = (radius * np.cos(angle)).reshape(3, n_channels, N_MIXES)
    units: NDArray[np.float64] = mixes / np.linalg.norm(mixes, axis=1, keepdims=True)
    return units


def compute_invariants(
    scalars: NDArray[np.floating],
    vectors: NDArray[np.floating],
    next_token: NDArray[np.int64],
    spec: FeatureSpec,
    shells: NDArray[np.floating] | None = None,
) -> NDArray[np.floating]:
    """Turn token features into rotation-invariant numbers.

    Parameters
    ----------
    scalars : (F, N, C) array_like
    vectors : (F, N, 3, C) array_like
    next_token : (N,) ndarray of int
        Token that follows in the same unbroken chain, -1 at its end.
    spec : FeatureSpec
        Which numbers; it must be stored with whatever is learnt from them.
    shells : (F, N, 8) ndarray, optional
        What :class:`Surroundings` counts in the same frames; spatial invariants need
        them.

    Returns
    -------
    features : (F, N, K) ndarray
        In the precision of `scalars`, at least float32.

    Raises
    ------
    InputError
        If the shapes do not fit each other, or shells are missing.
    """
    n_frames, n_tokens, n_channels = scalars.shape
    if vectors.shape != (n_frames, n_tokens, 3, n_channels):
        raise InputError(
            f"Vectors have the shape {vectors.shape} where scalars of shape "
            f"{scalars.shape} need {(n_frames, n_tokens, 3, n_channels)}."
        )
    wanted, given = (n_frames, n_tokens, N_SHELLS), getattr(shells, "shape", None)
    if spec.invariants == "spatial" and given != wanted:
        raise InputError(
            f"Spatial invariants need shells of shape {wanted}, but got {given}; "
            "compute them with Surroundings from the positions of the same frames."
        )
    out = np.empty(
        (n_frames, n_tokens, n_invariants(spec, n_channels)),
        dtype=np.promote_types(scalars.dtype, np.float32),
    )
    mixes = channel_mixes(n_channels, spec.invariants_seed).astype(out.dtype)
    for first in range(0, n_frames, _BLOCK):
        block = slice(first, first + _BLOCK)
        s, v = (np.asarray(x[block], dtype=out.dtype) for x in (scalars, vectors))
        near = None if shells is None else np.asarray(shells[block], dtype=out.dtype)
        out[block] = token_invariants(s, v, next_token, spec, mixes, near)
    return out


def frame_invariants(
    scalars: NDArray[np.floating],
    vectors: NDArray[np.floating],
    positions: NDArray[np.floating] | None = None,
    boxes: NDArray[np.floating] | None = None,
    *,
    structure: Structure,
    spec: FeatureSpec,
) -> NDArray[np.floating]:
    """Turn the token features of frames into invariants, with their surroundings.

    Parameters
    ----------
    scalars : (F, N, C) ndarray
    vectors : (F, N, 3, C) ndarray
    positions : (F, A, 3) ndarray, Å, optional
        Of the same frames, with whole tokens; spatial invariants need them.
    boxes : (F, 6) ndarray, optional
    structure : Structure
    spec : FeatureSpec

    Returns
    -------
    (F, N, K) ndarray
    """
    shells = None
    if spec.invariants == "spatial" and positions is not None:
        shells = Surroundings(structure, spec)(positions, boxes)
    return compute_invariants(scalars, vectors, structure.next_token, spec, shells)


def token_invariants(
    scalars: Any,
    vectors: Any,
    next_token: NDArray[np.int64],
    spec: FeatureSpec,
    mixes: Any,
    shells: Any = None,
    xp: Any = np,
) -> Any:
    """Return the invariants of arrays or tensors: what they are is said here only.

    Parameters
    ----------
    scalars : (F, N, C) array
    vectors : (F, N, 3, C) array
    next_token : (N,) ndarray of int
    spec : FeatureSpec
    mixes : (3, C, 16) array
        Of :func:`channel_mixes`, in the precision of the features.
    shells : (F, N, 8) array, optional
        For spatial invariants, in the same precision.
    xp : module
        Whose arrays these are: NumPy, or torch, which can differentiate it. The
        slope of a length is zero where the vector is.

    Returns
    -------
    (F, N, K) array
    """
    if spec.invariants == "scalars":
        return scalars
    if spec.invariants == "norms":
        square = (vectors * vectors).sum(axis=2)
        absent = square == 0
        return xp.concatenate([scalars, xp.sqrt(square + absent) * ~absent], axis=-1)
    parts = [scalars, *_products(vectors, next_token, mixes, xp)]
    if spec.invariants == "spatial":
        parts.append(shells)
    return xp.concatenate(parts, axis=-1)


def _products(
    v: Any, next_token: NDArray[np.int64], mixes: Any, xp: Any
) -> tuple[Any, Any, Any]:
    """Return dot products with the next token, and triple ones within and across."""
    a, b, c = (v @ mix for mix in mixes)
    following = np.asarray(next_token)
    first = np.flatnonzero(following >= 0)
    second = following[first]
    dots, inside, across = (xp.zeros_like(a[:, :, 0]) for _ in range(3))
    dots[:, first] = (a[:, first] * b[:, second]).sum(axis=2)
    inside[:] = _determinants(a, b, c)
    third = following[second]
    first, second, third = (x[third >= 0] for x in (first, second, third))
    across[:, first] = _determinants(a[:, first], b[:, second], c[:, third])
    return dots, inside, across


def _determinants(a: Any, b: Any, c: Any) -> Any:
    """Return a . (b x c) along axis 2."""
    (a0, a1, a2), (b0, b1, b2), (c0, c1, c2) = (
        (x[:, :, 0], x[:, :, 1], x[:, :, 2]) for x in (a, b, c)
    )
    return (
        a0 * (b1 * c2 - b2 * c1) + a1 * (b2 * c0 - b0 * c2) + a2 * (b0 * c1 - b1 * c0)
    )
