"""Collective variables that can be saved and applied to new trajectories."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.arrays import Arrays, as_arrays, n_pairs
from mdgeomfeat.kinetics.scores import ScoreError
from mdgeomfeat.kinetics.standardize import Standardizer
from mdgeomfeat.kinetics.tica import LinearMap, fit_tica
from mdgeomfeat.kinetics.vampnet import Lobe, LobeStack, run_lobe
from mdgeomfeat.mixing import MixerSpec, build_mixer
from mdgeomfeat.tensorfiles import hash_file, save_with_card

__all__ = ["STACK_RIDGE", "CVModel", "join_lobes", "make_cv_model"]

FORMAT: Final = 2

# What models say that were written before methods had the names of their estimators.
_OLD_METHODS = {"vamp": "vampnet"}

#: Ridge of the linear map behind stacked lobes, whose outputs are nearly collinear.
STACK_RIDGE: Final = 0.01

#: What goes wrong when a card and tensors are not of one model.
_MISFITS: Final = (
    AttributeError,
    LookupError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class CVModel:
    """From features to collective variables, the slowest first.

    For TICA a standardiser and a matrix. For a VAMPNet the lobes of one or more seeds
    (whose outputs span the slow subspace in no particular order), followed by the
    same.

    Attributes
    ----------
    method : {"vampnet", "spib", "tica"}
        How it was found.
    lag : int
        Lag in frames.
    input_shape : tuple of int
        Shape of one frame's features.
    lobe : LobeStack or None
        The networks.
    rotation : LinearMap
        From outputs of all lobes, or from flat features, to collective variables of
        unit variance. Signs are such that each has a positive skewness over the data.
    metadata : dict
        Whatever should travel with it, such as the provenance of the features.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> from mdgeomfeat.kinetics import CVModel, fit_tica, make_cv_model
    >>> model = make_cv_model("tica", fit_tica(runs, 5, 1), runs, 5)
    >>> model.save("slow.safetensors").name
    'slow.safetensors'
    >>> [cv.shape for cv in CVModel.load("slow").transform(runs)]
    [(500, 1), (500, 1), (500, 1), (500, 1)]
    >>> model.transform([np.zeros((10, 7))])
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: The features have shape (7,) per frame, but this ...
    """

    method: str
    lag: int
    input_shape: tuple[int, ...]
    lobe: LobeStack | None
    rotation: LinearMap
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """Number of collective variables d."""
        return len(self.rotation.offset)

    def transform(self, arrays: Arrays) -> list[NDArray[np.float64]]:
        """Apply to trajectories, batch by batch.

        Parameters
        ----------
        arrays : list of (F, ...) ndarrays
            The features it was made for.

        Returns
        -------
        list of (F, d) ndarray

        Raises
        ------
        InputError
            If a frame has another shape.
        """
        listed = as_arrays(arrays)
        if tuple(listed[0].shape[1:]) != self.input_shape:
            raise InputError(
                f"The features have shape {tuple(listed[0].shape[1:])} per frame, but "
                f"this model was made for {self.input_shape}; use the same selection, "
                "tokens and invariants as then."
            )
        outputs = listed if self.lobe is None else run_lobe(self.lobe, listed)
        return self.rotation.transform(outputs)

    def without_timescales(self) -> CVModel:
        """Return the same variables without their timescales, of biased dynamics."""
        unknown = np.full_like(self.rotation.timescales, np.nan)
        return replace(self, rotation=replace(self.rotation, timescales=unknown))

    def save(self, path: str | Path) -> Path:
        """Write ``NAME.safetensors`` and ``NAME.json``.

        Parameters
        ----------
        path : path
            With or without the suffix.

        Returns
        -------
        Path
            Of the safetensors file.
        """
        path = _with_suffix(path)
        rotation = self.rotation
        tensors: dict[str, NDArray[Any]] = {
            "rotation.shift": rotation.standardizer.shift,
            "rotation.factor": rotation.standardizer.factor,
            "rotation.matrix": rotation.matrix,
            "rotation.offset": rotation.offset,
            "rotation.timescales": rotation.timescales,
        }
        if self.lobe is not None:
            tensors |= {
                f"lobe.{name}": t.detach().cpu().numpy()
                for name, t in self.lobe.state_dict().items()
            }
        card = {
            "format": FORMAT,
            "kind": "mdgeomfeat collective variables",
            "method": self.method,
            "lag": self.lag,
            "input_shape": list(self.input_shape),
            "mixer": None if self.lobe is None else self.lobe.spec.to_dict(),
            "lobes": 0 if self.lobe is None else len(self.lobe.members),
            "width": rotation.width,
            "pca": rotation.pca,
        }

        def described(sha256: str) -> str:
            complete = {**card, "sha256": sha256, "metadata": self.metadata}
            return json.dumps(complete, indent=2, allow_nan=False) + "\n"

        save_with_card(path, tensors, described)
        return path

    @classmethod
    def load(cls, path: str | Path) -> CVModel:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path : path
            Of either file, or their common name.

        Raises
        ------
        InputError
            If a file is missing, damaged, or of another kind or format.
        """
        path = _with_suffix(path)
        card_path = path.with_suffix(".json")
        for needed in (path, card_path):
            if not needed.is_file():
                raise InputError(
                    f"The model file {str(needed)!r} is missing; a model is a "
                    ".safetensors file and a .json file of the same name."
                )
        try:
            card = json.loads(card_path.read_text(encoding="utf-8"))
            number, shape = card["format"], tuple(card["input_shape"])
            mixer, digest = card["mixer"], card["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{str(card_path)!r} is not the card of a collective-variable model "
                f"({error!r}); name a file that `vamp` or `tica` wrote."
            ) from error
        if number not in (1, FORMAT):
            raise InputError(
                f"{str(card_path)!r} has format {number!r}, but this release reads "
                f"formats 1 to {FORMAT}; use the release that wrote it."
            )
        if hash_file(path) != digest:
            raise InputError(
                f"{str(path)!r} is not the file that {card_path.name} describes (its "
                "checksum differs); copy both files again."
            )
        try:
            tensors = load_file(path)
        except SafetensorError as error:
            raise InputError(
                f"{str(path)!r} is not a safetensors file ({error}); copy it again."
            ) from error
        try:
            return cls._assemble(card, shape, mixer, tensors)
        except InputError:
            raise
        except _MISFITS as e:
            raise InputError(
                f"{str(card_path)!r} and {path.name} do not describe one model "
                f"({e!r}); copy both files again."
            ) from e

    @classmethod
    def _assemble(
        cls,
        card: dict[str, Any],
        shape: tuple[int, ...],
        mixer: dict[str, Any] | None,
        tensors: dict[str, NDArray[Any]],
    ) -> CVModel:
        standardizer = Standardizer(
            tensors["rotation.shift"], tensors["rotation.factor"]
        )
        rotation = LinearMap(
            standardizer=standardizer,
            matrix=tensors["rotation.matrix"],
            offset=tensors["rotation.offset"],
            timescales=tensors["rotation.timescales"],
            width=card["width"],
            pca=card["pca"],
        )
        lobe = None
        if mixer is not None:
            spec = MixerSpec.from_dict(mixer)
            if card["format"] == 1:
                lobe = LobeStack([_rebuilt(spec, tensors, "lobe.")])
            else:
                lobe = LobeStack(
                    [
                        _rebuilt(spec, tensors, f"lobe.members.{i}.")
                        for i in range(card["lobes"])
                    ]
                )
        return cls(
            method=_OLD_METHODS.get(card["method"], card["method"]),
            lag=card["lag"],
            input_shape=shape,
            lobe=lobe,
            rotation=rotation,
            metadata=card["metadata"],
        )


