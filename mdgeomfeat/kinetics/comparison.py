"""Scoring every input with the same estimators, splits, width rule and budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.kinetics.arrays import Arrays, cut
from mdgeomfeat.kinetics.reasons import Failure
from mdgeomfeat.kinetics.results import Score, StudySettings
from mdgeomfeat.kinetics.scores import ScoreError, null_score, vamp2_score
from mdgeomfeat.kinetics.splits import Fold
from mdgeomfeat.kinetics.standardize import Standardizer, fit_standardizer
from mdgeomfeat.kinetics.tica import LinearMap, fit_tica_guarded
from mdgeomfeat.kinetics.vampnet import VampnetFit, fit_vampnet
from mdgeomfeat.mixing import MixerSpec, count_parameters

__all__ = ["Comparison"]

_ERRORS = (ScoreError, np.linalg.LinAlgError)


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
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

    @property
    def seeds(self) -> range:
        """Seeds of the VAMPNets."""
        return range(
            self.settings.seed, self.settings.seed + (self.settings.seeds or 1)
        )

    @property
    def n_fits(self) -> int:
        """Number of fits that :meth:`run` makes."""
        per_fold = 1 + (len(self.seeds) if self.settings.method == "vamp" else 0)
        return per_fold * len(self.folds) * (len(self.arrays) - len(self.failures))

    def run(self, announce: Callable[[str], None]) -> list[Score]:
        """Return the scores; `announce` is called before every fit."""
        scores = []
        methods = ("VAMPNet", "TICA") if self.settings.method == "vamp" else ("TICA",)
        for name in self.arrays:
            for method in methods:
                if name in self.failures:
                    scores.append(self._summary(name, method, []))
                else:
                    scores.append(self._score_input(name, method, announce))
        return [self._paired(s, scores) for s in scores]

    def _score_input(
        self, name: str, method: str, announce: Callable[[str], None]
    ) -> Score:
        arrays = self.arrays[name]
        seeds = self.seeds if method == "VAMPNet" else range(1)
        rows = []
        for k, fold in enumerate(self.folds):
            train, stop = cut(arrays, fold.train), cut(arrays, fold.stop)
            held_out = cut(arrays, fold.score)
            standardizer = self._standardizer(train, method)
            for seed in seeds:
                label = f"{method} of {name}, part {k + 1} of {len(self.folds)}"
                announce(label if method == "TICA" else f"{label}, seed {seed}")
                try:
                    fit = self._fit(name, method, train, stop, seed, standardizer)
                    rows.append(self._evaluate(fit, train, held_out))
                except _ERRORS as error:
                    rows.append(_Row(failure=str(error)))
        return self._summary(name, method, rows)

    @staticmethod
    def _standardizer(train: Arrays, method: str) -> Standardizer | None:
        """Return what the seeds share; None where the fit itself will complain."""
        if method == "TICA":
            return None
        try:
            return fit_standardizer(train)
        except ScoreError:
            return None

    def _fit(
        self,
        name: str,
        method: str,
        train: Arrays,
        stop: Arrays,
        seed: int,
        standardizer: Standardizer | None,
    ) -> VampnetFit | LinearMap:
        if method == "TICA":
            return fit_tica_guarded(train, stop, self.lag, self.dim)
        return fit_vampnet(
            train,
            stop,
            self.lag,
            self._spec(name),
            seed=seed,
            options=self.settings.training,
            standardizer=standardizer,
        )

    def _evaluate(
        self, fit: VampnetFit | LinearMap, train: Arrays, held_out: Arrays
    ) -> _Row:
        outputs = fit.transform(held_out)
        if isinstance(fit, LinearMap):
            pca, n_parameters = fit.pca, fit.width * self.dim
        else:
            pca, n_parameters = None, count_parameters(fit.lobe)
        return _Row(
            score=vamp2_score(outputs, self.lag),
            train=vamp2_score(fit.transform(train), self.lag),
            null=null_score(outputs, self.lag, self.slowest),
            pca=pca,
            n_parameters=n_parameters,
        )

    def _spec(self, name: str) -> MixerSpec:
        return replace(self.mixers[name], n_outputs=self.dim)

    def _summary(self, name: str, method: str, rows: list[_Row]) -> Score:
        n_seeds = len(self.seeds) if method == "VAMPNet" else 1
        shape = (len(self.folds), n_seeds)
        values = np.full(shape, np.nan)
        if rows:
            values = np.array([r.score for r in rows], dtype=float).reshape(shape)
        known = np.isfinite(values)
        means = [
            float(v[k].mean()) for v, k in zip(values, known, strict=True) if k.any()
        ]
        variances = [
            float(v[k].var(ddof=1))
            for v, k in zip(values, known, strict=True)
            if k.sum() > 1
        ]
        failed = [r.failure for r in rows if r.failure]
        failure = self.failures.get(name)
        if failed:
            failure = Failure(len(failed), len(rows), failed[0])
        return Score(
            input=name,
            method=method,
            primary=name == self.primary,
            score=float(np.mean(means)) if means else None,
            sd_seeds=float(np.sqrt(np.mean(variances))) if variances else None,
            sd_folds=float(np.std(means, ddof=1)) if len(means) > 1 else None,
            train=_mean([r.train for r in rows]),
            null=_mean([r.null for r in rows]),
            independent=self.folds[0].independent,
            values=[[float(v) if np.isfinite(v) else None for v in f] for f in values],
            n_folds=shape[0],
            n_seeds=n_seeds,
            width=int(np.prod(self.arrays[name][0].shape[1:])),
            pca=max((r.pca for r in rows if r.pca is not None), default=None),
            n_parameters=max((r.n_parameters for r in rows), default=0),
            mixer=self.mixers[name].kind if method == "VAMPNet" else None,
            failure=failure,
        )

    def _paired(self, score: Score, scores: list[Score]) -> Score:
        """Add the difference to the primary input, held-out part by held-out part."""
        if score.primary:
            return score
        other = next(s for s in scores if s.primary and s.method == score.method)
        pairs = zip(_fold_means(score), _fold_means(other), strict=True)
        differences = [a - b for a, b in pairs if a is not None and b is not None]
        if not differences:
            return score
        several = len(differences) > 1
        return replace(
            score,
            minus_primary=float(np.mean(differences)),
            minus_primary_sd=float(np.std(differences, ddof=1)) if several else None,
        )


@dataclass(frozen=True)
class _Row:
    """One fit."""

    score: float = np.nan
    train: float | None = None
    null: float | None = None
    pca: int | None = None
    n_parameters: int = 0
    failure: str | None = None


def _fold_means(score: Score) -> list[float | None]:
    return [_mean(fold) for fold in score.values]


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
