"""What the CPU engine asks of an architecture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from mdgeomfeat.gnn.engine.cpu.kernels import Graph

__all__ = ["Program"]


class Program(ABC):
    """A network with its weights in the order of its kernels.

    Attributes
    ----------
    intervals : int
        Of the filter table, which :class:`Graph` points into.
    """

    intervals: int

    @abstractmethod
    def memory(self, n_nodes: int, n_pairs: int) -> Any:
        """Return working memory for graphs of up to that size."""

    @abstractmethod
    def run(
        self, graph: Graph, memory: Any, scalars: np.ndarray, vectors: np.ndarray
    ) -> None:
        """Write the features of the nodes to their rows of the results.

        Parameters
        ----------
        graph : Graph
        memory : object
            Of :meth:`memory`; only one thread at a time may use it.
        scalars : (M, C) ndarray of float32
        vectors : (M, 3, C) ndarray of float32
        """
