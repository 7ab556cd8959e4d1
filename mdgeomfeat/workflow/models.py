"""Trained models on disk: collective variables, and the network behind them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import FeatureSpec
from mdgeomfeat.workflow.features import Featurized

if TYPE_CHECKING:
    from mdgeomfeat.gnn import Backbone
    from mdgeomfeat.kinetics import CVModel, StudyResult

__all__ = ["assign_states", "feature_recipe", "read_model_folder", "write_model"]

CVS, NETWORK = "cvs", "network"


def feature_recipe(data: Featurized) -> dict[str, Any]:
    """Return what must be repeated for a model to be applied to other frames."""
    return {
        "features": data.results.spec.to_dict(),
        "model_fingerprint": data.results.provenance["model_fingerprint"],
        "structure": {
            "numbers": data.structure.numbers.tolist(),
            "token_of_atom": data.structure.token_of_atom.tolist(),
            "labels": data.structure.token_labels(),
        },
        "dt": data.dt,
        "stated_dt": data.results.provenance.get("dt"),
    }


def write_model(folder: Path, network: Backbone, study: StudyResult) -> None:
    """Write the collective variables, their states and the network.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    network : Backbone
        What made the features; kept, so that the model stays usable alone.
    study : StudyResult
    """
    from mdgeomfeat.gnn import save_model

    folder.mkdir(parents=True, exist_ok=True)
    card = {k: v for k, v in (network.card or {}).items() if k != "reference"}
    save_model(network, folder / f"{NETWORK}.safetensors", card)
    metadata = {**study.model.metadata, "states": _states(study)}
    replace(study.model, metadata=metadata).save(folder / CVS)


def _states(study: StudyResult) -> dict[str, Any]:
    """Return the centre of every microstate, and the state that it belongs to."""
    points = np.concatenate(study.cvs)
    micro = np.concatenate(study.msm.microstates)
    states = np.concatenate(study.msm.dtrajs)
    occupied, first = np.unique(micro, return_index=True)
    centres = [points[micro == number].mean(axis=0).tolist() for number in occupied]
    return {"centres": centres, "state_of_centre": states[first].tolist()}


def assign_states(model: CVModel, cvs: list[np.ndarray]) -> list[np.ndarray]:
    """Return the state of the nearest microstate's centre for every frame.

    Parameters
    ----------
    model : CVModel
        As :func:`read_model_folder` gives it.
    cvs : list of (F_i, d) ndarray
    """
    from scipy.spatial import cKDTree

    stored = model.metadata["states"]
    tree = cKDTree(np.array(stored["centres"]))
    state = np.array(stored["state_of_centre"])
    return [state[tree.query(values)[1]] for values in cvs]


def _is_recipe(metadata: Any) -> bool:
    """Whether a model's metadata say how to apply it to trajectories."""
    needed: dict[str, set[str]] = {
        "features": {"select", "tokens", "window", "invariants"},
        "states": {"centres", "state_of_centre"},
        "structure": {"labels", "numbers", "token_of_atom"},
    }
    return (
        isinstance(metadata, dict)
        and all(
            isinstance(metadata.get(part), dict) and keys <= metadata[part].keys()
            for part, keys in needed.items()
        )
        and _fingerprint(metadata) is not None
    )


def _fingerprint(metadata: dict[str, Any]) -> str | None:
    """Return that of the network, which stood among the features at first."""
    return metadata.get(
        "model_fingerprint", metadata["features"].get("model_fingerprint")
    )


def read_model_folder(path: Path) -> tuple[CVModel, FeatureSpec]:
    """Read what :func:`write_model` wrote.

    Parameters
    ----------
    path : Path
        The folder ``model`` of a report, or the report's folder.

    Returns
    -------
    model : CVModel
    features : FeatureSpec
        What its inputs were made with; ``model`` is the network itself.

    Raises
    ------
    InputError
        If there is no model.
    """
    from mdgeomfeat.gnn import read_model
    from mdgeomfeat.kinetics import CVModel

    folder = path / "model" if (path / "model").is_dir() else path
    if not (folder / f"{CVS}.safetensors").is_file():
        raise InputError(
            f"--apply '{path}' holds no model; give the folder 'model' of a report "
            "that vamp or tica wrote."
        )
    model = CVModel.load(folder / CVS)
    if not _is_recipe(model.metadata):
        raise InputError(
            f"--apply '{path}' does not say which features it needs; give the folder "
            "'model' of a report that vamp or tica wrote."
        )
    network = read_model(folder / f"{NETWORK}.safetensors")
    if network.fingerprint != _fingerprint(model.metadata):
        raise InputError(
            f"--apply '{path}' holds a network that does not belong to its collective "
            "variables; copy the folder again."
        )
    features = FeatureSpec.from_stored(
        model.metadata, model.metadata["structure"]["token_of_atom"]
    )
    return model, replace(features, model=network)
