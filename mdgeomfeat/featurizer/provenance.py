"""Where features come from, and what two runs must share to be the same run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import MDAnalysis as mda
import numpy as np
import zarr

from mdgeomfeat.featurizer.encoder import TokenEncoder
from mdgeomfeat.featurizer.frames import FramePlan
from mdgeomfeat.featurizer.inputs import describe_input, sha256_of
from mdgeomfeat.featurizer.unusable import read_frame
from mdgeomfeat.reading.chain import file_readers
from mdgeomfeat.reading.dcd import turned
from mdgeomfeat.reading.times import frame_time
from mdgeomfeat.store.layout import Mark

if TYPE_CHECKING:
    from mdgeomfeat.featurespec import FeatureSpec
    from mdgeomfeat.structure import Structure

__all__ = ["VERSIONS", "run_identity", "run_provenance"]

# Trajectories of which two frames are looked at, to tell one way of reading them from
# another.
_SAMPLED = 4

# Whose versions may change the last bits of features.
VERSIONS = ("mdgeomfeat", "python", "numpy", "numba", "torch", "MDAnalysis")

# How features were computed and stored: what changes the numbers beside the spec.
_COMPUTED = ("store_dtype", "engine", "device", "batch_size")


def run_provenance(
    encoder: TokenEncoder, reader: Any, plan: FramePlan, asked: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what must be known to get the same features again, for JSON.

    Parameters
    ----------
    encoder : TokenEncoder
    reader : MDAnalysis reader
    plan : FramePlan
    asked : mapping
        The run's ``topology``, ``store_dtype`` and ``box_used``.
    """
    sources = [asked["topology"], *file_readers(reader)]
    return {
        "MDAnalysis": mda.__version__,
        "zarr": zarr.__version__,
        **encoder.provenance(),
        **asked,
        "topology": str(asked["topology"]),
        "n_atoms": encoder.structure.n_atoms,
        "transformations": [
            getattr(t, "__name__", type(t).__name__) for t in reader.transformations
        ]
        + ["cells of CHARMM turned"] * bool(turned(reader)),
        "trajectories": plan.sources,
        "n_frames": plan.counts(),
        "dt": plan.dt,
        "inputs": [describe_input(source) for source in sources],
        "sample": _sample(reader, plan, encoder.structure),
    }


def _sample(reader: Any, plan: FramePlan, structure: Structure) -> str:
    """Return a checksum of times, boxes and positions of a few frames, as read.

    Transformations, units, boxes and times that were set after a file was opened are
    seen here, and nowhere else.
    """
    parts: list[bytes] = []
    last = len(plan.first_frames) - 1
    chosen = np.unique(np.linspace(0, last, _SAMPLED).astype(int))
    frames = plan.first_frames[chosen, None] + np.arange(2)
    for frame in frames.ravel().tolist():
        ts = None
        if frame < reader.n_frames:
            ts = read_frame(reader, plan, frame, skip_bad=True)
        if ts is not None:
            box = np.zeros(6) if ts.dimensions is None else ts.dimensions
            numbers = np.float64(frame_time(ts, reader)), np.asarray(box, np.float64)
            atoms = np.ascontiguousarray(ts.positions[structure.indices])
            parts += [part.tobytes() for part in (*numbers, atoms)]
    return sha256_of(b"".join(parts))


def run_identity(
    provenance: Mapping[str, Any],
    spec: FeatureSpec,
    structure: Structure,
    plan: FramePlan,
) -> dict[str, Mark]:
    """Return what must agree for a run to go on with a store.

    Each entry is a value to compare and words to show. Versions of packages and names
    of files are no part of it.

    Parameters
    ----------
    provenance : mapping
        Of :func:`run_provenance`.
    spec : FeatureSpec
    structure : Structure
    plan : FramePlan
    """
    atoms = f"of {structure.n_atoms} atoms in {structure.n_tokens} tokens"
    frames = f"{plan.frames.min()} to {plan.frames.max()} ({len(plan):,} in all)"
    marks = {
        "model": (provenance["model_fingerprint"], spec.model_name),
        "selection": (sha256_of(_json(structure.to_dict())), atoms),
        "frames": (sha256_of(np.ascontiguousarray(plan.frames)), frames),
        "trajectories": (_begins(plan), _begins(plan)),
        "positions, boxes or times": (provenance["sample"], "as they were read"),
    }
    for number, entry in enumerate(provenance["inputs"]):
        role = f"trajectory {number}" if number else "topology"
        marks[role] = (str(entry["checksum"]), Path(entry["name"]).name)
    changes = ", ".join(provenance["transformations"]) or "none"
    marks["transformations"] = (changes, changes)
    options = {"box use": str(provenance["box_used"]), **spec.compared()}
    # Two GPUs of one machine are the same device here.
    options |= {key: str(provenance[key]).split(":")[0] for key in _COMPUTED}
    return marks | {words: (value, value) for words, value in options.items()}


def _begins(plan: FramePlan) -> str:
    """Return where trajectories begin, in words."""
    return f"that begin at frame {', '.join(map(str, plan.first_frames.tolist()))}"


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
