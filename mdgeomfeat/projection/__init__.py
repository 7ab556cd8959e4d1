"""Two-dimensional maps of features, and how far features agree with descriptors."""

from __future__ import annotations

from mdgeomfeat.projection.agreement import Agreement, agreement
from mdgeomfeat.projection.maps import MapResult, fit_map
from mdgeomfeat.projection.neighbourhood import knn_r2, neighbour_purity

__all__ = [
    "Agreement",
    "MapResult",
    "agreement",
    "fit_map",
    "knn_r2",
    "neighbour_purity",
]
