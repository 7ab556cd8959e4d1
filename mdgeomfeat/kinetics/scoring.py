"""Scoring every input with the same estimators, splits, width rule and budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import clause
from mdgeomfeat.kinetics.arrays import Arrays, cut, cut_weights
from mdgeomfeat.kinetics.model import STACK_RIDGE, CVModel, join_lobes
from mdgeomfeat.kinetics.reasons import Failure
from mdgeomfeat.kinetics.results import StudySettings
from mdgeomfeat.kinetics.scores import Score, ScoreError, null_score, vamp2_score
from mdgeomfeat.kinetics.spib import SpibFit, fit_spib
from mdgeomfeat.kinetics.splits import Fold
from mdgeomfeat.kinetics.standardize import Standardizer
from mdgeomfeat.kinetics.tica import LinearMap, fit_tica, fit_tica_guarded
from mdgeomfeat.kinetics.vampnet import (
    LobeStack,
    VampnetFit,
    fit_vampnet,
    usual_standardizer,
)
from mdgeomfeat.mixing import MixerSpec, count_parameters
from mdgeomfeat.store import Rows, map_rows

__all__ = ["InputScorer", "fit_network"]

_ERRORS = (ScoreError, np.linalg.LinAlgError)


@dataclass(frozen=True, eq=False, kw_only=True)
class InputScorer:
    """All inputs, all folds, all seeds.

    Attributes
    ----------
    arrays : dict of str to list of arrays
        Inputs by name, the primary one first.
    failures : dict of str to Failure
        Inputs that cannot be scored, and why.
    primary : str
        Name of the primary input.
    folds : list of Fold
        Divisions of the data.
    lag, dim : int
        Lag in frames, number of outputs.
    mixers : dict of str to MixerSpec
        Mixer of every input.
    slowest : float or None
        Slowest timescale, frames, for the null.
    settings : StudySettings
        Seeds and training.
    weights : list of (F,) ndarrays or None
        Weight of every frame.
    fold_models : dict of str to list of (CVModel or None)
        For every input with tokens, what :meth:`run` fitted to each fold with the
        method of the settings; None where it failed.
    """

    arrays: dict[str, list[NDArray[np.floating]]]
    failures: dict[str, Failure]
    primary: str
    folds: list[Fold]
    lag: int
    dim: int
    mixers: dict[str, MixerSpec]
    slowest: float | None
    settings: StudySettings
    weights: Arrays | None = None
    fold_models: dict[str, list[CVModel | None]] = field(default_factory=dict)

    @property
    def seeds(self) -> range:
        """Seeds of the VAMPNets."""
        return range(
            self.settings.seed, self.settings.seed + (self.settings.seeds or 1)
        )

    @property
    def n_fits(self) -> int:
        """Number of fits that :meth:`run` makes."""
        per_fold = 1 + (len(self.seeds) if self.settings.network else 0)
        fits = per_fold * (len(self.arrays) - len(self.failures))
        return (fits + bool(self._partners)) * len(self.folds)

    @property
    def _partners(self) -> list[str]:
        """Inputs that the primary one may be fused with."""
        return [
            name
            for name in self.settings.fused
            if name in self.arrays and name not in self.failures
        ]

    def run(self, announce: Callable[[str], None]) -> list[Score]:
        """Return the scores; `announce` is called before every fit."""
        scores: list[Score] = []
        rows: dict[tuple[str, str], list[_Row]] = {}
        network = self.settings.network
        methods = ("TICA",) if network is None else (network, "TICA")
        for name in self.arrays:
            for method in methods:
                found = (
                    []
                    if name in self.failures
                    else self._fit_input(name, self.arrays[name], method, announce)
                )
                rows[name, method] = found
                scores.append(self._summary(name, method, found))
        if self._partners:
            partner = self._best_partner(scores, methods[0])
            scores += [
                self._score_fused(partner, method, rows, announce) for method in methods
            ]
        return [self._paired(s, scores) for s in scores]

    def _best_partner(self, scores: list[Score], method: str) -> str:
        """Return the input with the best score of those that may be fused."""
        by_name = {s.input: s.score for s in scores if s.method == method}
        return max(self._partners, key=lambda name: by_name[name] or 0.0)

    def _score_fused(
        self,
        partner: str,
        method: str,
        rows: dict[tuple[str, str], list[_Row]],
        announce: Callable[[str], None],
    ) -> Score:
        """Score the primary input and another behind one linear map.

        For TICA that is a map of the columns of both; for VAMPNets one of the outputs
        of both inputs' networks, which takes no training. Few data do not teach a
        network what to take from either (docs/results.md).
        """
        name = f"{partner} + {self.primary}"
        if method == "TICA":
            both = _side_by_side(self.arrays[partner], self.arrays[self.primary])
            fitted = self._fit_input(name, both, method, announce)
            return self._summary(name, method, fitted, partner)
        pairs = zip(rows[partner, method], rows[self.primary, method], strict=True)
        joined = [self._joined(a, b) for a, b in pairs]
        return self._summary(name, method, joined, partner)

    def _joined(self, one: _Row, other: _Row) -> _Row:
        """Put the outputs of two inputs' networks behind one linear map."""
        if one.outputs is None or other.outputs is None:
            return _Row(seeds=[None])
        a, b = one.outputs, other.outputs
        parts = replace(
            a,
            train=_side_by_side(a.train, b.train),
            stop=_side_by_side(a.stop, b.stop),
            held_out=_side_by_side(a.held_out, b.held_out),
        )
        try:
            fit = fit_tica(
                [*parts.train, *parts.stop],
                self.lag,
                self.dim,
                ridge=STACK_RIDGE,
                weights=parts.fitted_weights,
            )
            return self._row(fit.transform, parts, seeds=[])
        except _ERRORS as error:
            return _Row(seeds=[None], failures=[clause(error)])

    def _fit_input(
        self, name: str, arrays: Arrays, method: str, announce: Callable[[str], None]
    ) -> list[_Row]:
        rows = []
        for k, fold in enumerate(self.folds):
            parts = _Parts(
                train=cut(arrays, fold.train),
                stop=cut(arrays, fold.stop),
                held_out=cut(arrays, fold.score),
                train_weights=cut_weights(self.weights, fold.train),
                stop_weights=cut_weights(self.weights, fold.stop),
                held_out_weights=cut_weights(self.weights, fold.score),
            )
            label = f"{method} of {name}, part {k + 1} of {len(self.folds)}"
            if method == "TICA":
                announce(label)
                rows.append(self._tica(parts))
            else:
                rows.append(self._networks(name, parts, label, announce))
        own = name in self.arrays and arrays[0].ndim > 2
        if own and method == (self.settings.network or "TICA"):
            self.fold_models[name] = [row.model for row in rows]
        return rows

    def _tica(self, parts: _Parts) -> _Row:
        try:
            fit = fit_tica_guarded(
                parts.train,
                parts.stop,
                self.lag,
                self.dim,
                weights=parts.train_weights,
                stop_weights=parts.stop_weights,
            )
            outputs = fit.transform(parts.held_out)
            score = vamp2_score(outputs, self.lag, parts.held_out_weights)
            return self._row(
                fit.transform,
                parts,
                seeds=[score],
                pca=fit.pca,
                n_parameters=fit.width * self.dim,
                model=self._model("tica", parts, None, fit),
            )
        except _ERRORS as error:
            return _Row(seeds=[None], failures=[clause(error)])

    def _networks(
        self, name: str, parts: _Parts, label: str, announce: Callable[[str], None]
    ) -> _Row:
        """Fit every seed, and score each by itself and all of them joined."""
        spec = replace(self.mixers[name], n_outputs=self.dim)
        standardizer = _standardizer(parts.train, self.lag)
        fits: list[VampnetFit | SpibFit] = []
        held_out: list[list[NDArray[np.float32]]] = []
        scores: list[float | None] = []
        failures = []
        for seed in self.seeds:
            announce(f"{label}, seed {seed}")
            try:
                fit = fit_network(
                    self.settings,
                    parts.train,
                    parts.stop,
                    self.lag,
                    spec,
                    seed,
                    standardizer=standardizer,
                    weights=parts.train_weights,
                    stop_weights=parts.stop_weights,
                )
                outputs = fit.transform(parts.held_out)
                scores.append(vamp2_score(outputs, self.lag, parts.held_out_weights))
                fits.append(fit)
                held_out.append(outputs)
            except _ERRORS as error:
                scores.append(None)
                failures.append(clause(error))
        if not fits:
            return _Row(seeds=scores, failures=failures)
        try:
            stack, rotation, fitted = join_lobes(
                [fit.lobe for fit in fits],
                [*parts.train, *parts.stop],
                self.lag,
                parts.fitted_weights,
            )
            n_train = len(parts.train)
            joined = replace(
                parts,
                train=fitted[:n_train],
                stop=fitted[n_train:],
                held_out=[
                    np.concatenate(run, axis=1) for run in zip(*held_out, strict=True)
                ],
            )
            return self._row(
                rotation.transform,
                joined,
                seeds=scores,
                failures=failures,
                n_parameters=count_parameters(fits[0].lobe),
                outputs=joined,
                model=self._model(self.settings.method, parts, stack, rotation),
            )
        except _ERRORS as error:
            return _Row(seeds=scores, failures=[*failures, clause(error)])

    def _model(
        self, method: str, parts: _Parts, lobe: LobeStack | None, rotation: LinearMap
    ) -> CVModel:
        return CVModel(
            method=method,
            lag=self.lag,
            input_shape=tuple(parts.train[0].shape[1:]),
            lobe=lobe,
            rotation=rotation,
        )

    def _row(
        self,
        transform: Callable[[Arrays], Sequence[NDArray[np.floating]]],
        parts: _Parts,
        **facts: Any,
    ) -> _Row:
        outputs = transform(parts.held_out)
        return _Row(
            score=vamp2_score(outputs, self.lag, parts.held_out_weights),
            train=vamp2_score(transform(parts.train), self.lag, parts.train_weights),
            null=null_score(
                outputs, self.lag, self.slowest, weights=parts.held_out_weights
            ),
            **facts,
        )

    def _summary(
        self, name: str, method: str, rows: list[_Row], partner: str | None = None
    ) -> Score:
        """Summarise the rows of an input, or of the primary one with a partner."""
        parts = (name,) if partner is None else (partner, self.primary)
        n_seeds = 1 if method == "TICA" else len(self.seeds)
        no_rows = [_Row(seeds=[None] * n_seeds)] * len(self.folds)
        scored = rows or no_rows
        by_fold = [row.score for row in scored]
        known = [v for v in by_fold if v is not None]
        seeds = [[v for v in row.seeds if v is not None] for row in scored]
        variances = [float(np.var(v, ddof=1)) for v in seeds if len(v) > 1]
        failed = [text for row in rows for text in row.failures]
        failure = self.failures.get(name)
        if failed:
            failure = Failure(len(failed), len(rows) * n_seeds, failed[0])
        return Score(
            input=name,
            method=method,
            primary=name == self.primary,
            score=_mean(by_fold),
            sd_seeds=float(np.sqrt(np.mean(variances))) if variances else None,
            sd_folds=float(np.std(known, ddof=1)) if len(known) > 1 else None,
            train=_mean([r.train for r in rows]),
            null=_mean([r.null for r in rows]),
            independent=self.folds[0].independent,
            by_fold=by_fold,
            values=[list(row.seeds) for row in scored],
            n_folds=len(self.folds),
            n_seeds=n_seeds,
            width=sum(int(np.prod(self.arrays[one][0].shape[1:])) for one in parts),
            pca=max((r.pca for r in rows if r.pca is not None), default=None),
            n_parameters=max((r.n_parameters for r in rows), default=0),
            mixer=(
                self.mixers[name].kind if method != "TICA" and partner is None else None
            ),
            failure=failure,
        )

    def _paired(self, score: Score, scores: list[Score]) -> Score:
        """Add the difference to the primary input, held-out part by held-out part."""
        if score.primary:
            return score
        other = next(s for s in scores if s.primary and s.method == score.method)
        pairs = zip(score.by_fold, other.by_fold, strict=True)
        differences = [a - b for a, b in pairs if a is not None and b is not None]
        if not differences:
            return score
        several = len(differences) > 1
        return replace(
            score,
            minus_primary=float(np.mean(differences)),
            minus_primary_sd=float(np.std(differences, ddof=1)) if several else None,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Parts:
    """Arrays of one fold, and the weights of their frames."""

    train: Arrays
    stop: Arrays
    held_out: Arrays
    train_weights: Arrays | None = None
    stop_weights: Arrays | None = None
    held_out_weights: Arrays | None = None

    @property
    def fitted_weights(self) -> Arrays | None:
        """Weights of the frames that train and of those that stop."""
        if self.train_weights is None or self.stop_weights is None:
            return None
        return [*self.train_weights, *self.stop_weights]


@dataclass(frozen=True, kw_only=True)
class _Row:
    """The fits of one fold: seeds by themselves, and what is made of them."""

    seeds: list[float | None]
    score: float | None = None
    train: float | None = None
    null: float | None = None
    pca: int | None = None
    n_parameters: int = 0
    failures: list[str] = field(default_factory=list)
    outputs: _Parts | None = None
    model: CVModel | None = None


def _side_by_side(one: Arrays, other: Arrays) -> list[Rows]:
    """Return the columns of two inputs as one, run by run, without reading them."""
    joined = []
    for a, b in zip(one, other, strict=True):
        width = sum(int(np.prod(x.shape[1:])) for x in (a, b))
        joined.append(map_rows(_joined_rows, (a, b), (width,), np.float32))
    return joined


def _joined_rows(
    a: NDArray[np.floating], b: NDArray[np.floating]
) -> NDArray[np.floating]:
    return np.concatenate([x.reshape(len(x), -1) for x in (a, b)], axis=1)


def fit_network(
    settings: StudySettings,
    train: Arrays,
    stop: Arrays,
    lag: int,
    spec: MixerSpec,
    seed: int,
    *,
    standardizer: Standardizer | None = None,
    weights: Arrays | None = None,
    stop_weights: Arrays | None = None,
) -> VampnetFit | SpibFit:
    """Train what the settings name; a bottleneck, which does not stop early, on both.

    Parameters
    ----------
    settings : StudySettings
    train, stop : list of (F, ...) ndarrays
        Training part and stopping part.
    lag : int
        Frames.
    spec : MixerSpec
    seed : int
    standardizer : Standardizer, optional
        Of the training part, for a VAMPNet, if already known.
    weights, stop_weights : list of (F,) ndarrays, optional
        Weights of the frames of both parts; not for a bottleneck.

    Raises
    ------
    ScoreError
        If nothing could be fitted.
    """
    if settings.method == "spib":
        both = [*train, *stop]
        return fit_spib(both, lag, spec, seed=seed, options=settings.spib)
    return fit_vampnet(
        train,
        stop,
        lag,
        spec,
        seed=seed,
        options=settings.training,
        standardizer=standardizer,
        weights=weights,
        stop_weights=stop_weights,
    )


def _standardizer(train: Arrays, lag: int) -> Standardizer | None:
    """Return what the seeds share; None where the fit itself will complain."""
    try:
        return usual_standardizer(train, lag)
    except ScoreError:
        return None


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
