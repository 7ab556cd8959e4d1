"""Which residues matter: two methods, their spread, and an untrained network beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from mdgeomfeat.explain.permutation import Exchanged, HeldOut, exchange_tokens
from mdgeomfeat.explain.quantities import Quantity
from mdgeomfeat.kinetics import ScoreError
from mdgeomfeat.kinetics.arrays import Arrays, cut, cut_weights, listed

if TYPE_CHECKING:
    from mdgeomfeat.kinetics import CVModel, StudyResult

__all__ = [
    "FoldEffects",
    "Importance",
    "TokenImportance",
    "exchange_in_folds",
    "rank_correlation",
    "summarize",
]

#: Fewer tokens than this have no rank correlation worth stating.
MIN_RANKED = 5

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Importance:
    """How much N tokens matter for R quantities, by one method.

    Attributes
    ----------
    values : (R, N) ndarray
        NaN where the method says nothing.
    sd_folds : (R, N) ndarray
        Standard deviation over the models of the folds; NaN with one.
    sd_seeds : (R, N) ndarray
        Standard deviation over single networks, of permutations the root mean square
        over folds, of gradients that of the saved model; NaN with one network.
    twin : (R, N) ndarray
        The same with features of a network that was never trained.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.explain import summarize
    >>> found = summarize([np.ones((1, 2, 3))], twin=[np.zeros((1, 2, 3))])
    >>> found.values.tolist(), found.twin[0].tolist()
    ([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], [0.0, 0.0, 0.0])
    """

    values: Matrix
    sd_folds: Matrix
    sd_seeds: Matrix
    twin: Matrix

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able lists."""
        names = ("values", "sd_folds", "sd_seeds", "twin")
        return {name: listed(getattr(self, name)) for name in names}


