"""From frames to token features: the analysis, its results, and the transformer.

``analysis`` holds the AnalysisBase subclass, whose runs are those of ``run``, and
``transformer`` its twin for arrays; both work through ``encoder``. What makes features
what they are is a :class:`mdgeomfeat.featurespec.FeatureSpec`. ``frames`` decides
which frames make a batch, ``parallel`` who computes it, ``batches`` carries rows
between them, and ``results`` holds what comes out. ``invariants`` makes flat features
of tokens, with what ``surroundings`` counts around them. The transformer brings
scikit-learn along and is imported from its own module.
"""

from mdgeomfeat.featurizer.analysis import GeomGNNFeaturizer
from mdgeomfeat.featurizer.encoder import TokenEncoder
from mdgeomfeat.featurizer.invariants import (
    compute_invariants,
    invariant_names,
    n_invariants,
)
from mdgeomfeat.featurizer.results import FeatureResults, join_channels
from mdgeomfeat.featurizer.surroundings import Surroundings

__all__ = [
    "FeatureResults",
    "GeomGNNFeaturizer",
    "Surroundings",
    "TokenEncoder",
    "compute_invariants",
    "invariant_names",
    "join_channels",
    "n_invariants",
]
