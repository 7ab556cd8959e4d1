"""From token features to collective variables and back, without an autograd graph.

Pooled features of one frame go through invariants, standardiser and linear map in a
handful of products; only a lobe is left to torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from mdgeomfeat.featurizer.invariants import N_MIXES
from mdgeomfeat.jit import cached_njit
from mdgeomfeat.variables.training import flat_tokens

if TYPE_CHECKING:
    from mdgeomfeat.variables.outputs import TokenOutputs

__all__ = ["TokenHead"]

#: By scalars, vectors and shells.
Slopes = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


class TokenHead:
    """The outputs of one frame and their gradients by its token features.

    Parameters
    ----------
    outputs : TokenOutputs
        On the CPU.
    """

    def __init__(self, outputs: TokenOutputs) -> None:
        self._next = np.array(outputs.next_token, np.int64)
        self._lobe = outputs.lobe
        self._joined = outputs.joined and self._lobe is not None
        # Linear maps see the vectors of joined channels by their norms.
        self._kind = "norms" if outputs.joined else outputs.features.invariants
        self._shift = outputs.shift.numpy()
        self._factor = outputs.factor.numpy()
        self._matrix = outputs.matrix.numpy()
        self._offset = outputs.offset.numpy()
        self._reach = outputs.reach
        self._slopes = np.ascontiguousarray((self._factor[:, None] * self._matrix).T)
        mixes = outputs.mixes.numpy().astype(np.float32)
        self._mixes = np.ascontiguousarray(np.concatenate(list(mixes), axis=1))

    def __call__(
        self,
        scalars: NDArray[np.float32],
        vectors: NDArray[np.float32],
        shells: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.float64], Slopes]:
        """Compute outputs and gradients.

        Parameters
        ----------
        scalars : (N, C) float32 array
        vectors : (N, 3, C) float32 array
        shells : (N, S) array, optional
            The surroundings of tokens, where the model takes them.

        Returns
        -------
        values : (d,) ndarray
        slopes : (d, N, C), (d, N, 3, C) and (d, N, S) float32 ndarray
        """
        N, C = scalars.shape
        if self._joined:
            joined = np.concatenate([scalars[:, None], vectors], axis=1)
            values, slopes = self._outputs(joined)
            return values, (slopes[:, :, 0], slopes[:, :, 1:], slopes[:, :, 0, :0])
        if self._kind == "scalars":
            values, slopes = self._outputs(scalars)
            by_vectors = np.zeros((len(slopes), *vectors.shape), np.float32)
            return values, (slopes, by_vectors, slopes[:, :, :0])
        if self._kind == "norms":
            norms = np.sqrt((vectors * vectors).sum(axis=1))
            values, slopes = self._outputs(np.concatenate([scalars, norms], axis=1))
            inverse = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
            by_norm = slopes[:, :, C:] * inverse
            by_vectors = by_norm[:, :, None] * vectors
            return values, (slopes[:, :, :C], by_vectors, slopes[:, :, :0])
        mixed = (vectors.reshape(-1, C) @ self._mixes).reshape(len(vectors), 3, -1)
        products = np.empty((len(vectors), 3 * N_MIXES), np.float32)
        _products(mixed, self._next, products)
        near = np.empty((N, 0)) if shells is None else shells
        numbers = [scalars, products, near.astype(np.float32)]
        values, slopes = self._outputs(np.concatenate(numbers, axis=1))
        by_scalars, by_products, by_shells = np.split(
            slopes, [C, C + products.shape[1]], axis=2
        )
        by_mixed = np.zeros((len(slopes), *mixed.shape), np.float32)
        _products_back(mixed, self._next, by_products, by_mixed)
        by_vectors = by_mixed.reshape(-1, 3 * N_MIXES) @ self._mixes.T
        return values, (by_scalars, by_vectors.reshape(-1, *vectors.shape), by_shells)

    def _outputs(
        self, features: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Return (d,) outputs of one frame's features and their slopes (d, ...)."""
        values, slopes = self._mapped(features)
        if self._reach is None:
            return values, slopes
        distance, slope = self._reach.slope(flat_tokens(features[None])[0])
        if self._joined:
            by_scalars, by_norms = np.split(slope.reshape(len(features), -1), 2, axis=1)
            vectors = features[:, 1:]
            norms = np.sqrt((vectors * vectors).sum(axis=1))
            inverse = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
            by_vectors = (by_norms * inverse)[:, None] * vectors
            slope = np.concatenate([by_scalars[:, None], by_vectors], axis=1)
        last = slope.astype(np.float32).reshape(1, *features.shape)
        return np.append(values, distance), np.concatenate([slopes, last])

    def _mapped(
        self, features: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Return the variables of one frame's features and their slopes."""
        if self._lobe is None:
            flat = features.reshape(-1).astype(np.float64)
            values = ((flat - self._shift) * self._factor) @ self._matrix + self._offset
            slopes = self._slopes.astype(np.float32).reshape(-1, *features.shape)
            return values, slopes
        x = torch.from_numpy(features).unsqueeze(0).requires_grad_()
        with torch.enable_grad():
            out = self._lobe(x)
        seen = out.detach().numpy()[0].astype(np.float64)
        values = ((seen - self._shift) * self._factor) @ self._matrix + self._offset
        rows = torch.from_numpy(self._slopes.astype(np.float32)).unsqueeze(1)
        # All outputs in one backward pass: the frame stands there d times.
        (by_x,) = torch.autograd.grad(out, x, rows, is_grads_batched=True)
        return values, by_x[:, 0].numpy()


@cached_njit()
def _cross(a, b):
    """Return the cross product of two triples."""
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


@cached_njit()
def _triple(mixed, token, column):
    return mixed[token, 0, column], mixed[token, 1, column], mixed[token, 2, column]


@cached_njit()
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@cached_njit()
def _products(mixed, next_token, out):
    """Write dot, inside and across products (N, 48) of mixed vectors (N, 3, 48)."""
    M = mixed.shape[2] // 3
    for i in range(mixed.shape[0]):
        j = next_token[i]
        k = next_token[j] if j >= 0 else -1
        for m in range(M):
            a = _triple(mixed, i, m)
            b, c = _triple(mixed, i, M + m), _triple(mixed, i, 2 * M + m)
            zero = np.float32(0.0)
            out[i, m] = _dot(a, _triple(mixed, j, M + m)) if j >= 0 else zero
            out[i, M + m] = _dot(a, _cross(b, c))
            out[i, 2 * M + m] = zero
            if k >= 0:
                b, c = _triple(mixed, j, M + m), _triple(mixed, k, 2 * M + m)
                out[i, 2 * M + m] = _dot(a, _cross(b, c))


@cached_njit()
def _add_triple(by, token, column, factor, value):
    by[token, 0, column] += factor * value[0]
    by[token, 1, column] += factor * value[1]
    by[token, 2, column] += factor * value[2]


@cached_njit()
def _add_determinant(mixed, by, i, j, k, m, M, factor):
    """Add the gradient of a_i . (b_j x c_k)."""
    a = _triple(mixed, i, m)
    b, c = _triple(mixed, j, M + m), _triple(mixed, k, 2 * M + m)
    _add_triple(by, i, m, factor, _cross(b, c))
    _add_triple(by, j, M + m, factor, _cross(c, a))
    _add_triple(by, k, 2 * M + m, factor, _cross(a, b))


@cached_njit()
def _products_back(mixed, next_token, by_products, by_mixed):
    """Add the gradients by mixed vectors (d, N, 3, 48) to `by_mixed`."""
    M = mixed.shape[2] // 3
    for s in range(by_products.shape[0]):
        for i in range(mixed.shape[0]):
            j = next_token[i]
            k = next_token[j] if j >= 0 else -1
            for m in range(M):
                by = by_mixed[s]
                _add_determinant(mixed, by, i, i, i, m, M, by_products[s, i, M + m])
                if j >= 0:
                    factor = by_products[s, i, m]
                    _add_triple(by, i, m, factor, _triple(mixed, j, M + m))
                    _add_triple(by, j, M + m, factor, _triple(mixed, i, m))
                if k >= 0:
                    _add_determinant(
                        mixed, by, i, j, k, m, M, by_products[s, i, 2 * M + m]
                    )
