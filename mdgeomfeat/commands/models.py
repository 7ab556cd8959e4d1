"""Trained models on disk: collective variables, and the network behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.commands.featurized import Featurized
from mdgeomfeat.variables.saved import CVS, NETWORK, TRAINING
from mdgeomfeat.variables.training import record_training

if TYPE_CHECKING:
    from mdgeomfeat.kinetics import CVModel, StudyResult
    from mdgeomfeat.store import Rows

__all__ = ["assign_states", "feature_recipe", "write_model"]


def feature_recipe(data: Featurized) -> dict[str, Any]:
    """Return what must be repeated for a model to be applied to other frames."""
    return {
        "features": data.results.spec.to_dict(),
        "model_fingerprint": data.results.provenance["model_fingerprint"],
        "structure": {
            "numbers": data.structure.numbers.tolist(),
            "token_of_atom": data.structure.token_of_atom.tolist(),
            "labels": data.structure.token_labels(),
            "table": data.structure.to_dict(),
        },
        "dt": data.dt,
        "stated_dt": data.results.provenance.get("dt"),
    }


def write_model(
    folder: Path, data: Featurized, inputs: Sequence[Rows], study: StudyResult
) -> None:
    """Write the collective variables, their states and data, and the network.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    data : Featurized
        Its network is kept, so that the model stays usable alone.
    inputs : list of arrays, run by run
        What the model was trained on.
    study : StudyResult
    """
    from mdgeomfeat.gnn import save_model

    folder.mkdir(parents=True, exist_ok=True)
    network = data.model
    card = {k: v for k, v in (network.card or {}).items() if k != "reference"}
    save_model(network, folder / f"{NETWORK}.safetensors", card)
    metadata = {**study.model.metadata, "states": _states(study)}
    replace(study.model, metadata=metadata).save(folder / CVS)
    record_training(
        inputs,
        study.cvs,
        study.states.dtrajs,
        study.states.n_states,
        box=data.results.boxes is not None,
    ).save(folder / TRAINING)


def _states(study: StudyResult) -> dict[str, Any]:
    """Return the centre of every microstate, and the state that it belongs to."""
    points = np.concatenate(study.cvs)
    micro = np.concatenate(study.states.microstates)
    states = np.concatenate(study.states.dtrajs)
    occupied, first = np.unique(micro, return_index=True)
    centres = [points[micro == number].mean(axis=0).tolist() for number in occupied]
    return {"centres": centres, "state_of_centre": states[first].tolist()}


def assign_states(model: CVModel, cvs: list[np.ndarray]) -> list[np.ndarray]:
    """Return the state of the nearest microstate's centre for every frame.

    Parameters
    ----------
    model : CVModel
        As `mdgeomfeat.variables.read_model_folder` gives it.
    cvs : list of (F_i, d) ndarray
    """
    from scipy.spatial import cKDTree

    stored = model.metadata["states"]
    tree = cKDTree(np.array(stored["centres"]))
    state = np.array(stored["state_of_centre"])
    return [state[tree.query(values)[1]] for values in cvs]
