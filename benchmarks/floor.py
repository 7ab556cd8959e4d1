"""How fast an engine could be: its operations over what one core can do.

Counted are the multiplications and additions of the engine's own algorithm (filters
from tables, each pair once) and not of the model as it is written: matrix products
over nodes (and, in ViSNet, over edges), four terms per value that is read from a
table, and the sums of messages. Exponentials, norms and all memory traffic are left
out. The rate of a core is that of numpy's product of two matrices that fit the cache
(sgemm), measured in the same rounds. The fast engine's own products, of packed weights
and a few rows, may be faster than that, so its share of the floor can exceed one.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from mdgeomfeat.gnn import ModelSpec
from mdgeomfeat.neighbors import neighbor_list

# Reading a value of a table: a product and three products with sums.
SPLINE = 7
SIZE = 256


def count_pairs(positions: np.ndarray, cutoff: float) -> float:
    """Return the unordered pairs of a frame within the cutoff, mean over frames."""
    return neighbor_list(positions, cutoff).n_edges / 2 / len(positions)


def operations(spec: ModelSpec, nodes: float, pairs: float) -> float:
    """Return the operations that one frame takes.

    Parameters
    ----------
    spec : ModelSpec
    nodes, pairs : float
        Atoms, and unordered pairs within the cutoff.
    """
    count = {"et": _et, "tensornet": _tensornet, "visnet": _visnet}[spec.architecture]
    per_node, per_pair = count(spec, spec.n_channels)
    return nodes * per_node + pairs * per_pair


def _et(spec: ModelSpec, C: int) -> tuple[float, float]:
    # query and 3 or 4 blocks; output; the vectors' projection. The first layer has
    # no vectors, and only the scalar third of its output is used.
    first_node, other_node = (8 + 2) * C**2, (10 + 6 + 18) * C**2
    # attention 3, scalars 3, directions 1 + 6, vectors 1 + 6; both directions.
    first_pair = (3 * SPLINE + 2 * 13) * C
    other_pair = (4 * SPLINE + 2 * 20) * C
    more = spec.n_layers - 1
    return first_node + more * other_node, first_pair + more * other_pair


def _tensornet(spec: ModelSpec, C: int) -> tuple[float, float]:
    # gate and mixing of the embedding, output; two mixings of nine rows and two
    # symmetric products of 3 x 3 matrices in each layer.
    node = (4 + 12 + 18 + 6) * C**2 + spec.n_layers * (36 * C**2 + 180 * C)
    first = (3 * SPLINE + 2 * (1 + 3 + 18)) * C
    return node, first + spec.n_layers * (3 * SPLINE + 2 * 18) * C


def _visnet(spec: ModelSpec, C: int) -> tuple[float, float]:
    L = 3 if spec.lmax == 1 else 8
    node, pair = 2.0 * C**2, (2 * SPLINE + 6) * C
    for layer in range(spec.n_layers):
        gate = 0 < layer < spec.n_layers - 1
        filters = (6 if gate else 4) * C**2
        message = (2 if layer == 0 else 4) * C**2
        pull = 2 * L * (1 if layer == 0 else 2) * C
        change = (6 * L + 2) * C if gate else 0.0
        edge = message + 6 * C + pull + change
        node += 12 * C**2 + (6 * L * C**2 if layer else 0) + (4 * L * C**2 * gate)
        # Atoms send to themselves; directions share filters up to the second layer.
        node += spec.self_edges * (edge + filters)
        pair += 2 * edge + filters * (1 if layer < 2 else 2)
    return node, pair


def sgemm_rate(seconds: float = 0.1) -> float:
    """Return operations per CPU second of a product of matrices on one thread."""
    rng = np.random.default_rng(0)
    a, b = rng.random((2, SIZE, SIZE), np.float32)
    out = np.empty_like(a)
    with threadpool_limits(1):
        np.matmul(a, b, out=out)
        done, start = 0, time.thread_time()
        while (spent := time.thread_time() - start) < seconds:
            np.matmul(a, b, out=out)
            done += 1
    return done * 2 * SIZE**3 / spent


def sgemm_gain(threads: int, seconds: float = 0.05) -> float:
    """Return how much more products of matrices several threads get through.

    Less than their number where virtual processors share a core, or with others.
    """

    def rate(_: int) -> float:
        rng = np.random.default_rng(0)
        a, b = rng.random((2, SIZE, SIZE), np.float32)
        out = np.empty_like(a)
        done, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds:
            np.matmul(a, b, out=out)
            done += 1
        return done / spent

    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        alone = rate(0)
        return sum(pool.map(rate, range(threads))) / alone
