"""What the features are set beside: classical descriptors and an untrained network."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING

import numpy as np

from mdgeomfeat.commands.featurized import Featurized
from mdgeomfeat.commands.mapping import Torsion
from mdgeomfeat.commands.progress import Reporter
from mdgeomfeat.errors import InputError
from mdgeomfeat.report.wording import RANDOM
from mdgeomfeat.store import LazyArray, Rows, map_rows

if TYPE_CHECKING:
    from mdgeomfeat.commands.options import ReadOptions
    from mdgeomfeat.descriptors import DescriptorPlan
    from mdgeomfeat.gnn import Backbone

__all__ = [
    "PRIMARY",
    "RANDOM",
    "Baselines",
    "classical_baselines",
    "gnn_input",
    "twin_of",
    "untrained_twin",
]

PRIMARY = "GNN features"
TWIN_SEED = 1
MIN_ALPHA_CARBONS = 4

_NAMES = {
    "distances": "distances",
    "ca_distances": "C-alpha distances",
    "dihedrals": "dihedrals",
    "positions": "aligned positions",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Baselines:
    """Classical descriptors of all frames.

    Attributes
    ----------
    inputs : dict of str to list of (F_i, D) ndarray
        By name, one array per unbroken run.
    notes : dict of str to str
        What was chosen for each.
    torsions : tuple of Torsion
        Main-chain angles.
    distances : (names, (F, P) ndarray) or None
    """

    inputs: dict[str, list[Rows]]
    notes: dict[str, str]
    torsions: tuple[Torsion, ...] = ()
    distances: tuple[Sequence[str], Rows] | None = None
    itself: dict[str, str] = field(default_factory=dict)


def classical_baselines(data: Featurized, progress: Reporter) -> Baselines:
    """Compute every descriptor that applies to the selection.

    Parameters
    ----------
    data : Featurized
        Its positions are used, so that nothing is read twice.
    progress : Reporter
    """
    from mdgeomfeat.descriptors import (
        applicable,
        descriptor_width,
        plan_descriptors,
    )

    structure, positions = data.structure, data.positions
    kinds = applicable(structure)
    if "ca_distances" in kinds:
        enough = MIN_ALPHA_CARBONS * (MIN_ALPHA_CARBONS - 1) // 2
        if descriptor_width("ca_distances", structure) < enough:
            kinds.remove("ca_distances")
    first = positions[0]
    inputs, notes = {}, {}
    torsions: tuple[Torsion, ...] = ()
    distances = None
    with progress.stage("classical descriptors", len(kinds), "kinds") as advance:
        for kind in kinds:
            plan = plan_descriptors(kind, structure, first)
            values = _values(plan, data, positions)
            inputs[_NAMES[kind]] = data.split(values)
            notes[_NAMES[kind]] = plan.note
            if kind == "distances":
                distances = (plan.names, values)
            if kind == "dihedrals":
                torsions = _torsions(data, values)
            advance(1)
    return Baselines(
        inputs=inputs,
        notes=notes,
        torsions=torsions,
        distances=distances,
        itself={_NAMES[kind]: kind for kind in ("distances", "dihedrals")},
    )


def _values(plan: DescriptorPlan, data: Featurized, positions: Rows) -> Rows:
    """Return descriptors of all frames, of lazy positions lazily."""
    boxes = data.results.boxes
    sources = [positions] if boxes is None else [positions, boxes]
    return map_rows(plan.compute, sources, (len(plan.names),), np.float32)


def _torsions(data: Featurized, waves: Rows) -> tuple[Torsion, ...]:
    """Return main-chain angles, or side-chain ones where there is no main chain.

    They come back from the sines and cosines of the baseline, so that no torsion is
    measured twice.
    """
    from mdgeomfeat.descriptors import plan_angles

    first = data.positions[0]
    every = plan_angles(data.structure, first, side_chains=True).names
    try:
        shown = plan_angles(data.structure, first).names
    except InputError:
        shown = every
    columns = [every.index(name) for name in shown]
    angles = np.asarray(
        map_rows(
            lambda w: np.arctan2(w[:, 0::2], w[:, 1::2])[:, columns],
            [waves],
            (len(shown),),
            np.float32,
        )
    )
    return tuple(
        Torsion(name=name, values=angles[:, i]) for i, name in enumerate(shown)
    )


def gnn_input(data: Featurized, *, vectors: bool = False) -> list[Rows]:
    """Return what the estimators see of the network's features, run by run.

    Parameters
    ----------
    data : Featurized
    vectors : bool
        Scalars and vectors (F, N, 4, C) for an equivariant mixer, in place of the
        invariants (F, N, K).
    """
    results = data.results
    return data.split(data.held(results.channels if vectors else results.invariants()))


def twin_of(data: Featurized) -> Backbone:
    """Return the network that was never trained, of the same shape.

    Parameters
    ----------
    data : Featurized
    """
    from mdgeomfeat.gnn import random_twin

    return random_twin(data.model, TWIN_SEED)


def untrained_twin(
    read: ReadOptions,
    data: Featurized,
    progress: Reporter,
    *,
    vectors: bool = False,
) -> tuple[list[Rows], list[Rows]]:
    """Return the features of a network of the same shape that was never trained.

    Parameters
    ----------
    read : ReadOptions
        Where and how the trained one was computed.
    data : Featurized
        What makes its features makes the twin's. Its positions are used, so that
        nothing is read twice.
    progress : Reporter
    vectors : bool
        Whether the estimators get scalars and vectors, as in :func:`gnn_input`.

    Returns
    -------
    invariants, estimator_input : lists of arrays, run by run
        The same list twice unless ``vectors``.
    """
    from mdgeomfeat.featurizer import TokenEncoder, join_channels
    from mdgeomfeat.featurizer.invariants import frame_invariants

    encoder = TokenEncoder(
        data.structure,
        replace(
            data.results.spec,
            model=twin_of(data),
            allow_unseen=True,
        ),
        device=read.device,
        engine=read.engine,
        batch_size=read.batch_size,
    )
    positions, boxes = data.positions, data.results.boxes
    flat, joined = _Collected(data), _Collected(data)
    with progress.stage("untrained twin", len(positions)) as advance:
        for start in range(0, len(positions), encoder.batch_size):
            rows = slice(start, start + encoder.batch_size)
            x, cells = positions[rows], None if boxes is None else boxes[rows]
            scalars, vector = encoder.encode(x, cells)
            flat.add(
                frame_invariants(
                    scalars,
                    vector,
                    x,
                    cells,
                    structure=data.structure,
                    spec=encoder.spec,
                )
            )
            if vectors:
                joined.add(join_channels(scalars, vector))
            advance(len(scalars))
    numbers = data.split(flat.rows())
    return numbers, data.split(joined.rows()) if vectors else numbers


class _Collected:
    """Rows of all frames, one batch after another: in memory, or in a scratch file."""

    def __init__(self, data: Featurized) -> None:
        self._blocks: list[np.ndarray] = []
        self._file: IO[bytes] | None = None
        self._n_rows = 0
        if data.streams:
            # has no name on the disk, so that nothing stays behind
            self._file = tempfile.TemporaryFile(dir=data.scratch)  # noqa: SIM115

    def add(self, block: np.ndarray) -> None:
        """Take the next rows."""
        self._n_rows += len(block)
        if self._file is None:
            self._blocks.append(block)
            return
        self._blocks = [block]
        try:
            self._file.write(block.tobytes())
        except OSError as error:
            raise InputError(
                "There is no room on the disk for the features of the untrained "
                f"network ({error.strerror}); free some space, or analyse fewer frames "
                "(--step)."
            ) from error

    def rows(self) -> Rows:
        """Return what was taken."""
        if self._file is None:
            return np.concatenate(self._blocks)
        last = self._blocks[-1]
        self._file.flush()
        shape = (self._n_rows, *last.shape[1:])
        # written first and mapped then: a full disk would end a process that maps
        values = np.memmap(self._file, last.dtype, "r", shape=shape)
        return LazyArray([values], [None])
