"""XTC and TRR files, with every frame checked before it is decoded.

The decoder below MDAnalysis trusts what a frame declares, so that a damaged one can
end the whole process. The readers here walk along the frames' headers first and offer
the frames before the first bad one; a packed frame is checked once more when it is
read. They write no index files beside the trajectory and wait for no locks, and so work
in folders that cannot be written to.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from struct import Struct, unpack_from
from typing import Any, NamedTuple

import numpy as np
from MDAnalysis.coordinates.base import ReaderBase
from MDAnalysis.coordinates.TRR import TRRReader
from MDAnalysis.coordinates.XDR import XDRBaseReader
from MDAnalysis.coordinates.XTC import XTCReader
from MDAnalysis.lib.mdamath import triclinic_box
from MDAnalysis.lib.util import store_init_arguments

from mdgeomfeat.reading._xtc_stream import TABLE, stream_is_sound

__all__ = ["CheckedTRRReader", "CheckedXTCReader", "XDRFrames", "scan_trr", "scan_xtc"]

_XTC_MAGIC = 1995
_TRR_MAGIC = 1993
# Up to this number of atoms, XTC stores plain floats.
_XTC_PLAIN = 9
# magic, atoms, (step), time, (box), atoms
_XTC_PLAIN_HEAD = Struct(">ii4xf36xi")
# magic, atoms, (step, time, box), atoms, precision, range, index of a table, bytes
_XTC_HEAD = Struct(">ii44xif6iii")
_TRR_VERSION = b"GMX_trn_file"
# magic, length of the name, the name, ten sizes, atoms, (step, nre)
_TRR_HEAD = Struct(">iii12s10ii8x")


class XDRFrames(NamedTuple):
    """Where the frames of a file begin.

    Attributes
    ----------
    offsets : (F,) ndarray of int64
        Of the frames with positions that are whole and sound.
    times : (F,) ndarray of float64, ps
        Of the same frames.
    problem : str or None
        What is wrong after them.
    n_passed_over : int
        Frames without positions (of velocities or forces only) among them.
    """

    offsets: np.ndarray
    times: np.ndarray
    problem: str | None
    n_passed_over: int


class _BadFrameError(Exception):
    """A frame's header contradicts itself or the first frame's."""


#: (memory, place, file size, atoms of the first frame or None) to the frame's number
#: of atoms, its end, and its time, None if it holds no positions.
_Measure = Callable[[mmap.mmap, int, int, int | None], tuple[int, int, float | None]]


def scan_xtc(path: str | Path) -> XDRFrames:
    """Find the frames of an XTC file and what is wrong with it."""
    return _scan(path, _measure_xtc)


def scan_trr(path: str | Path) -> XDRFrames:
    """Find the frames of a TRR file and what is wrong with it."""
    return _scan(path, _measure_trr)


def _scan(path: str | Path, measure: _Measure) -> XDRFrames:
    offsets: list[int] = []
    times: list[float] = []
    problem, n_atoms, passed_over, start = None, None, 0, 0
    with (
        Path(path).open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory,
    ):
        size = len(memory)
        while start < size:
            try:
                n_atoms, end, time = measure(memory, start, size, n_atoms)
            except _BadFrameError as error:
                problem = str(error)
                break
            if end > size:
                problem = "it is cut inside a frame"
                break
            if time is None:
                passed_over += 1
            else:
                offsets.append(start)
                times.append(time)
            start = end
    return XDRFrames(
        np.array(offsets, dtype=np.int64), np.array(times), problem, passed_over
    )


def _measure_xtc(
    memory: mmap.mmap, start: int, size: int, n_first: int | None
) -> tuple[int, int, float | None]:
    if size - start < _XTC_PLAIN_HEAD.size:
        raise _BadFrameError("it is cut inside a frame")
    magic, n_atoms, time, again = _XTC_PLAIN_HEAD.unpack_from(memory, start)
    if magic != _XTC_MAGIC or n_atoms < 1 or again != n_atoms:
        raise _BadFrameError("a frame is damaged")
    if n_first is not None and n_atoms != n_first:
        raise _BadFrameError(f"a frame has {n_atoms} atoms and the first {n_first}")
    if n_atoms <= _XTC_PLAIN:
        return n_atoms, start + _XTC_PLAIN_HEAD.size + 12 * n_atoms, time
    if size - start < _XTC_HEAD.size:
        raise _BadFrameError("it is cut inside a frame")
    head = _XTC_HEAD.unpack_from(memory, start)
    precision, index, n_bytes = head[3], head[-2], head[-1]
    # The decoder's buffer has room for 3.6 integers an atom, three of them its own; a
    # coded atom takes some eight bits at the least.
    room = 4 * (int(3.6 * n_atoms) - 3)
    if not (0 < precision < 1e9 and index in TABLE):
        raise _BadFrameError("a frame is damaged")
    if not n_atoms // 2 <= n_bytes <= room:
        raise _BadFrameError("a frame is damaged")
    return n_atoms, start + _XTC_HEAD.size + (n_bytes + 3) // 4 * 4, time


def _measure_trr(
    memory: mmap.mmap, start: int, size: int, n_first: int | None
) -> tuple[int, int, float | None]:
    if size - start < _TRR_HEAD.size:
        raise _BadFrameError("it is cut inside a frame")
    magic, n_name, n_text, version, *sizes, n_atoms = _TRR_HEAD.unpack_from(
        memory, start
    )
    unused = sizes[0], sizes[1], sizes[5], sizes[6]
    box, virial, pressure, x, v, f = sizes[2], *sizes[3:5], *sizes[7:]
    if (
        (magic, n_name, n_text, version) != (_TRR_MAGIC, 13, 12, _TRR_VERSION)
        or n_atoms < 1
        or any(unused)
    ):
        raise _BadFrameError("a frame is damaged")
    if n_first is not None and n_atoms != n_first:
        raise _BadFrameError(f"a frame has {n_atoms} atoms and the first {n_first}")
    for real in (4, 8):
        tensors = {box, virial, pressure} <= {0, 9 * real}
        if tensors and {x, v, f} <= {0, 3 * n_atoms * real}:
            end = start + _TRR_HEAD.size + 2 * real + sum(sizes)
            if not x or end > size:
                return n_atoms, end, None
            kind = ">f" if real == 4 else ">d"
            (time,) = unpack_from(kind, memory, start + _TRR_HEAD.size)
            return n_atoms, end, time
    raise _BadFrameError("a frame is damaged")


class _CheckedReader(XDRBaseReader):
    """What the two readers have in common."""

    _scan_file: Callable[[str], XDRFrames]

    @store_init_arguments
    def __init__(
        self,
        filename: str,
        convert_units: bool = True,
        sub: np.ndarray | None = None,
        dt: float | None = None,
        **kwargs: Any,
    ):
        # In place of XDRBaseReader's, which decodes the first two frames unseen.
        ReaderBase.__init__(self, filename, convert_units=convert_units, **kwargs)
        offsets, times, self.problem, self.n_passed_over = type(self)._scan_file(
            self.filename
        )
        #: (F,) times of all frames, ps, as the file has them.
        self.frame_times = times
        if not len(offsets):
            raise OSError(self.problem or "no frame holds positions")
        self._xdr = self._file(self.filename)
        self._xdr.set_offsets(offsets)
        self._sub = sub
        self.n_atoms = self._xdr.n_atoms if sub is None else len(sub)
        self.ts = self._Timestep(self.n_atoms, **self._ts_kwargs)
        read = self._read_first(2)
        (first, start), (second, end) = read[0], read[-1]
        step = (end - start) / max(1, second - first)
        self.ts.dt = step if dt is None else dt
        self.rewind()

    def _read_first(self, count: int) -> list[tuple[int, float]]:
        """Read the first frames that can be read; return their numbers and times."""
        found = []
        for frame in range(self.n_frames):
            try:
                found.append((frame, float(self._read_frame(frame).time)))
            except OSError as error:
                reason = error
            if len(found) == count:
                break
        if not found:
            raise reason
        return found

    def rewind(self) -> None:
        """Go to the first frame that can be read."""
        self._read_first(1)

    def _seek(self, frame: int) -> None:
        self._xdr.seek(frame)
        if frame == 0:  # which MDAnalysis takes for the beginning of the file
            self._xdr._bytes_seek(int(self._xdr.offsets[0]))

    def _read_frame(self, i: int) -> Any:
        self._frame = i - 1
        return self._read_next_timestep()

    def _read_next_timestep(self, ts: Any = None) -> Any:
        # Frames that are passed over lie between those that are offered.
        if self._frame + 1 < self.n_frames:
            self._seek(self._frame + 1)
        return super()._read_next_timestep(ts)


class CheckedXTCReader(_CheckedReader, XTCReader):
    """MDAnalysis's XTC reader, on frames that are sound."""

    _scan_file = staticmethod(scan_xtc)
    _raw: FileIO | None = None
    _last_box: tuple[bytes, np.ndarray] | None = None

    def _frame_to_ts(self, frame: Any, ts: Any) -> Any:
        # As MDAnalysis does it, without the lengths and angles of a box that has not
        # changed: working them out takes a third of the time of reading a small frame.
        ts.frame = self._frame
        dt = self._kwargs["dt"]
        ts.time = frame.time if dt is None else self._frame * dt
        ts.data["step"] = frame.step
        ts.positions = frame.x if self._sub is None else frame.x[self._sub]
        key = frame.box.tobytes()
        if self._last_box is None or self._last_box[0] != key:
            box = triclinic_box(*frame.box)
            if self.convert_units:
                self.convert_pos_from_native(box[:3])
            self._last_box = key, box
        ts.dimensions = self._last_box[1]
        if self.convert_units:
            self.convert_pos_from_native(ts.positions)
        return ts

    def _seek(self, frame: int) -> None:
        if not self._is_sound(frame):
            raise OSError("its packed coordinates are damaged")
        super()._seek(frame)

    def _is_sound(self, frame: int) -> bool:
        if self._raw is None:
            self._raw = FileIO(self.filename)
        handle, start = self._raw.fileno(), int(self._xdr.offsets[frame])
        head = os.pread(handle, _XTC_HEAD.size, start)
        if len(head) < _XTC_HEAD.size:  # a last frame of very few atoms
            return True
        _, n_atoms, _, _, *bounds, index, n_bytes = _XTC_HEAD.unpack(head)
        if n_atoms <= _XTC_PLAIN:
            return True
        payload = os.pread(handle, n_bytes, start + _XTC_HEAD.size)
        return stream_is_sound(payload, n_atoms, bounds[:3], bounds[3:], index)

    def close(self) -> None:
        """Close the file."""
        super().close()
        if self._raw is not None:
            self._raw.close()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in super().__getstate__().items() if k != "_raw"}


class CheckedTRRReader(_CheckedReader, TRRReader):
    """MDAnalysis's TRR reader, on frames that are sound and hold positions."""

    _scan_file = staticmethod(scan_trr)
