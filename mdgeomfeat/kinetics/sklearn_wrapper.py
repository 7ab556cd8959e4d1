"""deeptime estimators as steps of scikit-learn pipelines."""

from __future__ import annotations

from typing import Any

import numpy as np
from deeptime.decomposition import VAMP
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.arrays import Arrays, chunks, lagged_chunks
from mdgeomfeat.kinetics.scores import vamp2_score
from mdgeomfeat.store import RowArray

__all__ = ["DeeptimeTransformer", "estimator"]


def _has_lag(transformer: DeeptimeTransformer) -> bool:
    return hasattr(transformer.estimator, "lagtime")


class DeeptimeTransformer(TransformerMixin, BaseEstimator):
    """A deeptime estimator with scikit-learn's tags, cloning and parameters.

    Parameters
    ----------
    estimator : deeptime estimator
        Such as ``deeptime.decomposition.TICA(lagtime=10, dim=2)``. Its parameters are
        reached as ``estimator__lagtime`` and so on; it is never changed, a copy is
        fitted.

    Attributes
    ----------
    estimator_ : deeptime estimator
        The fitted copy.
    model_ : deeptime model
        What it found.
    n_features_in_ : int
        Width of the input.

    Examples
    --------
    >>> import numpy as np
    >>> from deeptime.decomposition import TICA
    >>> from mdgeomfeat.kinetics import estimator
    >>> runs = [np.random.default_rng(i).normal(size=(200, 3)) for i in range(2)]
    >>> [y.shape for y in estimator(TICA(lagtime=1, dim=2)).fit_transform(runs)]
    [(200, 2), (200, 2)]

    Lag and dimension by cross-validation; each fold holds out whole runs:

    >>> from sklearn.model_selection import GridSearchCV
    >>> grid = {"estimator__lagtime": [1, 5], "estimator__dim": [1, 2]}
    >>> search = GridSearchCV(estimator(TICA(lagtime=1)), grid, cv=2).fit(runs)
    >>> len(search.cv_results_["mean_test_score"])
    4
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(
        self,
        X: Arrays | NDArray[np.floating],
        y: object = None,  # noqa: ARG002
    ) -> DeeptimeTransformer:
        """Fit to one trajectory (F, D), or to a list of them.

        Lagged pairs never cross from one trajectory of the list into the next.

        Parameters
        ----------
        X : (F, D) ndarray, or a list of them
        y : None
            Ignored; scikit-learn passes it.

        Raises
        ------
        InputError
            If a trajectory is not (frames, features), or none is longer than the lag.
        """
        listed: list[Any] = [X] if hasattr(X, "ndim") else list(X)
        for i, array in enumerate(listed):
            if getattr(array, "ndim", 0) != 2:
                raise InputError(
                    f"Trajectory {i} has shape {np.shape(array)}, but (frames, "
                    "features) is needed; flatten the tokens first."
                )
        self.estimator_ = clone(self.estimator, safe=False)
        lazy = any(isinstance(array, RowArray) for array in listed)
        if lazy and isinstance(self.estimator_, VAMP):
            # TICA is one too. In chunks, where fit would read a trajectory whole.
            lag = self.estimator_.lagtime
            if max(map(len, listed)) <= lag:
                raise InputError(
                    f"No trajectory is longer than the lag of {lag} frames; use a "
                    "shorter one."
                )
            for pair in lagged_chunks(listed, lag):
                self.estimator_.partial_fit(pair)
        else:
            self.estimator_.fit([np.asarray(a) for a in listed])
        self.model_ = self.estimator_.fetch_model()
        self.n_features_in_ = int(listed[0].shape[1])
        return self

    def transform(
        self, X: Arrays | NDArray[np.floating]
    ) -> NDArray[np.floating] | list[NDArray[np.floating]]:
        """Transform one trajectory, or every one of a list.

        Parameters
        ----------
        X : (F, D) ndarray, or a list of them

        Returns
        -------
        (F, d) ndarray, or a list of them
        """
        check_is_fitted(self, "model_")
        if hasattr(X, "ndim"):
            return self._transform(X)
        return [self._transform(a) for a in X]

    @available_if(_has_lag)
    def score(
        self,
        X: Arrays | NDArray[np.floating],
        y: object = None,  # noqa: ARG002
    ) -> float:
        """Return the VAMP-2 score of the outputs at the estimator's own lag.

        One covariance over all lagged pairs of the trajectories given, which should
        be others than those of :meth:`fit`. The constant counts: d outputs score
        between 1 and d + 1. A score never falls with the number of outputs but for
        overfitting, and it falls with the lag, whatever the model is worth: compare
        scores at one lag, and choose the lag by timescales that no longer change.

        Only estimators with a lag (``lagtime``) have a score.

        Parameters
        ----------
        X : (F, D) ndarray, or list of (F_i, D) ndarrays
            One trajectory, or one array per unbroken trajectory.
        y : None
            Not used.

        Returns
        -------
        float

        Raises
        ------
        ScoreError
            If there are too few pairs, or the outputs do not vary.
        """
        outputs = self.transform(X)
        if not isinstance(outputs, list):
            outputs = [outputs]
        return vamp2_score(outputs, self.estimator_.lagtime)

    def _transform(self, array: Any) -> NDArray[np.floating]:
        if isinstance(array, RowArray) and len(array):
            return np.concatenate([self.model_.transform(c) for c in chunks([array])])
        outputs: NDArray[np.floating] = self.model_.transform(np.asarray(array))
        return outputs

    def get_feature_names_out(
        self,
        input_features: object = None,  # noqa: ARG002
    ) -> NDArray[Any]:
        """Return (d,) ``tica0``, ``tica1``, … after the wrapped estimator's name."""
        check_is_fitted(self, "model_")
        n = self.model_.transform(np.zeros((1, self.n_features_in_))).shape[1]
        name = type(self.estimator).__name__.lower()
        return np.array([f"{name}{i}" for i in range(n)], dtype=object)


def estimator(deeptime_estimator: Any) -> DeeptimeTransformer:
    """Wrap a deeptime estimator for scikit-learn pipelines.

    scikit-learn refuses the bare estimator, which has no tags.

    Parameters
    ----------
    deeptime_estimator : deeptime estimator
        Such as ``deeptime.decomposition.TICA(lagtime=10, dim=2)``.

    Examples
    --------
    >>> import numpy as np
    >>> from deeptime.decomposition import TICA
    >>> from mdgeomfeat.kinetics import estimator
    >>> runs = [np.random.default_rng(i).normal(size=(200, 3)) for i in range(2)]
    >>> estimator(TICA(lagtime=1, dim=1)).fit(runs).n_features_in_
    3
    """
    return DeeptimeTransformer(deeptime_estimator)
