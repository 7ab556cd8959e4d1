"""Tensors of TensorNet as nine numbers, in Triton.

The numbers are the scalar part, the three entries of the vector (antisymmetric) part,
and xx, yy, xy, xz, yz of the symmetric traceless part, as in
:mod:`mdgeomfeat.gnn.irreps`. In memory each is a plane of its own.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["anticommutator", "damping", "nine", "squares", "store_nine"]


@triton.jit
def nine(tensors, at, plane, mask):
    """Return the nine numbers that stand `plane` apart; zero outside the mask."""
    # Step by step: eight planes together may be more than an int32 holds.
    i = tl.load(tensors + at, mask=mask, other=0.0)
    at += plane
    x = tl.load(tensors + at, mask=mask, other=0.0)
    at += plane
    y = tl.load(tensors + at, mask=mask, other=0.0)
    at += plane
    z = tl.load(tensors + at, mask=mask, other=0.0)
    at += plane
    xx = tl.load(tensors + at, mask=mask, other=0.0)
    at += plane
    yy = tl.load(tensors + at, mask=mask, other=0.0)
    at += plane
    xy = tl.load(tensors + at, mask=mask, other=0.0)
    at += plane
    xz = tl.load(tensors + at, mask=mask, other=0.0)
    at += plane
    yz = tl.load(tensors + at, mask=mask, other=0.0)
    return i, x, y, z, xx, yy, xy, xz, yz


@triton.jit
def store_nine(tensors, at, plane, mask, factor, i, x, y, z, xx, yy, xy, xz, yz):
    """Write nine numbers times a factor, `plane` apart."""
    tl.store(tensors + at, i * factor, mask=mask)
    at += plane
    tl.store(tensors + at, x * factor, mask=mask)
    at += plane
    tl.store(tensors + at, y * factor, mask=mask)
    at += plane
    tl.store(tensors + at, z * factor, mask=mask)
    at += plane
    tl.store(tensors + at, xx * factor, mask=mask)
    at += plane
    tl.store(tensors + at, yy * factor, mask=mask)
    at += plane
    tl.store(tensors + at, xy * factor, mask=mask)
    at += plane
    tl.store(tensors + at, xz * factor, mask=mask)
    at += plane
    tl.store(tensors + at, yz * factor, mask=mask)


@triton.jit
def squares(i, x, y, z, xx, yy, xy, xz, yz):
    """Return the squared Frobenius norm of each of the three parts."""
    zz = xx + yy
    diagonal = xx * xx + yy * yy + zz * zz
    mixed = xy * xy + xz * xz + yz * yz
    return 3.0 * i * i, 2.0 * (x * x + y * y + z * z), diagonal + 2.0 * mixed


@triton.jit
def damping(i, x, y, z, xx, yy, xy, xz, yz):
    """Return 1 / (squared norm + 1)."""
    one, three, five = squares(i, x, y, z, xx, yy, xy, xz, yz)
    return 1.0 / (one + three + five + 1.0)


@triton.jit
def anticommutator(i, a, b, c, xx, yy, xy, xz, yz, j, d, e, f, uu, vv, uv, uw, vw):
    """Return the nine numbers of ``X Y + Y X``.

    With S symmetric and A the cross product with a, ``S S' + S' S`` and
    ``A A' + A' A = a a'^T + a' a^T - 2 a.a'`` are symmetric, and ``S A + A S`` is the
    cross product with ``tr(S) a - S a``.
    """
    zz = i - xx - yy
    xx += i
    yy += i
    ww = j - uu - vv
    uu += j
    vv += j
    x = (yy + zz) * d - xy * e - xz * f + (vv + ww) * a - uv * b - uw * c
    y = (xx + zz) * e - xy * d - yz * f + (uu + ww) * b - uv * a - vw * c
    z = (xx + yy) * f - xz * d - yz * e + (uu + vv) * c - uw * a - vw * b
    ad, be, cf = a * d, b * e, c * f
    on_x = 2.0 * (xx * uu + xy * uv + xz * uw - be - cf)
    on_y = 2.0 * (yy * vv + xy * uv + yz * vw - ad - cf)
    on_z = 2.0 * (zz * ww + xz * uw + yz * vw - ad - be)
    third = (on_x + on_y + on_z) / 3.0
    return (
        third,
        x,
        y,
        z,
        on_x - third,
        on_y - third,
        (xx + yy) * uv + (uu + vv) * xy + xz * vw + uw * yz + a * e + b * d,
        (xx + zz) * uw + (uu + ww) * xz + xy * vw + uv * yz + a * f + c * d,
        (yy + zz) * vw + (vv + ww) * yz + xy * uw + uv * xz + b * f + c * e,
    )
