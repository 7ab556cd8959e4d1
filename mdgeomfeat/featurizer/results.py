"""The results of a featurization: arrays in memory or on disk under the same names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

import numpy as np
from MDAnalysis.analysis.results import Results
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.featurizer.frames import segments, time_step
from mdgeomfeat.featurizer.invariants import InvariantKind, invariants, n_invariants
from mdgeomfeat.store import FeatureStore
from mdgeomfeat.structure import Structure

__all__ = [
    "FeatureResults",
    "available_memory",
    "check_memory",
]


class FeatureResults(Results):
    """Token features of a run; see :class:`mdgeomfeat.GeomGNNFeaturizer` for the names.

    Everything listed there is an attribute and a key, apart from ``features``,
    ``token_features`` and the methods, which are computed from ``scalars`` and
    ``vectors`` whenever they are asked for.
    """

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Open a finished store; large arrays are read when they are indexed.

        Parameters
        ----------
        path : str or Path
            What was given as ``store=``.

        Raises
        ------
        InputError
            If it is not a finished store of this package.
        """
        store = FeatureStore(path)
        names = ("scalars", "vectors", "positions")
        results = cls(**{name: store[name] for name in names})
        results.boxes = np.asarray(store["boxes"]) if "boxes" in store else None
        results.times = np.asarray(store["times"])
        results.frames = np.asarray(store["frames"])
        results.trajectory = store.trajectory
        results.structure = Structure.from_dict(store.structure)
        results.tokens = store.tokens
        results.provenance = store.provenance
        results.engine = store.provenance["engine"]
        results.dt = time_step(
            results.times, segments(results.trajectory, results.frames)
        )
        return results

    @property
    def token_features(self) -> NDArray:
        """(F, N, K) invariants of every token, computed at every access."""
        return self.invariants()

    @property
    def features(self) -> NDArray:
        """(F, N*K) invariants, computed at every access."""
        return self.invariants().reshape(len(self.scalars), -1)

    @property
    def segments(self) -> list[slice]:
        """Rows of each unbroken run: one trajectory, frames equally far apart."""
        return segments(self.trajectory, self.frames)

    def invariants(self, kind: InvariantKind | None = None) -> NDArray:
        """Return (F, N, K) invariants of another kind than the run's.

        Parameters
        ----------
        kind : {"geometric", "norms", "scalars"}, optional
            By default the kind that was chosen for the run.

        Raises
        ------
        InputError
            If they would take more than half of the free memory.
        """
        kind = kind or self.provenance["invariants"]
        n_frames, n_tokens, n_channels = self.scalars.shape
        size = n_frames * n_tokens * n_invariants(kind, n_channels)
        check_memory(
            size * self.scalars.dtype.itemsize,
            "the features of all frames",
            "read blocks of results.scalars and results.vectors instead",
        )
        return invariants(
            self.scalars,
            self.vectors,
            self.structure.next_token,
            kind,
            seed=self.provenance["invariants_seed"],
        )

    def token_features_list(self, kind: InvariantKind | None = None) -> list[NDArray]:
        """Return the token features of each unbroken run, [(F_i, N, K), ...].

        Parameters
        ----------
        kind : {"geometric", "norms", "scalars"}, optional
            By default the kind that was chosen for the run.
        """
        tokens = self.invariants(kind)
        return [tokens[rows] for rows in self.segments]

    def features_list(self, kind: InvariantKind | None = None) -> list[NDArray]:
        """Return the features of each unbroken run, [(F_i, N*K), ...].

        A run ends where its trajectory ends and where the distance between frames
        changes, so that no lagged pair is made across either.

        Parameters
        ----------
        kind : {"geometric", "norms", "scalars"}, optional
            By default the kind that was chosen for the run.
        """
        return [x.reshape(len(x), -1) for x in self.token_features_list(kind)]


def available_memory() -> int | None:
    """Return the bytes that this process may still take, None where unknown.

    The limit of a container counts where it is below the machine's free memory.
    """
    free = None
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    elif hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    group = Path("/sys/fs/cgroup")
    if free is not None and (group / "memory.max").exists():
        text = (group / "memory.max").read_text().strip()
        if text != "max":
            free = min(free, max(0, int(text) - _used_by_group(group)))
    return free


def check_memory(need: float, what: str, remedy: str) -> None:
    """Stop before something is begun that needs over half of the free memory.

    Parameters
    ----------
    need : float, bytes
    what, remedy : str
        For the message.

    Raises
    ------
    InputError
        If it does.
    """
    free = available_memory()
    if free is not None and need > free / 2:
        raise InputError(
            f"{what} would take {_gigabytes(need)} of memory, more than half of the "
            f"{_gigabytes(free)} that are free; {remedy}."
        )


def _used_by_group(group: Path) -> int:
    """Bytes that a control group holds, without file pages that can be dropped."""
    used = int((group / "memory.current").read_text())
    for line in (group / "memory.stat").read_text().splitlines():
        if line.startswith("inactive_file "):
            used -= int(line.split()[1])
    return used


def _gigabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.3g} GB"
