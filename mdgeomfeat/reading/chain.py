"""The trajectories that a Universe reads as one."""

from __future__ import annotations

from typing import Any

__all__ = ["file_readers"]


def file_readers(trajectory: Any) -> list[Any]:
    """Return the reader of every file of a trajectory, in their order.

    Parameters
    ----------
    trajectory : MDAnalysis reader
        A ChainReader has several; any other is the only one.
    """
    return list(getattr(trajectory, "readers", [trajectory]))
