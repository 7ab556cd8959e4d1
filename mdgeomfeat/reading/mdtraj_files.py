"""mdtraj trajectories as MDAnalysis Universes; .h5 files are streamed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import MDAnalysis as mda
import numpy as np
from MDAnalysis.coordinates.base import ReaderBase
from MDAnalysis.core.topologyattrs import Bonds

from mdgeomfeat.errors import InputError
from mdgeomfeat.structure.bridges import bonded_by_name

if TYPE_CHECKING:
    import mdtraj
    from MDAnalysis.core.universe import Universe

__all__ = ["H5Reader", "check_h5", "h5_topology", "universe_from_mdtraj"]

_NM = 10.0  # Å
_CHUNK_BYTES = 8 * 2**20


class H5Reader(ReaderBase):
    """Reads mdtraj's HDF5 format (.h5) chunk by chunk, nm turned to Å.

    Parameters
    ----------
    filename : str
    """

    format = "MDTRAJ-H5"
    units = {"time": "ps", "length": "nm"}  # noqa: RUF012 (MDAnalysis's interface)

    def __init__(self, filename: str, convert_units: bool = True, **kwargs: Any):
        super().__init__(filename, convert_units=convert_units, **kwargs)
        with _open_h5(self.filename) as file:
            self.n_frames = len(file)
            self.n_atoms = int(file.root.coordinates.shape[1])
        self._frames_per_chunk = max(1, _CHUNK_BYTES // (12 * max(1, self.n_atoms)))
        self._forget_chunk()
        self.ts = self._Timestep(self.n_atoms, **self._ts_kwargs)
        if self.n_frames:
            self._fetch(0)
            times = self._chunk.time
            if times is not None and len(times) > 1 and times[1] > times[0]:
                self.ts.data.setdefault("dt", float(times[1] - times[0]))
            self._read_frame(0)

    @property
    def frame_times(self) -> np.ndarray | None:
        """(F,) times of all frames, ps, None if the file has none."""
        with _open_h5(self.filename) as file:
            if "time" not in file.root:
                return None
            return np.asarray(file.root.time[:], dtype=np.float64)

    @classmethod
    def parse_n_atoms(cls, filename: str, **_: Any) -> int:
        """Return the number of atoms in a file.

        Parameters
        ----------
        filename : str
        **_ : dict
            Ignored; MDAnalysis may pass more.
        """
        with _open_h5(filename) as file:
            return int(file.root.coordinates.shape[1])

    def _forget_chunk(self) -> None:
        self._chunk: Any = None
        self._chunk_start = 0
        self._chunk_stop = 0

    def _fetch(self, frame: int) -> None:
        """Read the chunk that begins with a frame. The file is not kept open."""
        with _open_h5(self.filename) as file:
            file.seek(frame)
            self._chunk = file.read(n_frames=self._frames_per_chunk)
        self._chunk_start = frame
        self._chunk_stop = frame + len(self._chunk.coordinates)

    def _read_frame(self, frame: int) -> Any:
        if not 0 <= frame < self.n_frames:
            raise OSError(f"frame {frame} of {self.n_frames} does not exist")
        if not self._chunk_start <= frame < self._chunk_stop:
            self._fetch(frame)
        row = frame - self._chunk_start
        scale = _NM if self.convert_units else 1.0
        self.ts.frame = frame
        self.ts.positions = self._chunk.coordinates[row] * scale
        lengths, angles = self._chunk.cell_lengths, self._chunk.cell_angles
        if lengths is None or angles is None:
            self.ts.dimensions = None
        else:
            self.ts.dimensions = np.concatenate([lengths[row] * scale, angles[row]])
        if self._chunk.time is not None:
            self.ts.data["time"] = float(self._chunk.time[row])
        return self.ts

    def _read_next_timestep(self, ts: Any = None) -> Any:  # noqa: ARG002
        frame = self.ts.frame + 1
        if frame >= self.n_frames:
            raise StopIteration
        return self._read_frame(frame)

    def _reopen(self) -> None:
        self.ts.frame = -1

    def close(self) -> None:
        """Forget the frames in memory; no file is open between reads."""
        self._forget_chunk()

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.update(_chunk=None, _chunk_start=0, _chunk_stop=0)
        return state


# Reads what our reader will read. The HDF5 library ends the process on some damaged
# files, so they are first opened in one that may end.
_TRIAL = """
import sys, tables
with tables.open_file(sys.argv[1]) as file:
    for node in file.walk_nodes("/", "Leaf"):
        node.attrs._v_attrnames, node[:1], node[-1:]
