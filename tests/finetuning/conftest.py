"""Labelled sets and configurations that the tests of this room share."""

from __future__ import annotations

import numpy as np
import pytest
from label_fixtures import graphs, network, one_thread
from labelled_molecules import TARGETS, labelled_graph
from torch_geometric.data import Data

from mdgeomfeat.finetuning import FinetuneConfig, from_graphs

__all__ = ["graphs", "network", "one_thread"]


@pytest.fixture(scope="session")
def frames() -> list[Data]:
    """40 frames of one molecule, in order."""
    rng = np.random.default_rng(3)
    z, x = np.array([8, 6, 1, 1, 6]), rng.normal(size=(5, 3))
    return [labelled_graph(z, x + 0.2 * rng.normal(size=(5, 3))) for _ in range(40)]


@pytest.fixture(scope="session")
def labels(graphs):
    """Return the labelled set of a kind."""
    return lambda kind, source=None: from_graphs(
        graphs if source is None else source, kind=kind, **TARGETS[kind]
    )


@pytest.fixture
def config(network):
    """Return the configuration of a short run; tables are given as dictionaries."""

    def make(kind: str, **tables) -> FinetuneConfig:
        return FinetuneConfig.from_dict(
            {
                "labels": {"kind": kind, **TARGETS[kind], **tables.get("labels", {})},
                "split": {"train": 24, "validation": 8, **tables.get("split", {})},
                "model": {"network": network, **tables.get("model", {})},
                "train": {
                    "steps": 10, "batch": 6, "log_every": 1, **tables.get("train", {})
                },
            }
        )  # fmt: skip

    return make