@dataclass(frozen=True, eq=False, kw_only=True)
class TokenImportance:
    """Which tokens the score, the variables and the boundaries of states rest on.

    Attributes
    ----------
    labels : tuple of str
        Of the N tokens.
    quantities : tuple of Quantity
    permutation : Importance
        Fall of VAMP-2, and shares of variance, when the features of a token are
        exchanged between held-out frames; means over folds.
    gradient : Importance or None
        Mean norms of gradients by a token's atoms, 1/Å, of the saved model; with its
        spread over the models of the folds, and over its own networks.
    no_gradient : str or None
        Why there is no gradient.
    n_folds, n_pairs, n_frames : int
        Folds, pairs of frames of each fold, and frames of the gradients.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.explain import Quantity, QuantityKind, TokenImportance
    >>> from mdgeomfeat.explain import summarize
    >>> first = Quantity(kind=QuantityKind.VARIABLE, numbers=(0,), direction=np.ones(1))
    >>> importance = TokenImportance(
    ...     labels=("A:ACE1", "A:ALA2", "A:NME3"), quantities=(first,),
    ...     permutation=summarize([np.array([[[0.1, 0.8, 0.05]]])], twin=[]),
    ...     gradient=None, no_gradient="not computed", n_folds=1, n_pairs=500,
    ...     n_frames=0,
    ... )
    >>> importance.permutation.values.shape, importance.gradient is None
    ((1, 3), True)
    """

    labels: tuple[str, ...]
    quantities: tuple[Quantity, ...]
    permutation: Importance
    gradient: Importance | None
    no_gradient: str | None
    n_folds: int
    n_pairs: int
    n_frames: int

    @property
    def agreement(self) -> Matrix:
        """Spearman correlation of the two methods over tokens, (R,)."""
        if self.gradient is None:
            return np.full(len(self.quantities), np.nan)
        return rank_correlation(self.permutation.values, self.gradient.values)

    @property
    def twin_agreement(self) -> Matrix:
        """Spearman correlation of permutations with those of the twin, (R,)."""
        return rank_correlation(self.permutation.values, self.permutation.twin)

    @property
    def overall(self) -> Matrix:
        """What a structure is coloured by, (N,): 100 for the token that matters most.

        The fall of the score, which weighs every variable by how slow it is.
        """
        fall = np.clip(self.permutation.values[0], 0, None)
        percent: Matrix = 100 * fall / max(fall.max(), np.finfo(float).tiny)
        return percent

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able summary; variables and states count from 1."""
        return {
            "tokens": list(self.labels),
            "quantities": [q.name for q in self.quantities],
            "permutation": self.permutation.to_dict(),
            "gradient": None if self.gradient is None else self.gradient.to_dict(),
            "no_gradient": self.no_gradient,
            "agreement": listed(self.agreement),
            "twin_agreement": listed(self.twin_agreement),
            "n_folds": self.n_folds,
            "n_pairs": self.n_pairs,
            "n_frames": self.n_frames,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class FoldEffects:
    """What exchanging tokens does in every fold.

    Attributes
    ----------
    models : list of CVModel
        Of the folds that have one.
    exchanged : list of Exchanged
        Of the same folds.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.explain import exchange_in_folds, quantities_of
    >>> from mdgeomfeat.kinetics import StudySettings, run_study
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(rng.normal(0, 0.2, (4, 500, 3, 2)))
    >>> for run, flip in zip(runs, flips, strict=True):
    ...     run[:, 1, 0] += flip  # the second of three tokens moves
    >>> settings = StudySettings(method="tica", n_bootstrap=5)
    >>> study = run_study({"x": runs}, "x", settings)
    >>> quantities = quantities_of(
    ...     study.cvs, study.states.dtrajs, study.states.n_states, study.lag
    ... )
    >>> effects = exchange_in_folds(study, runs, "x", quantities)
    >>> len(effects.models) == len(effects.exchanged)
    True
    >>> int(np.nanargmax(effects.exchanged[0].effects[0, 0]))  # the token that matters
    1
    """

    models: list[CVModel]
    exchanged: list[Exchanged]


def exchange_in_folds(
    study: StudyResult, features: Arrays, name: str, quantities: list[Quantity]
) -> FoldEffects:
    """Exchange tokens in the held-out part of every fold.

    Parameters
    ----------
    study : StudyResult
    features : list of (F, N, ...) arrays
        The input of that name, run by run.
    name : str
        Of an input with tokens.
    quantities : list of Quantity

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.explain import exchange_in_folds, quantities_of
    >>> from mdgeomfeat.kinetics import StudySettings, run_study
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(rng.normal(0, 0.2, (4, 500, 3, 2)))
    >>> for run, flip in zip(runs, flips, strict=True):
    ...     run[:, 1, 0] += flip  # the second of three tokens moves
    >>> settings = StudySettings(method="tica", n_bootstrap=5)
    >>> study = run_study({"x": runs}, "x", settings)
    >>> quantities = quantities_of(
    ...     study.cvs, study.states.dtrajs, study.states.n_states, study.lag
    ... )
    >>> effects = exchange_in_folds(study, runs, "x", quantities)
    >>> effects.exchanged[0].effects.shape  # networks, quantities, tokens
    (1, 3, 3)
    """
    weights = None if study.weights is None else study.weights.values
    models, found = [], []
    pairs = zip(study.folds, study.fold_models.get(name, []), strict=False)
    for k, (fold, model) in enumerate(pairs):
        if model is None:
            continue
        held_out = HeldOut(
            features=cut(features, fold.score),
            variables=cut(study.cvs, fold.score),
            states=cut(study.states.dtrajs, fold.score),
            weights=cut_weights(weights, fold.score),
        )
        try:
            found.append(exchange_tokens(model, held_out, quantities, seed=k))
        except ScoreError:
            continue  # nothing moves in this part, so nothing matters for it
        models.append(model)
    return FoldEffects(models=models, exchanged=found)


def summarize(folds: Sequence[Matrix], twin: Sequence[Matrix]) -> Importance:
    """Return means and spreads of the effects in all folds.

    Parameters
    ----------
    folds : sequence of (1 + S, R, N) arrays
        At least one; first what the model says, then each of its networks.
    twin : sequence of (1 + S, R, N) arrays
        Of the untrained network; may be empty.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.explain import summarize
    >>> folds = [np.full((1, 2, 3), 0.2), np.full((1, 2, 3), 0.4)]
    >>> found = summarize(folds, twin=[])
    >>> found.values.shape, round(float(found.values[0, 0]), 3)
    ((2, 3), 0.3)
    """
    joined = np.stack([effects[0] for effects in folds])
    nowhere = np.full_like(joined[0], np.nan)
    squares = [e[1:].var(axis=0, ddof=1) for e in folds if len(e) > 2]
    return Importance(
        values=_over_folds(np.mean, joined),
        sd_folds=_over_folds(_deviation, joined),
        sd_seeds=np.sqrt(_over_folds(np.mean, np.stack(squares)))
        if squares
        else nowhere,
        twin=_over_folds(np.mean, np.stack([e[0] for e in twin])) if twin else nowhere,
    )


def _deviation(values: Matrix, axis: int) -> Matrix:
    if len(values) < 2:
        return np.full(values.shape[1:], np.nan)
    spread: Matrix = np.std(values, axis=axis, ddof=1)
    return spread


def _over_folds(reduce: Any, values: Matrix) -> Matrix:
    """Reduce (folds, R, N) over the folds that know a quantity."""
    out = np.full(values.shape[1:], np.nan)
    for r in range(values.shape[1]):
        known = values[np.isfinite(values[:, r]).all(axis=1), r]
        if len(known):
            out[r] = reduce(known, axis=0)
    return out


def rank_correlation(one: Matrix, other: Matrix) -> Matrix:
    """Return the Spearman correlation of every row, NaN where it means nothing.

    Parameters
    ----------
    one, other : (R, N) arrays

    Returns
    -------
    (R,) ndarray
    """
    out = np.full(len(one), np.nan)
    if one.shape[1] < MIN_RANKED:
        return out
    for r, (a, b) in enumerate(zip(one, other, strict=True)):
        known = np.isfinite(a).all() and np.isfinite(b).all()
        if known and np.ptp(a) > 0 and np.ptp(b) > 0:
            out[r] = spearmanr(a, b).statistic
    return out
