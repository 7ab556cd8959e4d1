"""Features of trajectories as the commands hand them on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mdgeomfeat.memory import available_memory

if TYPE_CHECKING:
    from MDAnalysis.core.groups import AtomGroup
    from MDAnalysis.core.universe import Universe

    from mdgeomfeat.featurizer import FeatureResults
    from mdgeomfeat.gnn import Backbone
    from mdgeomfeat.store import Rows
    from mdgeomfeat.structure import Structure

__all__ = ["STORE", "Featurized"]

#: Name of the store in a folder of results.
STORE: Final = "features.zarr"


@dataclass(frozen=True, eq=False, kw_only=True)
class Featurized:
    """Features of trajectories, and where they came from.

    Attributes
    ----------
    universe : Universe
    atoms : AtomGroup
        The selected atoms.
    structure : Structure
        The same atoms.
    results : FeatureResults
    model : Backbone
        The network.
    sources : tuple of str
        File name of each source trajectory.
    scratch : Path
        Folder for temporary files as large as the features.
    """

    universe: Universe
    atoms: AtomGroup
    structure: Structure
    results: FeatureResults
    model: Backbone
    sources: tuple[str, ...]
    scratch: Path

    @property
    def dt(self) -> float | None:
        """Time between analysed frames, ps."""
        dt: float | None = self.results.dt
        return dt

    @property
    def title(self) -> str:
        """The trajectories in few words."""
        more = len(self.sources) - 1
        return self.sources[0] + (f" and {more} more" if more else "")

    @cached_property
    def rows(self) -> list[slice]:
        """Rows of each unbroken run."""
        return list(self.results.segments)

    @cached_property
    def groups(self) -> tuple[int, ...]:
        """Source trajectory of each unbroken run."""
        return tuple(int(self.results.trajectory[rows.start]) for rows in self.rows)

    @cached_property
    def streams(self) -> bool:
        """Whether frames stay on disk, because all of them would fill the memory."""
        features = self.results.token_features
        free = available_memory()
        # the network's features, their untrained twin's, descriptors, and as much again
        need = 4 * (features.nbytes + self.results.positions.nbytes)
        return free is not None and need > free

    @cached_property
    def positions(self) -> Rows:
        """(F, A, 3) whole molecules, Å, read once."""
        return self.held(self.results.positions)

    def held(self, rows: Rows) -> Rows:
        """Read an array over all frames, unless there are too many of them."""
        return rows if self.streams else np.asarray(rows)

    def split(self, values: Rows) -> list[Rows]:
        """Cut an array over all frames into unbroken runs."""
        return self.results.split(values)
