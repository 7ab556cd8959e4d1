"""Variables for biased simulations: those that hardly change when atoms are moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from mdgeomfeat.commands.featurized import Featurized

if TYPE_CHECKING:
    from mdgeomfeat.kinetics import StudyResult
    from mdgeomfeat.store import Rows

__all__ = ["SMOOTH", "SmoothVariables", "smooth_variables"]

#: Name of the folder of their model in a folder of results.
SMOOTH: Final = "smooth"

#: Frames of each state, and atoms in all of them together, that are moved at most.
_FRAMES, _ATOMS = 3000, 400_000
_STEP: Final = 0.01  # Å, by which a coordinate is moved forwards and backwards
_SEED: Final = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class SmoothVariables:
    """A study with smooth variables in place of its own.

    Attributes
    ----------
    study : StudyResult
        Its model and variables are the smooth ones; states and scores are as before.
    displacement : float
        Å, that the variables were smoothed for.
    """

    study: StudyResult
    displacement: float


def smooth_variables(
    study: StudyResult, data: Featurized, inputs: Sequence[Rows]
) -> SmoothVariables:
    """Learn smooth variables from the frames of a study.

    The frames whose atoms are moved are as many of each state, because a bias goes to
    all of them.

    Parameters
    ----------
    study : StudyResult
        Of TICA.
    data : Featurized
    inputs : list of arrays, run by run
        What the study's variables were learnt from.

    Returns
    -------
    SmoothVariables

    Raises
    ------
    ScoreError
        If no motion is slow.
    """
    from mdgeomfeat.kinetics import fit_smooth_tica
    from mdgeomfeat.kinetics.model import make_cv_model

    model = study.model
    rows = np.concatenate([np.arange(r.start, r.stop) for r in data.rows])
    chosen, factors = _per_state(
        np.concatenate(study.states.dtrajs),
        study.states.n_states,
        max(_ATOMS // data.structure.n_atoms, 50),
    )
    fitted, displacement = fit_smooth_tica(
        list(inputs),
        model.lag,
        model.dim,
        factors[:, None] * _slopes(data, rows[chosen]),
        n_components=model.rotation.pca,
        weights=None if study.weights is None else study.weights.values,
    )
    smooth = make_cv_model("tica", fitted, list(inputs), model.lag, model.metadata)
    cvs = smooth.transform(inputs)
    return SmoothVariables(
        study=replace(study, model=smooth, cvs=cvs), displacement=displacement
    )


def _per_state(
    states: np.ndarray, n_states: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return frames of every state, and factors with which all states count alike."""
    each = max(min(_FRAMES, most // n_states), 1)
    chosen = []
    for state in range(n_states):
        own = np.flatnonzero(states == state)
        if len(own):
            at = np.linspace(0, len(own) - 1, min(each, len(own))).astype(int)
            chosen.append(own[np.unique(at)])
    total = sum(map(len, chosen))
    factors = [np.full(len(c), np.sqrt(total / (len(c) * len(chosen)))) for c in chosen]
    frames = np.concatenate(chosen)
    order = np.argsort(frames)  # as arrays on disk are read
    return frames[order], np.concatenate(factors)[order]


def _slopes(data: Featurized, frames: np.ndarray) -> np.ndarray:
    """Return how features change per Å along a random direction of each frame."""
    from mdgeomfeat.featurizer.encoder import TokenEncoder
    from mdgeomfeat.featurizer.invariants import frame_invariants

    spec = replace(data.results.spec, model=data.model, allow_unseen=True)
    encoder = TokenEncoder(data.structure, spec)
    rng = np.random.default_rng(_SEED)
    cells = data.results.boxes
    found = []
    for start in range(0, len(frames), encoder.batch_size):
        part = frames[start : start + encoder.batch_size]
        positions = np.asarray(data.positions[part], np.float64)
        moves = rng.normal(size=positions.shape)
        boxes = None if cells is None else np.asarray(cells[part])
        there, back = (
            frame_invariants(
                *encoder.encode(moved, boxes),
                moved,
                boxes,
                structure=data.structure,
                spec=encoder.spec,
            )
            for moved in (positions + _STEP * moves, positions - _STEP * moves)
        )
        found.append((there - back).reshape(len(part), -1) / (2 * _STEP))
    return np.concatenate(found)
