"""What a fine-tuned network predicts, and how far that is from the labels."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from .labels import LabelledSet
from .model import PropertyModel, dipole_lengths

__all__ = ["Predictions", "errors", "predict", "write_predictions"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of molecules, in the labels' units.

    Parameters
    ----------
    y : ndarray, shape (n, k), or None
        k is 1, 3 for dipoles, or the number of classes (probabilities).
    forces : ndarray, shape (sum of atoms, 3), or None
        eV/Å.
    """

    y: Floats | None
    forces: Floats | None


def predict(
    model: PropertyModel, graphs: Iterable[Data], *, batch_size: int = 64
) -> Predictions:
    """Predict the labels of molecules.

    Parameters
    ----------
    model : PropertyModel
        Put in evaluation mode.
    graphs : iterable of torch_geometric.data.Data
        With ``z`` and ``pos`` (Å).
    batch_size : int

    Returns
    -------
    Predictions

    Examples
    --------
    >>> import torch
    >>> from torch_geometric.data import Data
    >>> from mdgeomfeat.finetuning import from_graphs
    >>> graphs = [
    ...     Data(
    ...         z=torch.tensor([6, 8]),
    ...         pos=torch.tensor([[0, 0, 0], [0, 0, float(r)]]),
    ...         y=(r - 1.2).square().reshape(1, 1),
    ...     )
    ...     for r in torch.linspace(1.0, 1.5, 12)
    ... ]
    >>> data = from_graphs(graphs, kind="extensive", unit="eV")
    >>> from mdgeomfeat import load_model
    >>> from mdgeomfeat.finetuning import HeadSpec, PropertyModel, predict
    >>> model = PropertyModel(load_model(), HeadSpec.of(data, "gated"))
    >>> predict(model, data.graphs).y.shape
    (12, 1)
    """
    model.eval()
    found: dict[str, list[Floats]] = {"y": [], "forces": []}
    with torch.no_grad():
        for batch in DataLoader(list(graphs), batch_size=batch_size):
            batch = batch.to(model.backbone.device)
            for name, value in model.physical(batch, model(batch)).items():
                found[name].append(value.detach().cpu().double().numpy())
    y, forces = (np.concatenate(v) if v else None for v in found.values())
    return Predictions(y, forces)


def _labels(data: LabelledSet, indices: NDArray[np.int64], name: str) -> Floats:
    return torch.cat([data.graphs[int(i)][name] for i in indices]).double().numpy()


def _distance(error: Floats) -> dict[str, float]:
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
    }


def errors(
    model: PropertyModel,
    predictions: Predictions,
    data: LabelledSet,
    indices: NDArray[np.int64],
    train: tuple[LabelledSet, NDArray[np.int64]],
) -> dict[str, Any]:
    """Compare predictions with labels, and with a guess that looks at no molecule.

    Parameters
    ----------
    model : PropertyModel
    predictions : Predictions
        Of the entries `indices` of `data`.
    data : LabelledSet
    indices : ndarray of int64
    train : (LabelledSet, ndarray)
        What was trained on, from which the guess comes: the median of the labels (for
        sums, the references of the elements), dipoles and forces of zero, or the
        commonest class.

    Returns
    -------
    dict
        ``n``, and for each label ``mae``, ``rmse`` (of components, for vectors),
        ``baseline_mae`` and ``unit``; for classes ``accuracy``, ``balanced_accuracy``
        (mean over the classes) and ``baseline_accuracy``.
    """
    spec, found = model.spec, {"n": len(indices)}
    if spec.kind == "classes":
        return found | _class_errors(predictions, data, indices, train)
    result: dict[str, Any] = dict(found)
    if predictions.y is not None:
        truth = _labels(data, indices, "y")
        guess = predictions.y
        if spec.length:
            guess = dipole_lengths(torch.from_numpy(guess)).numpy()
        simple: Any = 0.0
        if spec.kind == "intensive" or spec.length:
            simple = np.median(_labels(*train, "y"))
        elif spec.kind in ("extensive", "conservative"):
            references = model.references.cpu().numpy()
            simple = np.array(
                [references[data.graphs[int(i)].z.numpy()].sum() for i in indices]
            )[:, None]
        result[spec.target] = {
            **_distance(guess - truth),
            "baseline_mae": float(np.abs(truth - simple).mean()),
            "unit": spec.unit,
        }
    if predictions.forces is not None:
        truth = _labels(data, indices, "forces")
        result["forces"] = {
            **_distance(predictions.forces - truth),
            "baseline_mae": float(np.abs(truth).mean()),
            "unit": "eV/Å",
        }
    return result