def _rebuilt(spec: MixerSpec, tensors: dict[str, NDArray[Any]], prefix: str) -> Lobe:
    """Return the lobe whose tensors have names that begin with `prefix`."""
    state = {
        name.removeprefix(prefix): torch.from_numpy(t)
        for name, t in tensors.items()
        if name.startswith(prefix)
    }
    _check_sizes(spec, state)
    first = Standardizer(tensors[f"{prefix}shift"], tensors[f"{prefix}factor"])
    lobe = Lobe(spec, first, seed=0)
    lobe.load_state_dict(state)
    return lobe.eval()


def _check_sizes(spec: MixerSpec, state: dict[str, torch.Tensor]) -> None:
    """Compare a mixer with the tensors of a file before any memory is taken for it."""
    if spec.hidden_depth > len(state):
        raise ValueError(f"{len(state)} tensors are not a mixer of depth {spec.depth}")
    with torch.device("meta"):
        planned = build_mixer(spec, device="meta").state_dict()
    for name, tensor in planned.items():
        if (found := state[f"mixer.{name}"].shape) != tensor.shape:
            raise ValueError(f"{name} is {tuple(found)}, not {tuple(tensor.shape)}")


def make_cv_model(
    method: str,
    fitted: LinearMap | Sequence[Lobe],
    arrays: Arrays,
    lag: int,
    metadata: dict[str, Any] | None = None,
    weights: Arrays | None = None,
) -> CVModel:
    """Order and orient the outputs of a fitted estimator.

    Parameters
    ----------
    method : {"vampnet", "spib", "tica"}
        How it was fitted.
    fitted : LinearMap or sequence of Lobe
        The estimator; lobes of several seeds are joined by TICA of all their outputs.
    arrays : list of (F, ...) ndarrays
        Trajectories that fix order and signs.
    lag : int
        Lag in frames.
    metadata : dict, optional
        Travels with the model.
    weights : list of (F,) ndarrays, optional
        Weight of every frame, for the map that joins lobes.

    Returns
    -------
    CVModel

    Raises
    ------
    ScoreError
        If the outputs do not vary.
    """
    if isinstance(fitted, LinearMap):
        lobe, rotation = None, fitted
        cvs = rotation.transform(arrays)
    else:
        lobe, rotation, outputs = join_lobes(fitted, arrays, lag, weights)
        cvs = rotation.transform(outputs)
    signs = _orientation(cvs)
    return CVModel(
        method=method,
        lag=lag,
        input_shape=tuple(arrays[0].shape[1:]),
        lobe=lobe,
        rotation=replace(
            rotation, matrix=rotation.matrix * signs, offset=rotation.offset * signs
        ),
        metadata=metadata or {},
    )


