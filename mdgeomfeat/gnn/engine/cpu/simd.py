"""Vectors of float32 lanes inside numba functions.

numba's own vectoriser leaves a factor of five on the table in the message kernels, so
they are written on a type of their own: ``Lanes(n)`` is LLVM's ``<n x float>``, which
LLVM cuts into the registers of the processor at hand (64 lanes are 4 registers of
AVX-512, 8 of AVX2, 16 of SSE). The number of lanes is part of the type: ``load`` and
``splat`` take a vector ``like`` whose type says how many.

Products and sums use ``llvm.fmuladd``: one instruction where the processor has it, a
multiplication and an addition where it has not (``llvm.fma`` would be a call into the
C library there).
"""
# ruff: noqa: ARG001  (the arguments of an intrinsic are what numba hands over)

from __future__ import annotations

import operator
from typing import Any

import numba
import numba.extending
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

__all__ = [
    "broadcast",
    "fold",
    "join",
    "lanes",
    "load",
    "lower_half",
    "muladd",
    "register_floats",
    "repeat",
    "sigmoid",
    "silu",
    "size",
    "spread",
    "store",
    "sum_lanes",
    "upper_half",
]

# What numba makes of an intrinsic has another signature than the function it decorates.
intrinsic: Any = numba.extending.intrinsic

FLOAT = ir.FloatType()
I32 = ir.IntType(32)


class Lanes(types.Type):
    """Type of a vector of float32 lanes."""

    def __init__(self, n: int) -> None:
        self.n = n
        super().__init__(name=f"Lanes({n})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Lanes) -> None:
        super().__init__(dmm, fe_type, ir.VectorType(FLOAT, fe_type.n))


def register_floats() -> int:
    """Return how many floats a vector register of numba's target holds.

    numba compiles for this processor unless NUMBA_CPU_NAME and NUMBA_CPU_FEATURES
    name another one.
    """
    config: Any = numba.config
    given = config.CPU_FEATURES
    if given is None:
        found = binding.get_host_cpu_features()
        features = {name for name, there in found.items() if there}
    else:
        features = {name[1:] for name in given.split(",") if name.startswith("+")}
    if "avx512f" in features:
        return 16
    return 8 if "avx" in features else 4


def _constant(n: int, value: float) -> ir.Constant:
    return ir.Constant(ir.VectorType(FLOAT, n), [value] * n)


def _integers(n: int, value: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(I32, n), [value] * n)


def _shuffle(builder: Any, a: Any, b: Any, mask: list[int]) -> Any:
    return builder.shuffle_vector(
        a, b, ir.Constant(ir.VectorType(I32, len(mask)), mask)
    )


def _muladd(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(a.type, [a.type] * 3)
    name = f"llvm.fmuladd.v{a.type.count}f32"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [a, b, c])


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, at: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [at])


def _binary(name: str, op: Any) -> None:
    @infer_global(op)
    class _Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:  # noqa: ARG002
            if len(args) == 2 and args[0] == args[1] and isinstance(args[0], Lanes):
                return signature(args[0], *args)
            return None

    @lower_builtin(op, Lanes, Lanes)
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, name)(*args)


_binary("fadd", operator.add)
_binary("fsub", operator.sub)
_binary("fmul", operator.mul)
_binary("fdiv", operator.truediv)


