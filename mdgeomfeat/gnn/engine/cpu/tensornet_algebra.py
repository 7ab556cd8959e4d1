"""Tensors of TensorNet as nine rows of channels, and what is done with them.

The rows are the scalar part, the three entries of the vector (antisymmetric) part, and
xx, yy, xy, xz, yz of the symmetric traceless part, as in :mod:`mdgeomfeat.gnn.irreps`.
"""

from __future__ import annotations

import numpy as np

from mdgeomfeat.gnn.engine.cpu.kernels import add_product
from mdgeomfeat.gnn.engine.cpu.simd import broadcast, load, muladd, store
from mdgeomfeat.jit import cached_njit

__all__ = [
    "add_scaled",
    "anticommutator",
    "damping",
    "nine",
    "square",
    "squares",
    "store_scaled",
]


@cached_njit()
def nine(x, at, C, unit):
    """Return the nine rows of a tensor."""
    return (
        load(x, at, unit),
        load(x, at + C, unit),
        load(x, at + 2 * C, unit),
        load(x, at + 3 * C, unit),
        load(x, at + 4 * C, unit),
        load(x, at + 5 * C, unit),
        load(x, at + 6 * C, unit),
        load(x, at + 7 * C, unit),
        load(x, at + 8 * C, unit),
    )


@cached_njit()
def store_scaled(out, at, C, parts, factor):
    """Write nine rows times a factor."""
    i, x, y, z, xx, yy, xy, xz, yz = parts
    store(out, at, i * factor)
    store(out, at + C, x * factor)
    store(out, at + 2 * C, y * factor)
    store(out, at + 3 * C, z * factor)
    store(out, at + 4 * C, xx * factor)
    store(out, at + 5 * C, yy * factor)
    store(out, at + 6 * C, xy * factor)
    store(out, at + 7 * C, xz * factor)
    store(out, at + 8 * C, yz * factor)


@cached_njit()
def add_scaled(out, at, C, parts, factor):
    """Add nine rows times a factor."""
    i, x, y, z, xx, yy, xy, xz, yz = parts
    add_product(out, at, i, factor)
    add_product(out, at + C, x, factor)
    add_product(out, at + 2 * C, y, factor)
    add_product(out, at + 3 * C, z, factor)
    add_product(out, at + 4 * C, xx, factor)
    add_product(out, at + 5 * C, yy, factor)
    add_product(out, at + 6 * C, xy, factor)
    add_product(out, at + 7 * C, xz, factor)
    add_product(out, at + 8 * C, yz, factor)


@cached_njit()
def squares(parts):
    """Return the squared Frobenius norm of each of the three parts."""
    i, x, y, z, xx, yy, xy, xz, yz = parts
    zz = xx + yy
    scalar = i * i
    vector = muladd(x, x, muladd(y, y, z * z))
    diagonal = muladd(xx, xx, muladd(yy, yy, zz * zz))
    mixed = muladd(xy, xy, muladd(xz, xz, yz * yz))
    return scalar + scalar + scalar, vector + vector, diagonal + mixed + mixed


@cached_njit()
def square(parts):
    """Return the squared Frobenius norm."""
    scalar, vector, symmetric = squares(parts)
    return scalar + vector + symmetric


@cached_njit()
def damping(parts, one):
    """Return 1 / (squared norm + 1)."""
    return one / (square(parts) + one)


@cached_njit()
def _vector_of(i, xx, yy, zz, xy, xz, yz, a, b, c):
    """Return the vector of ``S A + A S`` for S symmetric, of trace 3 i: 3 i a - S a."""
    trace = i + i + i
    return (
        muladd(trace - xx, a, broadcast(np.float32(0.0), a) - muladd(xy, b, xz * c)),
        muladd(trace - yy, b, broadcast(np.float32(0.0), a) - muladd(xy, a, yz * c)),
        muladd(trace - zz, c, broadcast(np.float32(0.0), a) - muladd(xz, a, yz * b)),
    )


@cached_njit()
def anticommutator(first, second):
    """Return the nine rows of ``X Y + Y X``.

    With S symmetric and A the cross product with a, ``S S' + S' S`` and
    ``A A' + A' A = a a'^T + a' a^T - 2 a.a'`` are symmetric, ``S A + A S`` is not.
    """
    i, a, b, c, xx, yy, xy, xz, yz = first
    zz = i - xx - yy
    xx, yy = i + xx, i + yy
    j, d, e, f, uu, vv, uv, uw, vw = second
    ww = j - uu - vv
    uu, vv = j + uu, j + vv
    left = _vector_of(i, xx, yy, zz, xy, xz, yz, d, e, f)
    right = _vector_of(j, uu, vv, ww, uv, uw, vw, a, b, c)
    ad, be, cf = a * d, b * e, c * f
    shared_xy, shared_xz, shared_yz = xy * uv, xz * uw, yz * vw
    xx_out = muladd(xx, uu, shared_xy + shared_xz) - be - cf
    yy_out = muladd(yy, vv, shared_xy + shared_yz) - ad - cf
    zz_out = muladd(zz, ww, shared_xz + shared_yz) - ad - be
    xx_out, yy_out, zz_out = xx_out + xx_out, yy_out + yy_out, zz_out + zz_out
    xy_out = muladd(xx + yy, uv, muladd(uu + vv, xy, muladd(xz, vw, uw * yz)))
    xz_out = muladd(xx + zz, uw, muladd(uu + ww, xz, muladd(xy, vw, uv * yz)))
    yz_out = muladd(yy + zz, vw, muladd(vv + ww, yz, muladd(xy, uw, uv * xz)))
    scalar = (xx_out + yy_out + zz_out) * broadcast(np.float32(1.0 / 3.0), i)
    return (
        scalar,
        left[0] + right[0],
        left[1] + right[1],
        left[2] + right[2],
        xx_out - scalar,
        yy_out - scalar,
        muladd(a, e, muladd(b, d, xy_out)),
        muladd(a, f, muladd(c, d, xz_out)),
        muladd(b, f, muladd(c, e, yz_out)),
    )
