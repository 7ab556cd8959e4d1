"""Opening files: which is the topology, what is damaged, what the times are."""

from mdgeomfeat.reading.files import find_topology, open_universe
from mdgeomfeat.reading.mdtraj_files import H5Reader, universe_from_mdtraj
from mdgeomfeat.reading.times import TrajectoryInfo, common_dt, trajectory_info

__all__ = [
    "H5Reader",
    "TrajectoryInfo",
    "common_dt",
    "find_topology",
    "open_universe",
    "trajectory_info",
    "universe_from_mdtraj",
]
