"""How steeply variables rise when the atoms of a token move."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.explain.quantities import Quantity, QuantityKind
from mdgeomfeat.explain.sample import Sample
from mdgeomfeat.kinetics import CVModel, LinearMap
from mdgeomfeat.kinetics.standardize import Standardizer
from mdgeomfeat.variables import CollectiveVariables

if TYPE_CHECKING:
    from mdgeomfeat.structure import Structure

__all__ = ["network_gradients", "outputs_of_networks", "token_gradients"]


def token_gradients(
    variables: CollectiveVariables,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
    sample: Sample,
    quantities: list[Quantity],
    matrix: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Return the mean slope of every quantity by the position of every token.

    The slope by a token is the norm of the gradient over all of its atoms: what the
    quantity gains for each Å that they move, all together, in the steepest direction.

    Parameters
    ----------
    variables : CollectiveVariables
        With k outputs.
    positions : (n, A, 3) array, Å
        The frames of the sample.
    boxes : (n, 6) array or None
    sample : Sample
        Says which states the frames are of. Each state counts by the frames, or the
        weight, that it has in all data; at a boundary both states count the same.
    quantities : list of Quantity
    matrix : (k, d) array, optional
        From the outputs to the variables of the quantities, where these are others.

    Returns
    -------
    (R, N) ndarray, 1/Å
        NaN for the score, which has no gradient, and where there is no frame.

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.structure import select_atoms
    >>> atoms = select_atoms(mda.Universe("top.pdb"))
    >>> structure = Structure.from_atomgroup(atoms)
    >>> import numpy as np
    >>> from mdgeomfeat.explain import Quantity, QuantityKind, draw_sample
    >>> from mdgeomfeat.explain import token_gradients
    >>> from mdgeomfeat.variables import CollectiveVariables
    >>> cvs = CollectiveVariables.load("report", structure)
    >>> frames = np.stack([atoms.positions] * 4)
    >>> sample = draw_sample([0, 0, 1, 1], [0, 1, 0, 1], 2)
    >>> first = Quantity(
    ...     kind=QuantityKind.VARIABLE, numbers=(0,), direction=np.eye(cvs.dim)[0]
    ... )
    >>> token_gradients(cvs, frames, None, sample, [first]).shape
    (1, 3)
    """
    _, gradients = variables.differentiate(positions, boxes)
    if matrix is not None:
        gradients = _mapped(gradients, matrix)
    return _by_token(gradients, variables.structure, sample, quantities)


def outputs_of_networks(model: CVModel) -> CVModel:
    """Return the model whose outputs are those of each of its networks, unmapped.

    Parameters
    ----------
    model : CVModel
        With networks.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import TrainingOptions, fit_vampnet, make_cv_model
    >>> from mdgeomfeat.mixing import MixerSpec
    >>> rng = np.random.default_rng(0)
    >>> runs = list(rng.normal(size=(4, 200, 3, 8)).cumsum(axis=1) * 0.1)
    >>> spec = MixerSpec(kind="flat", n_tokens=3, n_features=8, n_outputs=1, width=8)
    >>> options = TrainingOptions(max_steps=5, n_starts=1)
    >>> lobes = [
    ...     fit_vampnet(runs[:3], runs[3:], 5, spec, seed=seed, options=options).lobe
    ...     for seed in range(2)
    ... ]
    >>> model = make_cv_model("vampnet", lobes, runs, 5)
    >>> from mdgeomfeat.explain import outputs_of_networks
    >>> model.dim, outputs_of_networks(model).dim
    (1, 2)
    """
    assert model.lobe is not None
    n = model.lobe.n_outputs
    return replace(
        model,
        rotation=LinearMap(
            standardizer=Standardizer(np.zeros(n, np.float32), np.ones(n, np.float32)),
            matrix=np.eye(n),
            offset=np.zeros(n),
            timescales=np.full(n, np.nan),
            width=n,
        ),
    )