def join_lobes(
    lobes: Sequence[Lobe],
    arrays: Arrays,
    lag: int,
    weights: Arrays | None = None,
) -> tuple[LobeStack, LinearMap, list[NDArray[np.float32]]]:
    """Stack lobes and fit the linear map from all their outputs to d of them.

    Parameters
    ----------
    lobes : sequence of Lobe
        Of the same mixer.
    arrays : list of (F, ...) ndarrays
        Data that fit the map.
    lag : int
        Lag in frames.
    weights : list of (F,) ndarrays, optional
        Weight of every frame.

    Returns
    -------
    stack : LobeStack
    rotation : LinearMap
    outputs : list of (F, S d) ndarray
        Of the stack, before the map.

    Raises
    ------
    ScoreError
        If there are no pairs, or the outputs do not vary.
    """
    stack = LobeStack(lobes)
    outputs = run_lobe(stack, arrays)
    if not n_pairs(outputs, lag):
        raise ScoreError(f"There are no pairs at a lag of {lag} frames.")
    ridge = STACK_RIDGE if len(lobes) > 1 else 0.0
    rotation = fit_tica(
        outputs, lag, stack.spec.n_outputs, ridge=ridge, weights=weights
    )
    return stack, rotation, outputs


def _orientation(cvs: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return signs that make every skewness positive: rare states lie high."""
    joined = np.concatenate(cvs)
    skewness = ((joined - joined.mean(axis=0)) ** 3).mean(axis=0)
    return np.where(skewness < 0, -1.0, 1.0)


def _with_suffix(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix in (".safetensors", ".json"):
        return path.with_suffix(".safetensors")
    return path.with_name(path.name + ".safetensors")
