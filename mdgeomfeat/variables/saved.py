"""Saved models: what a folder holds, and which molecule it was made for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import FeatureSpec

if TYPE_CHECKING:
    from mdgeomfeat.kinetics import CVModel
    from mdgeomfeat.structure import Structure
    from mdgeomfeat.variables.training import TrainingRecord

__all__ = [
    "CVS",
    "NETWORK",
    "TRAINING",
    "check_same_molecule",
    "formula",
    "has_training",
    "network_fingerprint",
    "read_model_folder",
    "read_training",
    "token_elements",
]

CVS, NETWORK, TRAINING = "cvs", "network", "training.safetensors"

_NEEDED: dict[str, set[str]] = {
    "features": {"select", "tokens", "window", "invariants"},
    "states": {"centres", "state_of_centre"},
    "structure": {"labels", "numbers", "token_of_atom"},
}


def _is_recipe(metadata: Any) -> bool:
    """Whether a model's metadata say how to apply it to trajectories."""
    return (
        isinstance(metadata, dict)
        and all(
            isinstance(metadata.get(part), dict) and keys <= metadata[part].keys()
            for part, keys in _NEEDED.items()
        )
        and network_fingerprint(metadata) is not None
    )


def network_fingerprint(metadata: dict[str, Any]) -> str | None:
    """Return that of a model's network, which stood among the features at first.

    Parameters
    ----------
    metadata : dict
        Of the model.
    """
    fingerprint: str | None = metadata.get(
        "model_fingerprint", metadata["features"].get("model_fingerprint")
    )
    return fingerprint


def read_model_folder(path: str | Path) -> tuple[CVModel, FeatureSpec]:
    """Read the model that ``vamp`` or ``tica`` wrote.

    Parameters
    ----------
    path : path
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

    Examples
    --------
    >>> from mdgeomfeat.variables import read_model_folder
    >>> model, features = read_model_folder("report")
    >>> model.method, features.tokens
    ('tica', 'residue')
    >>> read_model_folder("elsewhere")
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: The folder 'elsewhere' holds no model; give the ...
    """
    from mdgeomfeat.gnn import read_model
    from mdgeomfeat.kinetics import CVModel

    folder = _model_folder(path)
    if not (folder / f"{CVS}.safetensors").is_file():
        raise InputError(
            f"The folder '{path}' holds no model; give the folder 'model' of a report "
            "that vamp or tica wrote."
        )
    model = CVModel.load(folder / CVS)
    if not _is_recipe(model.metadata):
        raise InputError(
            f"The model in '{path}' does not say which features it needs; give the "
            "folder 'model' of a report that vamp or tica wrote."
        )
    network = read_model(folder / f"{NETWORK}.safetensors")
    if network.fingerprint != network_fingerprint(model.metadata):
        raise InputError(
            f"The folder '{path}' holds a network that does not belong to its "
            "collective variables; copy the folder again."
        )
    features = FeatureSpec.from_stored(
        model.metadata, model.metadata["structure"]["token_of_atom"]
    )
    return model, replace(features, model=network)


def has_training(path: str | Path) -> bool:
    """Whether a model's folder says of which data it was learnt.

    Parameters
    ----------
    path : path
        The folder ``model`` of a report, or the report's folder.
    """
    return (_model_folder(path) / TRAINING).is_file()


def read_training(path: str | Path) -> TrainingRecord:
    """Read what a model's folder says of the data that it was learnt from.

    Parameters
    ----------
    path : path
        The folder ``model`` of a report, or the report's folder.

    Returns
    -------
    TrainingRecord

    Raises
    ------
    InputError
        If an earlier release wrote the model, which kept no such record.

    Examples
    --------
    >>> from mdgeomfeat.variables import read_training
    >>> record = read_training("report")
    >>> int(record.counts.sum()), record.box
    (200, False)
    """
    from mdgeomfeat.variables.training import TrainingRecord

    file = _model_folder(path) / TRAINING
    if not file.is_file():
        raise InputError(
            f"The model in '{path}' holds no record of its training data "
            f"({TRAINING}); learn it again with this release."
        )
    return TrainingRecord.load(file)


def _model_folder(path: str | Path) -> Path:
    """Return the folder of a model, which may stand in that of its report."""
    path = Path(path)
    return path / "model" if (path / "model").is_dir() else path


def check_same_molecule(metadata: dict[str, Any], structure: Structure) -> None:
    """Refuse atoms and tokens that are not those of a model.

    Parameters
    ----------
    metadata : dict
        Of the model.
    structure : Structure

    Raises
    ------
    InputError
        Naming the first token that differs.

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.variables import check_same_molecule, read_model_folder
    >>> model, _ = read_model_folder("report")
    >>> atoms = mda.Universe("top.pdb").select_atoms("name CA")
    >>> check_same_molecule(model.metadata, Structure.from_atomgroup(atoms))
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: The model was made for 3 tokens and these files ...
    """
    stored = metadata["structure"]
    labels = structure.token_labels()
    if len(labels) != len(stored["labels"]):
        raise InputError(
            f"The model was made for {len(stored['labels'])} tokens and these files "
            f"have {len(labels)}; give the same molecule, or the same atoms with "
            "--select; a mutant needs mdgeomfeat apply with --align."
        )
    there = token_elements(stored["numbers"], stored["token_of_atom"], len(labels))
    here = token_elements(structure.numbers, structure.token_of_atom, len(labels))
    for a, b, name_a, name_b in zip(there, here, stored["labels"], labels, strict=True):
        if a != b:
            raise InputError(
                "The selected atoms are not those that the model was made for "
                f"({name_a} of {formula(a)} there, {name_b} of {formula(b)} here); "
                "give the same molecule, or the same atoms with --select; a mutant "
                "needs mdgeomfeat apply with --align."
            )


def token_elements(
    numbers: ArrayLike, token_of_atom: ArrayLike, n_tokens: int
) -> list[list[int]]:
    """Return the sorted atomic numbers of every token.

    Features do not depend on the order of atoms within a token, which differs between
    programs, nor on the names of tokens.

    Parameters
    ----------
    numbers, token_of_atom : (A,) array_like of int
    n_tokens : int
    """
    elements: dict[int, list[int]] = {}
    pairs = zip(
        np.asarray(numbers).tolist(), np.asarray(token_of_atom).tolist(), strict=False
    )
    for number, token in pairs:
        elements.setdefault(token, []).append(number)
    return [sorted(elements.get(token, [])) for token in range(n_tokens)]


def formula(numbers: list[int]) -> str:
    """Write sorted atomic numbers as a formula, such as ``C3 N1 O1``."""
    from mdgeomfeat.structure.elements import SYMBOLS

    return " ".join(f"{SYMBOLS[z]}{n}" for z, n in Counter(numbers).items())
