"""From atoms to tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.featurespec import Pooling
from mdgeomfeat.jit import cached_njit

__all__ = ["TokenPool"]


class TokenPool:
    """Sums or averages the atoms of each token.

    Parameters
    ----------
    token_of_atom : (A,) array of int
        Every token has atoms.
    n_tokens : int
    how : {"mean", "sum"}
    """

    def __init__(
        self, token_of_atom: NDArray[np.int64], n_tokens: int, how: Pooling
    ) -> None:
        self._order = np.argsort(token_of_atom, kind="stable")
        counts = np.bincount(token_of_atom, minlength=n_tokens)
        self._ptr = np.concatenate([[0], np.cumsum(counts)])
        self._divisors = counts if how == "mean" else np.ones_like(counts)

    def __call__(self, values: NDArray) -> NDArray:
        """Return one row for each token.

        Parameters
        ----------
        values : (F, A, ...) float array

        Returns
        -------
        (F, N, ...) array
        """
        F, A, *shape = values.shape
        flat = np.ascontiguousarray(values).reshape(F, A, -1)
        divisors = self._divisors.astype(values.dtype)
        out = np.empty((F, len(divisors), flat.shape[2]), values.dtype)
        _pool(flat, self._order, self._ptr, divisors, out)
        return out.reshape(F, len(divisors), *shape)


@cached_njit(error_model="numpy")
def _pool(values, order, ptr, divisors, out):  # type: ignore[no-untyped-def]
    n_frames, n_tokens, width = out.shape
    for f in range(n_frames):
        for n in range(n_tokens):
            first = order[ptr[n]]
            for k in range(width):
                out[f, n, k] = values[f, first, k]
            for at in range(ptr[n] + 1, ptr[n + 1]):
                atom = order[at]
                for k in range(width):
                    out[f, n, k] += values[f, atom, k]
            for k in range(width):
                out[f, n, k] /= divisors[n]
