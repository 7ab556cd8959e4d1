"""What ``info`` finds, as numbers for programs (its JSON)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.structure.elements import SYMBOLS

if TYPE_CHECKING:
    from MDAnalysis.core.universe import Universe

    from mdgeomfeat.gnn import Backbone
    from mdgeomfeat.reading import TrajectoryInfo
    from mdgeomfeat.structure import Structure

__all__ = ["INFO_FORMAT", "file_numbers", "network_numbers", "selection_numbers"]

#: Of the JSON that ``info --json`` prints; described in docs/file-formats.md.
INFO_FORMAT = 1

Numbers = dict[str, Any]


def file_numbers(
    universe: Universe,
    infos: list[TrajectoryInfo],
    frames: np.ndarray,
    stated_dt: float | None,
) -> Numbers:
    """Count atoms, residues and frames.

    Parameters
    ----------
    universe : Universe
    infos : list of TrajectoryInfo
    frames : (F,) ndarray of int
        Those that would be used.
    stated_dt : float or None
        Time between the frames of each file, ps, as it was stated for them.
    """
    atoms = universe.atoms
    names, counts = np.unique(
        [str(r) for r in getattr(atoms.residues, "resnames", [])], return_counts=True
    )
    chains = getattr(atoms, "chainIDs", None)
    return {
        "n_atoms": len(atoms),
        "n_residues": len(atoms.residues),
        "residues": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "chains": [] if chains is None else sorted({str(c) for c in chains if str(c)}),
        "n_segments": len(atoms.segments),
        "stated_dt": stated_dt,
        "trajectories": [
            {
                "path": info.path,
                "n_frames": info.n_frames,
                "dt": info.dt,
                "file_dt": info.file_dt,
                "no_dt": info.no_dt,
                "doubt": info.doubt,
                "first_time": info.first_time,
                "last_time": info.last_time,
                "seams": list(info.seams),
                "box": None if info.box is None else [float(v) for v in info.box],
            }
            for info in infos
        ],
        "n_frames": sum(info.n_frames for info in infos),
        "n_frames_used": len(frames),
    }


def selection_numbers(structure: Structure, tokens: str, window: int | None) -> Numbers:
    """Describe what would be selected."""
    numbers, counts = np.unique(structure.numbers, return_counts=True)
    return {
        "n_atoms": structure.n_atoms,
        "elements": {SYMBOLS[z]: int(n) for z, n in zip(numbers, counts, strict=True)},
        "tokens": tokens,
        "n_tokens": structure.n_tokens,
        "n_chains": int(structure.chain[-1]) + 1,
        "labels": structure.token_labels(),
        "window": window,
    }


def network_numbers(name: str, model: Backbone, structure: Structure) -> Numbers:
    """Describe the network that would be run on a selection."""
    return {
        "model": name,
        "architecture": model.spec.architecture,
        "n_layers": model.spec.n_layers,
        "n_channels": model.spec.n_channels,
        "cutoff": float(model.spec.cutoff),
        "unseen": [SYMBOLS[z] for z in model.unseen(structure.numbers)],
    }
