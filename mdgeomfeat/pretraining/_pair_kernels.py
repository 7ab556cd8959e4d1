# mypy: ignore-errors
# ruff: noqa: ARG001  (numba hands arguments to intrinsics that they do not need)
"""Compiled messages of ET and their gradients, a pair of atoms at a time.

Rows of C channels are vectors of C lanes. All arrays are flat float32: queries
(M, C), what is sent (M, W) as key | scalar | direction | vector (the last only where
there are vectors: W is 3 C or 4 C), vectors and pulls (M, 3, C), the table (R, W).
A batch is cut into chunks of whole graphs, one for each thread, so nothing is
written twice.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange
from numba.extending import intrinsic

from ..gnn.engine.cpu.simd import Lanes, broadcast, lanes, load, muladd, silu, store
from ..jit import cached_njit

__all__ = ["pair_kernels"]


@intrinsic
def _group_sums(typingctx, vector, group):
    """Put the sum over each group of adjacent lanes into all lanes of the group.

    The size of a group is the number of lanes of `group`, a power of two.
    """

    def codegen(context, builder, sig, args):
        value, n, step = args[0], vector.n, 1
        while step < group.n:
            mask = ir.Constant(
                ir.VectorType(ir.IntType(32), n), [lane ^ step for lane in range(n)]
            )
            swapped = builder.shuffle_vector(value, value, mask)
            value = builder.fadd(value, swapped)
            step *= 2
        return value

    if not isinstance(vector, Lanes) or not isinstance(group, Lanes):
        return None
    return vector(vector, group), codegen


@intrinsic
def _inverse(typingctx, vector):
    """Return 1 / x."""

    def codegen(context, builder, sig, args):
        kind = ir.VectorType(ir.FloatType(), vector.n)
        return builder.fdiv(ir.Constant(kind, [1.0] * vector.n), args[0])

    return vector(vector), codegen


@lru_cache(maxsize=8)
def pair_kernels(C: int, D: int) -> tuple[Any, Any]:
    """Compile the two passes for C channels in heads of D.

    Parameters
    ----------
    C, D : int
        `D` has to be a power of two.

    Returns
    -------
    forward, backward : functions
    """
    one = np.float32(1.0)
    # Keeps the quotient silu(x) / x defined at 0.
    tiny = np.float32(1e-30)

    @cached_njit(parallel=True)
    def forward(
        query, sent, vec, table, first, second, row, weight, direction, atom_ptr,
        pair_ptr, self_edges, has_vec, msg, pull,
    ):  # fmt: skip
        W = 4 * C if has_vec else 3 * C
        for chunk in prange(len(atom_ptr) - 1):
            wide, head = lanes(C), lanes(D)
            for i in range(atom_ptr[chunk], atom_ptr[chunk + 1]):
                m, x, y, z = wide, wide, wide, wide
                if self_edges:
                    at = i * W
                    logit = load(query, i * C, wide) * load(sent, at, wide)
                    gate = silu(_group_sums(logit * load(table, 0, wide), head))
                    m = gate * load(sent, at + C, wide) * load(table, C, wide)
                    if has_vec:
                        own = load(sent, at + 3 * C, wide) * load(table, 3 * C, wide)
                        x = own * load(vec, 3 * i * C, wide)
                        y = own * load(vec, 3 * i * C + C, wide)
                        z = own * load(vec, 3 * i * C + 2 * C, wide)
                store(msg, i * C, m)
                store(pull, 3 * i * C, x)
                store(pull, 3 * i * C + C, y)
                store(pull, 3 * i * C + 2 * C, z)
            for p in range(pair_ptr[chunk], pair_ptr[chunk + 1]):
                high, t = broadcast(weight[p], wide), row[p] * W
                low = broadcast(one - weight[p], wide)
                fk = muladd(high, load(table, t + W, wide), low * load(table, t, wide))
                fs = muladd(
                    high, load(table, t + W + C, wide), low * load(table, t + C, wide)
                )
                fd = muladd(
                    high,
                    load(table, t + W + 2 * C, wide),
                    low * load(table, t + 2 * C, wide),
                )
                fv = wide
                if has_vec:
                    fv = muladd(
                        high,
                        load(table, t + W + 3 * C, wide),
                        low * load(table, t + 3 * C, wide),
                    )
                i, j, sign = np.int64(first[p]), np.int64(second[p]), one
                for _ in range(2):
                    at = j * W
                    logit = load(query, i * C, wide) * load(sent, at, wide)
                    gate = silu(_group_sums(logit * fk, head))
                    gated = gate * load(sent, at + C, wide)
                    store(msg, i * C, muladd(gated, fs, load(msg, i * C, wide)))
                    pushed = load(sent, at + 2 * C, wide) * fd
                    own = wide
                    if has_vec:
                        own = load(sent, at + 3 * C, wide) * fv
                    for k in range(3):
                        to, of = (3 * i + k) * C, (3 * j + k) * C
                        part = broadcast(sign * direction[3 * p + k], wide)
                        value = muladd(pushed, part, load(pull, to, wide))
                        if has_vec:
                            value = muladd(own, load(vec, of, wide), value)
                        store(pull, to, value)
                    i, j, sign = j, i, -sign

    @cached_njit(parallel=True)
    def backward(
        query, sent, vec, table, first, second, row, weight, direction, atom_ptr,
        pair_ptr, self_edges, has_vec, g_msg, g_pull, g_query, g_sent, g_vec, g_tables,
    ):  # fmt: skip
        W = 4 * C if has_vec else 3 * C
        for chunk in prange(len(atom_ptr) - 1):
            wide, head = lanes(C), lanes(D)
            unit, small = broadcast(one, wide), broadcast(tiny, wide)
            g_table = g_tables[chunk]
            g_table[:] = np.float32(0.0)
            for i in range(atom_ptr[chunk], atom_ptr[chunk + 1]):
                at = i * W
                store(g_query, i * C, wide)
                for block in range(0, W, C):
                    store(g_sent, at + block, wide)
                if has_vec:
                    for k in range(3):
                        store(g_vec, (3 * i + k) * C, wide)
            n_own = atom_ptr[chunk + 1] - atom_ptr[chunk] if self_edges else 0
            n_pairs = pair_ptr[chunk + 1] - pair_ptr[chunk]
            # Atoms' edges to themselves come first, as pairs with one direction.
            for n in range(n_own + n_pairs):
                own_edge = n < n_own
                p = pair_ptr[chunk] if own_edge else pair_ptr[chunk] + n - n_own
                share = np.float32(0.0)
                t, sides, sign = 0, 1, np.float32(0.0)
                i = j = atom_ptr[chunk] + n
                if not own_edge:
                    share, t, sides, sign = weight[p], row[p] * W, 2, one
                    i, j = np.int64(first[p]), np.int64(second[p])
                high, low = broadcast(share, wide), broadcast(one - share, wide)
                fk = muladd(high, load(table, t + W, wide), low * load(table, t, wide))
                fs = muladd(
                    high, load(table, t + W + C, wide), low * load(table, t + C, wide)
                )
                fd = muladd(
                    high,
                    load(table, t + W + 2 * C, wide),
                    low * load(table, t + 2 * C, wide),
                )
                fv = wide
                if has_vec:
                    fv = muladd(
                        high,
                        load(table, t + W + 3 * C, wide),
                        low * load(table, t + 3 * C, wide),
                    )
                g_fk, g_fs, g_fd, g_fv = wide, wide, wide, wide
                for _ in range(sides):
                    at = j * W
                    q, key = load(query, i * C, wide), load(sent, at, wide)
                    product = q * key
                    logit = _group_sums(product * fk, head) + small
                    gate = silu(logit)
                    sigmoid = gate * _inverse(logit)
                    slope = muladd(gate, unit - sigmoid, sigmoid)
                    g_m, scalar = load(g_msg, i * C, wide), load(sent, at + C, wide)
                    g_gated = g_m * gate
                    to = at + C
                    store(g_sent, to, muladd(g_gated, fs, load(g_sent, to, wide)))
                    g_fs = muladd(g_gated, scalar, g_fs)
                    g_logit = _group_sums(g_m * scalar * fs, head) * slope
                    g_fk = muladd(g_logit, product, g_fk)
                    g_product = g_logit * fk
                    to = i * C
                    store(g_query, to, muladd(g_product, key, load(g_query, to, wide)))
                    store(g_sent, at, muladd(g_product, q, load(g_sent, at, wide)))

                    along, dot, own = wide, wide, wide
                    if has_vec:
                        own = load(sent, at + 3 * C, wide) * fv
                    for k in range(3):
                        of, to = (3 * i + k) * C, (3 * j + k) * C
                        part = np.float32(0.0)
                        if not own_edge:
                            part = sign * direction[3 * p + k]
                        g = load(g_pull, of, wide)
                        along = muladd(g, broadcast(part, wide), along)
                        if has_vec:
                            dot = muladd(g, load(vec, to, wide), dot)
                            store(g_vec, to, muladd(g, own, load(g_vec, to, wide)))
                    to = at + 2 * C
                    g_fd = muladd(along, load(sent, to, wide), g_fd)
                    store(g_sent, to, muladd(along, fd, load(g_sent, to, wide)))
                    if has_vec:
                        to = at + 3 * C
                        g_fv = muladd(dot, load(sent, to, wide), g_fv)
                        store(g_sent, to, muladd(dot, fv, load(g_sent, to, wide)))
                    i, j, sign = j, i, -sign
                for upper in range(2):
                    to = t + upper * W
                    part = high if upper else low
                    store(g_table, to, muladd(part, g_fk, load(g_table, to, wide)))
                    to += C
                    store(g_table, to, muladd(part, g_fs, load(g_table, to, wide)))
                    to += C
                    store(g_table, to, muladd(part, g_fd, load(g_table, to, wide)))
                    if has_vec:
                        to += C
                        store(g_table, to, muladd(part, g_fv, load(g_table, to, wide)))

    return forward, backward