def _class_errors(
    predictions: Predictions,
    data: LabelledSet,
    indices: NDArray[np.int64],
    train: tuple[LabelledSet, NDArray[np.int64]],
) -> dict[str, Any]:
    from sklearn.metrics import balanced_accuracy_score

    assert predictions.y is not None
    truth = _labels(data, indices, "y").astype(int)
    guess = predictions.y.argmax(axis=1)
    commonest = np.bincount(_labels(*train, "y").astype(int)).argmax()
    return {
        "accuracy": float((guess == truth).mean()),
        "balanced_accuracy": float(balanced_accuracy_score(truth, guess)),
        "baseline_accuracy": float((truth == commonest).mean()),
    }


def write_predictions(
    path: str | Path,
    rows: Mapping[str, tuple[LabelledSet, NDArray[np.int64]]],
    model: PropertyModel,
) -> dict[str, dict[str, Any]]:
    """Predict sets, write a table of labels beside predictions, and return the errors.

    Parameters
    ----------
    path : path
        CSV with ``set`` and ``index``; then ``quantity``, ``atom`` (empty for labels of
        the whole molecule), ``component``, ``label``, ``prediction`` and ``unit``.
    rows : mapping of str to (LabelledSet, ndarray of int64)
        Sets and which of their entries; "train" must be one of them.
    model : PropertyModel

    Returns
    -------
    dict
        `errors` of each set.
    """
    found = {}
    train = rows["train"]
    with Path(path).open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            ["set", "index", "quantity", "atom", "component", "label", "prediction",
             "unit"]
        )  # fmt: skip
        for name, (data, indices) in rows.items():
            if not len(indices):
                continue
            guess = predict(model, (data.graphs[int(i)] for i in indices))
            found[name] = errors(model, guess, data, indices, train)
            for line in _lines(model, guess, data, indices):
                table.writerow([name, *line])
    return found


def _lines(
    model: PropertyModel,
    predictions: Predictions,
    data: LabelledSet,
    indices: NDArray[np.int64],
) -> Iterable[list[Any]]:
    spec = model.spec
    if predictions.y is not None:
        truth = _labels(data, indices, "y").reshape(len(indices), -1)
        guess = predictions.y
        if spec.kind == "classes":
            guess = guess.argmax(axis=1)[:, None]
        elif spec.length:
            guess = dipole_lengths(torch.from_numpy(guess)).numpy()
        for index, label, value in zip(indices, truth, guess, strict=True):
            axes = "xyz" if len(label) == 3 else [""]
            for axis, one, other in zip(axes, label, value, strict=True):
                yield [
                    index,
                    spec.target,
                    "",
                    axis,
                    _text(one),
                    _text(other),
                    spec.unit,
                ]
    if predictions.forces is not None:
        owner = np.concatenate(
            [[(i, a) for a in range(data.graphs[int(i)].num_nodes)] for i in indices]
        )
        truth = _labels(data, indices, "forces")
        for (index, atom), label, value in zip(
            owner, truth, predictions.forces, strict=True
        ):
            for axis, one, other in zip("xyz", label, value, strict=True):
                yield [index, "forces", atom, axis, _text(one), _text(other), "eV/Å"]


def _text(value: float) -> str:
    return f"{value:.8g}" if abs(value) < 1e4 else f"{value:.5f}"