@intrinsic(prefer_literal=True)
def lanes(typingctx, n):
    """Return a vector of `n` zeros; `n` has to be a constant."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    kind = Lanes(n.literal_value)

    def codegen(context, builder, sig, args):
        return _constant(kind.n, 0.0)

    return signature(kind, n), codegen


@intrinsic
def load(typingctx, array, at, like):
    """Return the values ``array[at:at + n]`` of a flat float32 array."""

    def codegen(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], args[0], args[1])
        vector = ir.VectorType(FLOAT, like.n)
        return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=4)

    return signature(like, array, types.intp, like), codegen


@intrinsic
def store(typingctx, array, at, vector):
    """Write a vector to ``array[at:at + n]`` of a flat float32 array."""

    def codegen(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], args[0], args[1])
        place = builder.bitcast(pointer, args[2].type.as_pointer())
        builder.store(args[2], place, align=4)
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, vector), codegen


@intrinsic
def broadcast(typingctx, value, like):
    """Return a vector with the same number in every lane."""

    def codegen(context, builder, sig, args):
        first = builder.insert_element(
            _constant(like.n, 0.0), args[0], ir.Constant(I32, 0)
        )
        return _shuffle(builder, first, first, [0] * like.n)

    return signature(like, types.float32, like), codegen


@intrinsic
def spread(typingctx, array, at, like):
    """Return a vector with one number of an array in every lane.

    Parameters
    ----------
    typingctx
        Given by numba.
    array : flat float32 array
    at : int
        Where the number stands.
    like : vector
        Has as many lanes.
    """

    def codegen(context, builder, sig, args):
        value = builder.load(_pointer(context, builder, sig.args[0], args[0], args[1]))
        first = builder.insert_element(
            _constant(like.n, 0.0), value, ir.Constant(I32, 0)
        )
        return _shuffle(builder, first, first, [0] * like.n)

    return signature(like, array, types.intp, like), codegen


@intrinsic
def size(typingctx, vector):
    """Return the number of lanes."""

    def codegen(context, builder, sig, args):
        return context.get_constant(types.intp, vector.n)

    return signature(types.intp, vector), codegen


@intrinsic
def muladd(typingctx, a, b, c):
    """Return ``a * b + c``."""

    def codegen(context, builder, sig, args):
        return _muladd(builder, *args)

    return signature(a, a, a, a), codegen


@intrinsic
def fold(typingctx, vector, like):
    """Sum lanes whose numbers are equal modulo the number of lanes of `like`."""

    def codegen(context, builder, sig, args):
        value, n = args[0], vector.n
        while n > like.n:
            n //= 2
            low = _shuffle(builder, value, value, list(range(n)))
            high = _shuffle(builder, value, value, list(range(n, 2 * n)))
            value = builder.fadd(low, high)
        return value

    return signature(like, vector, like), codegen


@intrinsic
def repeat(typingctx, vector, like):
    """Repeat the lanes of a vector until those of `like` are filled."""

    def codegen(context, builder, sig, args):
        mask = [lane % vector.n for lane in range(like.n)]
        return _shuffle(builder, args[0], args[0], mask)

    return signature(like, vector, like), codegen


@intrinsic
def join(typingctx, a, b):
    """Return the lanes of `a` followed by those of `b`."""

    def codegen(context, builder, sig, args):
        return _shuffle(builder, args[0], args[1], list(range(2 * a.n)))

    return signature(Lanes(2 * a.n), a, a), codegen


@intrinsic
def lower_half(typingctx, vector):
    """Return the first half of the lanes."""

    def codegen(context, builder, sig, args):
        return _shuffle(builder, args[0], args[0], list(range(vector.n // 2)))

    return signature(Lanes(vector.n // 2), vector), codegen


@intrinsic
def upper_half(typingctx, vector):
    """Return the second half of the lanes."""

    def codegen(context, builder, sig, args):
        mask = list(range(vector.n // 2, vector.n))
        return _shuffle(builder, args[0], args[0], mask)

    return signature(Lanes(vector.n // 2), vector), codegen


@intrinsic
def sum_lanes(typingctx, vector):
    """Return the sum of all lanes; the number of lanes is a power of two times 3."""

    def codegen(context, builder, sig, args):
        value, n = args[0], vector.n
        while n % 2 == 0:
            n //= 2
            low = _shuffle(builder, value, value, list(range(n)))
            high = _shuffle(builder, value, value, list(range(n, 2 * n)))
            value = builder.fadd(low, high)
        total = builder.extract_element(value, ir.Constant(I32, 0))
        for lane in range(1, n):
            other = builder.extract_element(value, ir.Constant(I32, lane))
            total = builder.fadd(total, other)
        return total

    return signature(types.float32, vector), codegen


# exp(r) on |r| <= ln(2) / 2 to the last bits of float32: minimax coefficients as in
# Cephes (expf), highest power first. ln(2) is split so that n ln(2) is exact.
_EXP = (1.9875692e-4, 1.3982e-3, 8.3334519e-3, 4.1665796e-2, 1.6666665e-1, 0.5, 1, 1)
_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
# Adding it rounds a float32 to the nearest integer, kept in the lowest bits.
_ROUND = 12582912.0


def _one_plus_exp(builder: Any, x: Any) -> Any:
    """Return ``1 + exp(-x)``, with exp as 2^n times a polynomial."""
    n = x.type.count

    def clamp(value: Any, limit: float, sign: str) -> Any:
        bound = _constant(n, limit)
        return builder.select(builder.fcmp_ordered(sign, value, bound), value, bound)

    y = builder.fsub(_constant(n, -0.0), x)
    y = clamp(clamp(y, 87.0, "<"), -87.0, ">")
    shifted = _muladd(builder, y, _constant(n, _LOG2_E), _constant(n, _ROUND))
    whole = builder.fsub(shifted, _constant(n, _ROUND))
    r = _muladd(builder, whole, _constant(n, -_LN2_HIGH), y)
    r = _muladd(builder, whole, _constant(n, -_LN2_LOW), r)
    value = _constant(n, _EXP[0])
    for coefficient in _EXP[1:]:
        value = _muladd(builder, value, r, _constant(n, coefficient))
    integers = ir.VectorType(I32, n)
    power = builder.shl(builder.bitcast(shifted, integers), _integers(n, 23))
    scaled = builder.add(builder.bitcast(value, integers), power)
    exponential = builder.bitcast(scaled, ir.VectorType(FLOAT, n))
    return builder.fadd(exponential, _constant(n, 1.0))


@intrinsic
def silu(typingctx, vector):
    """Return ``x / (1 + exp(-x))``."""

    def codegen(context, builder, sig, args):
        return builder.fdiv(args[0], _one_plus_exp(builder, args[0]))

    return signature(vector, vector), codegen


@intrinsic
def sigmoid(typingctx, vector):
    """Return ``1 / (1 + exp(-x))``."""

    def codegen(context, builder, sig, args):
        one = _constant(vector.n, 1.0)
        return builder.fdiv(one, _one_plus_exp(builder, args[0]))

    return signature(vector, vector), codegen
