"""How much a model loses when one token's features are exchanged between frames.

Features of a token are dealt out anew among held-out frames, while those of all other
tokens stay. Of a variable f it is told by how much it changes: with f' after the
exchange, ``mean (f - f')^2 / (2 var f)``. For independent tokens that is the share of
the variance of f in which the token takes part, alone or together with others (the
total effect of M. J. W. Jansen, Comput. Phys. Commun. 117, 35 (1999), equation 10).
Tokens that carry the same information share it. Of the score it is told by how much
VAMP-2 falls when both halves of the pairs are exchanged, each in an order of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.explain.quantities import Quantity, QuantityKind
from mdgeomfeat.kinetics import CVModel, ScoreError, TokenDataset
from mdgeomfeat.kinetics.arrays import Arrays, gather, lagged_index
from mdgeomfeat.kinetics.scores import pair_score, shares
from mdgeomfeat.kinetics.vampnet import run_lobe

__all__ = ["Exchanged", "HeldOut", "exchange_tokens"]

#: Pairs times tokens that are computed for score and variables, and the pairs within
#: bounds; a fit computes some 200,000 frames.
_COMPUTED, _FEWEST, _MOST = 15_000, 50, 1000
#: The same for the frames of each boundary.
_COMPUTED_BOUNDARY, _FEWEST_BOUNDARY, _MOST_BOUNDARY = 2_000, 20, 400


@dataclass(frozen=True, eq=False, kw_only=True)
class HeldOut:
    """Frames that a fold's model has not seen.

    Attributes
    ----------
    features : list of (F, N, ...) arrays
        What the model was made for, of every unbroken piece.
    variables : list of (F, d) arrays
        Collective variables of the study.
    states : list of (F,) arrays of int
        State of every frame, -1 where it belongs to none.
    weights : list of (F,) arrays or None
        Weight of every frame.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.explain import HeldOut
    >>> data = HeldOut(
    ...     features=[np.zeros((10, 3, 2))], variables=[np.zeros((10, 1))],
    ...     states=[np.zeros(10, dtype=int)],
    ... )
    >>> data.weights is None
    True
    """

    features: Arrays
    variables: Arrays
    states: Arrays
    weights: Arrays | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Exchanged:
    """What exchanging each token does to a fold's model.

    Attributes
    ----------
    effects : (1 + S, R, N) ndarray
        Effect of N tokens on R quantities: of the model as it is, and of each of its S
        networks by itself, where it has several. NaN for a boundary without frames.
    matrix : (k, d) ndarray
        Takes the outputs of the fold's model to the variables of the study, up to
        a constant: the least squares in held-out frames.
    n_frames : int
        Pairs of frames that were looked at.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.explain import HeldOut, exchange_tokens, quantities_of
    >>> from mdgeomfeat.kinetics import fit_tica, make_cv_model
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(rng.normal(0, 0.2, (4, 500, 3, 2)))
    >>> for run, flip in zip(runs, flips, strict=True):
    ...     run[:, 1, 0] += flip  # the second of three tokens moves
    >>> model = make_cv_model("tica", fit_tica(runs, 5, 1), runs, 5)
    >>> cvs = model.transform(runs)
    >>> states = [(cv[:, 0] > 0).astype(int) for cv in cvs]
    >>> data = HeldOut(features=runs, variables=cvs, states=states)
    >>> quantities = quantities_of(cvs, states, 2, lag=5)
    >>> done = exchange_tokens(model, data, quantities, seed=0)
    >>> done.effects.shape, done.matrix.shape, done.n_frames
    ((1, 3, 3), (1, 1), 990)
    """

    effects: NDArray[np.float64]
    matrix: NDArray[np.float64]
    n_frames: int


def exchange_tokens(
    model: CVModel, data: HeldOut, quantities: list[Quantity], *, seed: int
) -> Exchanged:
    """Exchange each token's features between held-out frames.

    Parameters
    ----------
    model : CVModel
    data : HeldOut
    quantities : list of Quantity
    seed : int
        Of the order in which features are dealt out.

    Returns
    -------
    Exchanged

    Raises
    ------
    ScoreError
        If the outputs do not vary in these frames.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.explain import HeldOut, exchange_tokens, quantities_of
    >>> from mdgeomfeat.kinetics import fit_tica, make_cv_model
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(rng.normal(0, 0.2, (4, 500, 3, 2)))
    >>> for run, flip in zip(runs, flips, strict=True):
    ...     run[:, 1, 0] += flip  # the second of three tokens moves
    >>> model = make_cv_model("tica", fit_tica(runs, 5, 1), runs, 5)
    >>> cvs = model.transform(runs)
    >>> states = [(cv[:, 0] > 0).astype(int) for cv in cvs]
    >>> data = HeldOut(features=runs, variables=cvs, states=states)
    >>> quantities = quantities_of(cvs, states, 2, lag=5)
    >>> done = exchange_tokens(model, data, quantities, seed=0)
    >>> done.effects[0].argmax(axis=1).tolist()  # the token, for each quantity
    [1, 1, 1]
    """
    pairs = TokenDataset(data.features, model.lag, data.weights)
    n_tokens = int(data.features[0].shape[1])
    n = int(np.clip(_COMPUTED // n_tokens, _FEWEST, _MOST))
    numbers = pairs.thinned_numbers(n)
    x, y = (_turned_alike(half.numpy()) for half in pairs.pairs(numbers))
    index = lagged_index(data.features, model.lag)[numbers]
    wanted = gather(data.variables, index).astype(np.float64)
    share = shares(np.ones(len(x)) if pairs.weights is None else pairs.weights[numbers])
    readers = _readers(model, x, wanted, share)
    rng = np.random.default_rng(seed)

    effects = np.full((len(readers), len(quantities), n_tokens), np.nan)
    is_score = np.array([q.kind is QuantityKind.SCORE for q in quantities])
    is_variable = np.array([q.kind is QuantityKind.VARIABLE for q in quantities])
    both = np.concatenate([x, y])
    before = _outputs(model, both)
    plain = [_score(out, share) for out in before]
    if not np.isfinite(plain).all():
        raise ScoreError("The outputs do not vary in the held-out part.")
    scale = _variance(wanted, share)
    scale[scale <= 0] = np.nan
    for token in range(n_tokens):
        donors = [_donors(share, rng), len(x) + _donors(share, rng)]
        after = _exchanged(model, both, token, np.concatenate(donors))
        for m, out in enumerate(after):
            effects[m, is_score, token] = plain[m] - max(_score(out, share), 1.0)
            change = (out[: len(x)] - before[m][: len(x)]) @ readers[m]
            effects[m, is_variable, token] = share @ change**2 / (2 * scale)
    for r, quantity in enumerate(quantities):
        if quantity.kind is QuantityKind.BOUNDARY:
            found = _boundary(model, data, quantity, readers, rng)
            if found is not None:
                effects[:, r] = found
    return Exchanged(effects=effects, matrix=readers[0], n_frames=len(x))


def _boundary(
    model: CVModel,
    data: HeldOut,
    quantity: Quantity,
    readers: list[NDArray[np.float64]],
    rng: np.random.Generator,
) -> NDArray[np.float64] | None:
    """Exchange tokens between frames of two states, as many of each, (1 + S, N)."""
    n_tokens = int(data.features[0].shape[1])
    wanted = _COMPUTED_BOUNDARY // n_tokens
    n = int(np.clip(wanted, _FEWEST_BOUNDARY, _MOST_BOUNDARY)) // 2
    index = lagged_index(data.features, 0)
    states = np.concatenate([np.asarray(own) for own in data.states])
    weights = None
    if data.weights is not None:
        weights = np.concatenate([np.asarray(w, np.float64) for w in data.weights])
    rows, parts = [], []
    for state in quantity.numbers:
        own = states == state
        if weights is not None:
            own &= weights > 0
        found = np.flatnonzero(own)
        if len(found) < 2:
            return None
        chosen = found[np.linspace(0, len(found) - 1, min(n, len(found))).astype(int)]
        rows.append(chosen)
        parts.append(
            np.full(len(chosen), 0.5 / len(chosen))
            if weights is None
            else 0.5 * shares(weights[chosen])
        )
    places, share = index[np.concatenate(rows)], np.concatenate(parts)
    x = _turned_alike(gather(data.features, places))
    u = gather(data.variables, places).astype(np.float64) @ quantity.direction
    scale = float(_variance(u[:, None], share)[0])
    if not scale > 0:
        return None
    before = _outputs(model, x)
    effects = np.empty((len(readers), n_tokens))
    for token in range(n_tokens):
        after = _exchanged(model, x, token, _donors(share, rng))
        for m, out in enumerate(after):
            change = (out - before[m]) @ readers[m] @ quantity.direction
            effects[m, token] = share @ change**2 / (2 * scale)
    return effects


def _outputs(model: CVModel, x: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """Return (F, k) outputs of the model, and of each of its networks if several."""
    if model.lobe is None:
        return model.transform([x])
    stacked = run_lobe(model.lobe, [x])
    joined = model.rotation.transform(stacked)[0]
    members = len(model.lobe.members)
    if members == 1:
        return [joined]
    return [joined, *np.split(stacked[0].astype(np.float64), members, axis=1)]


def _exchanged(
    model: CVModel, x: NDArray[np.float32], token: int, donors: NDArray[np.int64]
) -> list[NDArray[np.float64]]:
    """Return the outputs with one token's features taken from other frames."""
    kept = x[:, token].copy()
    x[:, token] = kept[donors]
    out = _outputs(model, x)
    x[:, token] = kept
    return out


