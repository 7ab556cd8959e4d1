"""Whether the packed coordinates of an XTC frame are as long as they should be.

The format packs atoms into a stream of bits without marks: a flipped bit makes
everything after it mean something else, and the usual decoder then writes beyond its
buffer. Walking along the lengths alone, without decoding, takes a small part of the
time of decoding; the stream has to end with the last atom, in its last byte.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mdgeomfeat.jit import cached_njit

__all__ = ["TABLE", "stream_is_sound"]

#: Entries of the format's table of bases that can be used: the others are zero.
TABLE = range(9, 73)
_LOWEST, _HIGHEST = TABLE[0], TABLE[-1]
# Ranges up to this wide are packed together, wider ones one by one.
_PACKED_RANGE = 0xFFFFFF


def stream_is_sound(
    payload: bytes,
    n_atoms: int,
    low: Sequence[int],
    high: Sequence[int],
    index: int,
) -> bool:
    """Tell whether a frame's stream ends where its last atom ends.

    Parameters
    ----------
    payload : bytes
    n_atoms : int
    low, high : 3 int each
        Range of the coordinates, in units of the precision.
    index : int
        Entry of the table of bases that small differences begin with.
    """
    ranges = [(b - a + 1) % 2**32 for a, b in zip(low, high, strict=True)]
    if max(ranges) > _PACKED_RANGE:
        bits = sum(r.bit_length() for r in ranges)
    else:
        bits = (ranges[0] * ranges[1] * ranges[2]).bit_length()
    stream = np.frombuffer(payload, dtype=np.uint8)
    return bool(_walk(stream, n_atoms, bits, index) == len(stream))


@cached_njit()
def _walk(stream, n_atoms, bits, index):  # type: ignore[no-untyped-def]
    """Return the bytes that the atoms take, or -1 if that is impossible."""
    end = 8 * len(stream)
    place = 0
    done = 0
    run = 0
    while done < n_atoms:
        place += bits
        done += 1
        if place >= end:
            return -1
        flag = stream[place >> 3] >> (7 - (place & 7)) & 1
        place += 1
        step = 0
        if flag:
            if place + 5 > end:
                return -1
            run = 0
            for _ in range(5):
                run = run << 1 | (stream[place >> 3] >> (7 - (place & 7)) & 1)
                place += 1
            step = run % 3 - 1
            run = run // 3
        if run > 0:
            if index < _LOWEST or index > _HIGHEST:
                return -1
            place += run * index
            done += run
        index += step
    if done != n_atoms or place > end:
        return -1
    return (place + 7) >> 3
