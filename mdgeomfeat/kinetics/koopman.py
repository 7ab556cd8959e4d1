r"""Koopman reweighting: equilibrium from many short runs that start anywhere.

Runs that were not biased, but are too short to forget where they started, have the
right dynamics and the wrong density. The dynamics alone fixes the density: it is what
one lag leaves unchanged. In a basis of functions :math:`\chi`, the weights
:math:`w(x) = u^\top \chi(x)` that make averages over later frames equal those over
earlier ones are an eigenvector of the estimated Koopman matrix.

References
----------
Wu, Nüske, Paul, Klus, Koltai & Noé, J. Chem. Phys. 146, 154104 (2017), section II E;
the estimator is deeptime's.
"""

from __future__ import annotations

import numpy as np
from deeptime.covariance import KoopmanWeightingEstimator

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.arrays import Arrays
from mdgeomfeat.kinetics.tica import fit_tica
from mdgeomfeat.kinetics.weights import FrameWeights, WeightOrigin

__all__ = ["koopman_weights"]

#: TICA components in which weights are linear. Of 590 runs of 20 ps that start off
#: equilibrium, 5 to 50 components give the same populations; principal components take
#: 150 for it.
_COMPONENTS = 10

#: A linear function can be negative where it should be 0; beyond this share of the
#: weight it is no estimate of a density.
_MAX_NEGATIVE = 0.1


def koopman_weights(
    arrays: Arrays, lag: int, *, n_components: int = _COMPONENTS
) -> FrameWeights:
    """Return the weights that bring frames of unbiased runs to equilibrium.

    Parameters
    ----------
    arrays : list of (F, ...) ndarrays
        Features of every unbroken trajectory.
    lag : int
        Frames. Runs should cross between all regions within a few of them.
    n_components : int
        TICA components that are the basis, beside the constant.

    Returns
    -------
    FrameWeights
        Of :attr:`~mdgeomfeat.kinetics.WeightOrigin.KOOPMAN`; weights below 0 are
        set to 0.

    Raises
    ------
    InputError
        If more than a tenth of the weight is negative.
    ScoreError
        If there are too few pairs, or no column varies.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import koopman_weights
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500, 2)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips + rng.normal(0, 0.2, (4, 500, 2)))
    >>> weights = koopman_weights(runs, lag=5)
    >>> weights.origin.value, [len(own) for own in weights.values]
    ('koopman', [500, 500, 500, 500])
    """
    # each component in units of its spread, so that none is cut off as rounding
    outputs = fit_tica(arrays, lag, n_components).transform(arrays)
    if outputs[0].shape[1] == 1:
        # deeptime takes a matrix of one entry for a list; what never varies is left out
        outputs = [np.pad(x, ((0, 0), (0, 1))) for x in outputs]
    estimator = KoopmanWeightingEstimator(lag)
    for x in outputs:
        if len(x) > lag:
            estimator.partial_fit((x[:-lag], x[lag:]))
    model = estimator.fetch_model()
    weights = [np.asarray(model.weights(x), dtype=np.float64) for x in outputs]
    joined = np.concatenate(weights)
    above, below = joined[joined > 0].sum(), -joined[joined < 0].sum()
    if not np.isfinite(joined).all() or below > _MAX_NEGATIVE * above:
        share = below / (above + below)
        raise InputError(
            "The runs do not show where their equilibrium is: Koopman reweighting "
            f"gives {100 * share:.2g} % of the weight a negative sign; use more or "
            "longer runs, which cross between all regions, or another lag."
        )
    values = [np.clip(w, 0.0, None) for w in weights]
    return FrameWeights.normalised(values, WeightOrigin.KOOPMAN)
