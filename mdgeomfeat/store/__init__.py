"""Token features on disk: one zarr (version 3) hierarchy per featurization.

Layout, format 2::

    features.zarr/            attributes: format, format_version, complete,
    |                         batch_size, chunk_size, smallest_batch,
    |                         continued_with, identity, tokens, structure,
    |                         provenance
    +-- trajectory-0000/      attributes: source, n_frames
    |   +-- scalars           (F, N, C)
    |   +-- vectors           (F, N, 3, C)
    |   +-- positions         (F, A, 3)  Å, molecules whole and side by side
    |   +-- boxes             (F, 6)     Å and degrees; absent without a box
    |   +-- times             (F,)       ps; NaN where unknown
    |   +-- frames            (F,)       index in the source; -1 where unusable
    +-- trajectory-0001/
        ...

Arrays are chunked along frames only, ``chunk_size`` frames at a time, which are whole
batches of the grid that the features were computed on. A chunk is always written
whole, by one process, and stands under its final name only when its file is complete;
``frames`` comes last. So the files themselves tell which chunks are finished, whoever
wrote them and however the run ended, and another run goes on at the first missing one.
``complete`` is the last thing of all that is written. Rows whose frame could not be
used have -1 in ``frames`` and NaN elsewhere, and are left out when the store is read.

One process at a time holds a store for writing (:class:`StoreLock`); the processes it
starts write chunks (:class:`StoreWriter` can be pickled), never attributes.

This room knows neither MDAnalysis nor torch.
"""

from mdgeomfeat.store.layout import StoreDescription, TrajectoryLayout
from mdgeomfeat.store.lazy import (
    LazyArray,
    MappedArray,
    RowArray,
    Rows,
    cut_rows,
    flat_rows,
    join_rows,
    map_rows,
)
from mdgeomfeat.store.lock import StoreLock
from mdgeomfeat.store.reader import FeatureStore
from mdgeomfeat.store.writer import StoreWriter

__all__ = [
    "FeatureStore",
    "LazyArray",
    "MappedArray",
    "RowArray",
    "Rows",
    "StoreDescription",
    "StoreLock",
    "StoreWriter",
    "TrajectoryLayout",
    "cut_rows",
    "flat_rows",
    "join_rows",
    "map_rows",
]
