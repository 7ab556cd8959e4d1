"""What MDAnalysis does not promise is there; every exception of a reader is told."""

from __future__ import annotations

import pickle
import struct

import MDAnalysis as mda
import numpy as np
import pytest
from MDAnalysis.coordinates.memory import MemoryReader

from mdgeomfeat import upstream
from mdgeomfeat.errors import InputError


def test_formats_are_listed():
    assert {"XTC", "PDB", "LAMMPSDUMP"} <= upstream.reader_formats()
    assert {"TPR", "PDB", "PARM7"} <= upstream.parser_formats()


def test_stated_attributes_are_told_from_guessed_ones():
    u = mda.Universe.empty(2, trajectory=True)
    u.add_TopologyAttr("names", ["C", "H"])
    u.add_TopologyAttr("bonds", [(0, 1)])
    u.guess_TopologyAttrs(to_guess=["types", "masses"])
    assert {"names", "bonds"} <= upstream.stated_attributes(u)
    assert not {"types", "masses"} & upstream.stated_attributes(u)
    assert not upstream.bonds_are_guessed(u)


def test_a_continuous_run_is_told_from_a_chain(tmp_path):
    u = mda.Universe.empty(3, trajectory=True)
    paths = []
    for part in range(2):
        paths.append(str(tmp_path / f"{part}.xtc"))
        with mda.Writer(paths[-1], 3) as out:
            for frame in range(3):
                u.trajectory.ts.time = 3.0 * part + frame
                out.write(u.atoms)
    top = mda.Universe.empty(3)
    for continuous in (False, True):
        top.load_new(paths, continuous=continuous)
        assert upstream.is_one_run(top.trajectory) is continuous


def test_what_the_xdr_readers_reach_into():
    """The checked readers keep MDAnalysis's file object where its own do."""
    from MDAnalysis.coordinates.XDR import XDRBaseReader
    from MDAnalysis.coordinates.XTC import XTCReader
    from MDAnalysis.lib.formats.libmdaxdr import TRRFile, XTCFile

    assert XTCReader._file is XTCFile
    assert "_xdr" in XDRBaseReader.n_frames.fget.__code__.co_names
    for file in (XTCFile, TRRFile):
        assert hasattr(file, "set_offsets")
        assert hasattr(file, "_bytes_seek")


class Stumbling(MemoryReader):
    """Fails at its second frame, in the way of any parser."""

    error: Exception = ValueError()

    def _read_frame(self, i):
        if i == 1:
            raise self.error
        return super()._read_frame(i)


@pytest.mark.parametrize(
    "error",
    [IndexError("index 91 is out of bounds"), KeyError("x"), RuntimeError(),
     OSError("e"), struct.error("unpack requires"), StopIteration(), EOFError(),
     TypeError("t"), ZeroDivisionError(), MemoryError()],
    ids=lambda e: type(e).__name__,
)  # fmt: skip
def test_whatever_a_reader_raises_is_one_sentence(monkeypatch, error):
    monkeypatch.setattr(Stumbling, "error", error)
    u = mda.Universe.empty(2)
    u.trajectory = Stumbling(np.zeros((3, 2, 3), np.float32), filename="a.xyz")
    upstream.read_frame(u.trajectory, 2)
    with pytest.raises(InputError, match=r"Frame 1 of a.xyz cannot be read") as caught:
        upstream.read_frame(u.trajectory, 1)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_the_frame_of_a_chain_is_named_in_its_own_file(tmp_path):
    class Chain:
        readers = (type("A", (), {"n_frames": 3, "filename": "a.xtc"}),
                   type("B", (), {"n_frames": 3, "filename": "b.xtc"}))  # fmt: skip

        def __getitem__(self, frame):
            raise OSError("damaged")

    with pytest.raises(
        InputError, match=r"Frame 1 of b.xtc cannot be read \(damaged\)"
    ):
        upstream.read_frame(Chain(), 4)
