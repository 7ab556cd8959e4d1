"""Opening files: which is the topology, what is damaged, what the times are."""

from mdgeomfeat.reading.files import (
    TrajectoryInfo,
    common_dt,
    open_universe,
    trajectory_info,
)
from mdgeomfeat.reading.mdtraj_files import H5Reader, universe_from_mdtraj

__all__ = [
    "H5Reader",
    "TrajectoryInfo",
    "common_dt",
    "open_universe",
    "trajectory_info",
    "universe_from_mdtraj",
]