def network_gradients(
    outputs: CollectiveVariables,
    rotation: LinearMap,
    n_networks: int,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
    sample: Sample,
    quantities: list[Quantity],
) -> NDArray[np.float64]:
    """Return slopes of the joined variables, and of those of each network by itself.

    A network by itself finds the slow variables in an order and with signs of its own;
    the least squares in these frames take them to the joined ones.

    Parameters
    ----------
    outputs : CollectiveVariables
        Of :func:`outputs_of_networks`.
    rotation : LinearMap
        From these outputs to the joined variables.
    n_networks : int
        S, at least two.
    positions, boxes, sample, quantities
        As for :func:`token_gradients`.

    Returns
    -------
    (1 + S, R, N) ndarray, 1/Å

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.structure import select_atoms
    >>> atoms = select_atoms(mda.Universe("top.pdb"))
    >>> structure = Structure.from_atomgroup(atoms)
    >>> import numpy as np
    >>> from mdgeomfeat.explain import Quantity, QuantityKind, draw_sample
    >>> from mdgeomfeat.explain import network_gradients, outputs_of_networks
    >>> from mdgeomfeat.featurizer import FeatureResults
    >>> from mdgeomfeat.kinetics import TrainingOptions, fit_vampnet, make_cv_model
    >>> from mdgeomfeat.mixing import MixerSpec
    >>> from mdgeomfeat.variables import CollectiveVariables, read_model_folder
    >>> saved, features = read_model_folder("report")
    >>> runs = FeatureResults.load("report/features.zarr").token_features_list()
    >>> n_tokens, width = runs[0].shape[1:]
    >>> spec = MixerSpec(kind="flat", n_tokens=n_tokens, n_features=width, n_outputs=1)
    >>> options = TrainingOptions(max_steps=5, n_starts=1)
    >>> lobes = [
    ...     fit_vampnet(runs, runs, 5, spec, seed=seed, options=options).lobe
    ...     for seed in range(2)
    ... ]
    >>> model = make_cv_model("vampnet", lobes, runs, 5, saved.metadata)
    >>> outputs = CollectiveVariables(outputs_of_networks(model), features, structure)
    >>> frames = np.stack([atoms.positions] * 4)
    >>> sample = draw_sample([0, 0, 1, 1], [0, 1, 0, 1], 2)
    >>> first = Quantity(kind=QuantityKind.VARIABLE, numbers=(0,), direction=np.ones(1))
    >>> slopes = network_gradients(
    ...     outputs, model.rotation, 2, frames, None, sample, [first]
    ... )
    >>> slopes.shape  # joined and each network, quantities, tokens
    (3, 1, 3)
    """
    values, gradients = outputs.differentiate(positions, boxes)
    matrix = rotation.standardizer.factor[:, None] * rotation.matrix
    root = np.sqrt(_shares(sample))[:, None]
    centred = values - root[:, 0] ** 2 @ values
    structure = outputs.structure
    found = [_by_token(_mapped(gradients, matrix), structure, sample, quantities)]
    for own in np.split(np.arange(values.shape[1]), n_networks):
        reader = np.linalg.lstsq(
            root * centred[:, own], root * (centred @ matrix), rcond=1e-8
        )[0]
        mapped = _mapped(gradients[:, own], reader)
        found.append(_by_token(mapped, structure, sample, quantities))
    return np.stack(found)


def _mapped(
    gradients: NDArray[np.floating], matrix: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Map gradients (F, k, A, 3) of outputs to those (F, d, A, 3) of variables."""
    rotated: NDArray[np.float64] = np.einsum("fkax,kd->fdax", gradients, matrix)
    return rotated


def _by_token(
    gradients: NDArray[np.floating],
    structure: Structure,
    sample: Sample,
    quantities: list[Quantity],
) -> NDArray[np.float64]:
    """Return the mean norms (R, N) of gradients (F, d, A, 3) over tokens' atoms."""
    slopes = np.full((len(quantities), structure.n_tokens), np.nan)
    share = _shares(sample)
    for r, quantity in enumerate(quantities):
        if quantity.kind is QuantityKind.SCORE:
            continue
        along = np.tensordot(gradients, quantity.direction, axes=(1, 0))
        squares = np.zeros((structure.n_tokens, len(along)))
        np.add.at(squares, structure.token_of_atom, (along**2).sum(axis=2).T)
        weight = share
        if quantity.kind is QuantityKind.BOUNDARY:
            weight = _balanced(sample, quantity, share)
        if weight.sum() > 0:
            slopes[r] = np.sqrt(squares) @ weight / weight.sum()
    return slopes


def _shares(sample: Sample) -> NDArray[np.float64]:
    """Return the weight of each frame, as much for a state as it has in the data."""
    share = np.zeros(len(sample.rows))
    for state in range(sample.n_states):
        for half in range(2):
            own = sample.of(state, half)
            if len(own):
                # frames were drawn evenly, so that their mean weight is that of all
                share[own] = sample.weights[own] * sample.counts[state, half] / len(own)
    relative: NDArray[np.float64] = share / share.sum()
    return relative


def _balanced(
    sample: Sample, quantity: Quantity, share: NDArray[np.float64]
) -> NDArray[np.float64]:
    weight = np.zeros_like(share)
    for state in quantity.numbers:
        own = sample.states == state
        if not own.any():
            return np.zeros_like(share)
        weight[own] = share[own] / share[own].sum()
    return weight