def _readers(
    model: CVModel,
    x: NDArray[np.float32],
    wanted: NDArray[np.float64],
    share: NDArray[np.float64],
) -> list[NDArray[np.float64]]:
    """Return the linear maps (k, d) from outputs to the study's variables.

    A fold's model finds the slow variables in an order and with signs of its own.
    """
    root = np.sqrt(share)[:, None]
    centred = wanted - share @ wanted
    maps = []
    for out in _outputs(model, x):
        found = np.linalg.lstsq(root * (out - share @ out), root * centred, rcond=1e-8)
        maps.append(np.asarray(found[0], np.float64))
    return maps


def _score(out: NDArray[np.float64], share: NDArray[np.float64]) -> float:
    """Return VAMP-2 of pairs whose halves follow each other; -inf if it has none."""
    try:
        first, second = np.split(out, 2)
        return pair_score(first, second, share)
    except ScoreError:
        return -np.inf


def _donors(share: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return from which frame each frame takes the features of a token."""
    n = len(share)
    if np.allclose(share, share[0], rtol=1e-6):
        return rng.permutation(n)
    return rng.choice(n, n, p=share)


def _variance(
    values: NDArray[np.float64], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    return share @ (values - share @ values) ** 2


def _turned_alike(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn the vectors (F, N, 3, C) of joined channels as those of the first frame lie.

    Vectors turn with the molecule. Between frames that are turned differently an
    exchange would tear any token from its neighbours; outputs do not change by this.
    """
    if x.ndim != 4:
        return x
    vectors = x[:, :, 1:].astype(np.float64)
    overlap = np.einsum("fnac,nbc->fab", vectors, vectors[0])
    u, _, vt = np.linalg.svd(overlap)
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]
    turned = np.einsum("fac,fcb,fnad->fnbd", u, vt, vectors)
    return np.concatenate([x[:, :, :1], turned.astype(np.float32)], axis=2)