"""
_TRIAL_SECONDS = 60


def check_h5(path: str | Path) -> None:
    """Open an HDF5 file in a process of its own.

    Raises
    ------
    InputError
        If that process dies or hangs. Whatever else is wrong shows when the file is
        read.
    """
    try:
        died = (
            subprocess.call(
                [sys.executable, "-c", _TRIAL, str(path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_TRIAL_SECONDS,
            )
            < 0
        )
    except subprocess.TimeoutExpired:
        died = True
    if died:
        raise InputError(
            f"{path} cannot be read as MDTRAJ-H5 (its HDF5 structure is damaged); "
            "check the file."
        )


def h5_topology(path: str | Path) -> mdtraj.Topology:
    """Read the topology inside an mdtraj .h5 file.

    Raises
    ------
    InputError
        If the file holds none.
    """
    with _open_h5(str(path)) as file:
        topology = file.topology
    if topology is None:
        raise InputError(
            f"{path} holds no topology; give a topology file (PDB, PSF, …) with it."
        )
    return topology


def universe_from_mdtraj(source: mdtraj.Trajectory | mdtraj.Topology) -> Universe:
    """Make a Universe of an mdtraj trajectory (kept in memory, Å) or topology.

    Parameters
    ----------
    source : mdtraj.Trajectory or mdtraj.Topology
        A trajectory's positions are copied, nm turned to Å.

    Returns
    -------
    MDAnalysis Universe
        With names, elements, residues, chains, segments and bonds. One of a
        topology has no trajectory yet; use ``load_new``.
    """
    topology = getattr(source, "topology", source)
    atoms, residues = list(topology.atoms), list(topology.residues)
    chains = list(topology.chains)
    universe = mda.Universe.empty(
        len(atoms),
        n_residues=len(residues),
        n_segments=len(chains),
        atom_resindex=[a.residue.index for a in atoms],
        residue_segindex=[r.chain.index for r in residues],
        trajectory=False,
    )
    elements = ["" if a.element is None else a.element.symbol for a in atoms]
    letters = [str(getattr(c, "chain_id", None) or c.index) for c in chains]
    universe.add_TopologyAttr("names", [a.name for a in atoms])
    universe.add_TopologyAttr("elements", ["X" if e == "VS" else e for e in elements])
    universe.add_TopologyAttr("types", [e or "X" for e in elements])
    universe.add_TopologyAttr("resnames", [r.name for r in residues])
    universe.add_TopologyAttr("resids", [r.resSeq for r in residues])
    universe.add_TopologyAttr("resnums", [r.resSeq for r in residues])
    universe.add_TopologyAttr(
        "chainIDs", [letters[a.residue.chain.index] for a in atoms]
    )
    universe.add_TopologyAttr("segids", letters)
    bonds = [(b[0].index, b[1].index) for b in topology.bonds]
    if bonds:
        guessed = bonded_by_name(topology)
        universe.add_TopologyAttr(Bonds(bonds, guessed=guessed))
    if topology is source:
        return universe
    boxes = None
    if source.unitcell_lengths is not None and source.unitcell_angles is not None:
        boxes = np.hstack([source.unitcell_lengths * _NM, source.unitcell_angles])
    times = np.asarray(source.time, dtype=np.float64)
    universe.load_new(
        source.xyz * _NM,
        order="fac",
        dimensions=boxes,
        **({"dt": float(np.diff(times).mean())} if _even(times) else {}),
    )
    return universe


def _even(times: np.ndarray) -> bool:
    steps = np.diff(times)
    return bool(len(steps)) and steps.min() > 0 and np.ptp(steps) < 1e-3 * steps.mean()


def _open_h5(path: str) -> Any:
    try:
        from mdtraj.formats import HDF5TrajectoryFile

        return HDF5TrajectoryFile(str(path))
    except ImportError as error:
        raise InputError(
            f"{path} is an mdtraj .h5 file, and reading it needs PyTables: "
            "pip install mdgeomfeat[mdtraj-h5]."
        ) from error
