"""What the features are set beside: classical descriptors and an untrained network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.report.summary import RANDOM
from mdgeomfeat.workflow.comparison import Torsion
from mdgeomfeat.workflow.features import Featurized
from mdgeomfeat.workflow.progress import Reporter

if TYPE_CHECKING:
    from mdgeomfeat.workflow.options import ReadOptions

__all__ = [
    "PRIMARY",
    "RANDOM",
    "Baselines",
    "classical_baselines",
    "gnn_input",
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

    inputs: dict[str, list[np.ndarray]]
    notes: dict[str, str]
    torsions: tuple[Torsion, ...] = ()
    distances: tuple[Sequence[str], np.ndarray] | None = None
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
        angles,
        applicable,
        compute_descriptors,
        descriptor_width,
    )

    structure, boxes = data.structure, data.results.boxes
    positions = data.positions
    kinds = applicable(structure)
    if "ca_distances" in kinds:
        enough = MIN_ALPHA_CARBONS * (MIN_ALPHA_CARBONS - 1) // 2
        if descriptor_width("ca_distances", structure) < enough:
            kinds.remove("ca_distances")
    inputs, notes = {}, {}
    torsions: tuple[Torsion, ...] = ()
    distances = None
    with progress.stage("classical descriptors", len(kinds), "kinds") as advance:
        for kind in kinds:
            found = compute_descriptors(kind, structure, positions, boxes)
            inputs[_NAMES[kind]] = data.split(found.values)
            notes[_NAMES[kind]] = found.note
            if kind == "distances":
                distances = (found.names, found.values)
            if kind == "dihedrals":
                torsions = _torsions(angles, data, positions)
            advance(1)
    return Baselines(
        inputs=inputs,
        notes=notes,
        torsions=torsions,
        distances=distances,
        itself={_NAMES[kind]: kind for kind in ("distances", "dihedrals")},
    )


def _torsions(angles, data: Featurized, positions: np.ndarray) -> tuple[Torsion, ...]:  # type: ignore[no-untyped-def]
    """Return main-chain angles, or side-chain ones where there is no main chain."""
    from mdgeomfeat.errors import InputError

    structure, boxes = data.structure, data.results.boxes
    try:
        found = angles(structure, positions, boxes)
    except InputError:
        found = angles(structure, positions, boxes, side_chains=True)
    return tuple(
        Torsion(name=name, values=found.values[:, i])
        for i, name in enumerate(found.names)
    )


def gnn_input(data: Featurized, *, vectors: bool = False) -> list[np.ndarray]:
    """Return what the estimators see of the network's features, run by run.

    Parameters
    ----------
    data : Featurized
    vectors : bool
        Scalars and vectors (F, N, 4, C) for an equivariant mixer, in place of the
        invariants (F, N, K).
    """
    if not vectors:
        return [np.asarray(x) for x in data.results.token_features_list()]
    results = data.results
    return data.split(_joined(np.asarray(results.scalars), np.asarray(results.vectors)))


def _joined(scalars: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return (F, N, 4, C), the scalar first."""
    return np.concatenate([scalars[:, :, None, :], vectors], axis=2)


def untrained_twin(
    read: ReadOptions,
    data: Featurized,
    progress: Reporter,
    *,
    vectors: bool = False,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the features of a network of the same shape that was never trained.

    Parameters
    ----------
    read : ReadOptions
        Options of the trained one, which the twin shares.
    data : Featurized
        Its positions are used, so that nothing is read twice.
    progress : Reporter
    vectors : bool
        Whether the estimators get scalars and vectors, as in :func:`gnn_input`.

    Returns
    -------
    invariants, estimator_input : lists of arrays, run by run
        The same list twice unless ``vectors``.
    """
    from mdgeomfeat.featurizer import TokenEncoder, invariants
    from mdgeomfeat.gnn import random_twin

    encoder = TokenEncoder(
        data.structure,
        model=random_twin(data.model, TWIN_SEED),
        window=read.window,
        allow_unseen=True,
        device=read.device,
        engine=read.engine,
    )
    positions, boxes = data.positions, data.results.boxes
    flat, joined = [], []
    with progress.stage("untrained twin", len(positions)) as advance:
        for start in range(0, len(positions), encoder.batch_size):
            rows = slice(start, start + encoder.batch_size)
            scalars, vector = encoder.encode(
                positions[rows], None if boxes is None else boxes[rows]
            )
            flat.append(
                invariants(
                    scalars,
                    vector,
                    data.structure.next_token,
                    encoder.invariants,
                    seed=encoder.invariants_seed,
                )
            )
            if vectors:
                joined.append(_joined(scalars, vector))
            advance(len(scalars))
    numbers = data.split(np.concatenate(flat))
    return numbers, data.split(np.concatenate(joined)) if vectors else numbers
