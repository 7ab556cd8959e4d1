"""From positions to token features: the core of the featurizer and the transformer."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.featurizer.invariants import DEFAULT_SEED, InvariantKind, n_invariants
from mdgeomfeat.featurizer.pooling import Pooling, TokenPool
from mdgeomfeat.memory import available_memory, check_memory

if TYPE_CHECKING:
    from mdgeomfeat.gnn import Backbone
    from mdgeomfeat.gnn.engine import Engine
    from mdgeomfeat.structure import Structure

__all__ = ["STORE_DTYPES", "TokenEncoder", "check_choice"]

DTYPES = ("float32", "float64")
STORE_DTYPES = ("float16", "float32")

# Atoms that the automatic batch holds. Larger batches gain nothing (an engine cuts
# them to what fits its cache) and make the last, partly filled ones more costly.
_BATCH_ATOMS = 4096
_BATCH_FRAMES = (4, 512)
# Features of all atoms: the engine's, sorted by token, and what an engine works with.
_COPIES = 3
# A chunk on disk: long runs must not make millions of files, nor hold much at once.
# Where frames are small, what a file costs counts, so a chunk has a few batches.
_CHUNK_FRAMES = 64
_CHUNK_BATCHES = 4
_CHUNK_BYTES = 16 << 20


class TokenEncoder:
    """Compute pooled network features of frames of one structure.

    The object holds names and numbers only until features are asked for, and is sent
    to other processes in that state: network and engine are made where they are used.

    Parameters
    ----------
    structure : Structure
    model, window, pool, invariants, max_neighbors, allow_unseen, device, engine, \
batch_size, dtype
        As for :class:`mdgeomfeat.GeomGNNFeaturizer`.

    Attributes
    ----------
    structure : Structure
    n_channels : int
    batch_size : int
        Frames that are computed at once; the step of the grid of frames.
    batch_limit : int
        Below ``batch_size`` once a GPU has run out of memory.
    fingerprint : str
        SHA-256 of the network.

    Raises
    ------
    InputError
        If an option is not allowed, or the network never saw one of the elements.
    """

    def __init__(
        self,
        structure: Structure,
        *,
        model: str | Path | Backbone = "default",
        window: int | None = None,
        pool: Pooling = "mean",
        invariants: InvariantKind = "geometric",
        max_neighbors: int | None = None,
        allow_unseen: bool = False,
        device: str = "auto",
        engine: str = "auto",
        batch_size: int | Literal["auto"] = "auto",
        dtype: str = "float32",
    ) -> None:
        check_choice("pool", pool, get_args(Pooling))
        check_choice("dtype", dtype, DTYPES)
        _check_count("window", window, 0)
        _check_count("max_neighbors", max_neighbors, 1)
        _check_count("batch_size", batch_size, 1, otherwise="auto")
        self.structure = structure
        self.window = window
        self.pool = pool
        self.invariants: InvariantKind = invariants
        self.invariants_seed = DEFAULT_SEED
        self.max_neighbors = max_neighbors
        self.dtype = dtype
        self._source = model
        self._model: Backbone | None = None
        self._engine: Engine | None = None
        self._wanted: dict[str, Any] = {"engine": engine, "device": device}
        self._settled: dict[str, Any] = {}

        spec = self.model.spec
        self.n_channels: int = spec.n_channels
        self.cutoff: float = spec.cutoff
        self.fingerprint: str = self.model.fingerprint
        n_invariants(invariants, self.n_channels)
        if not allow_unseen or structure.numbers.max() >= spec.max_z:
            self._refuse_unseen(allow_unseen)
        self._automatic = batch_size == "auto"
        self.batch_size: int = (
            self._automatic_batch() if batch_size == "auto" else batch_size
        )
        self.batch_limit = self.batch_size
        self._windows = None if window is None else structure.windows(window)
        self._pool_atoms = TokenPool(structure.token_of_atom, structure.n_tokens, pool)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_model": None, "_engine": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @property
    def model(self) -> Backbone:
        """The network, loaded on first use in every process."""
        if self._model is None:
            from mdgeomfeat.gnn import load_model

            self._model = load_model(self._source)
        return self._model

    @property
    def engine(self) -> Engine:
        """What computes the network, made on first use in every process."""
        if self._engine is None:
            from mdgeomfeat.gnn.engine import make_engine

            self._engine = make_engine(
                self.model,
                dtype=self.dtype,
                max_neighbors=self.max_neighbors,
                **(self._settled or self._wanted),
            )
        return self._engine

    def settle(self, call: Callable[..., Any] | None = None) -> None:
        """Decide on engine and device, for this object and its copies elsewhere.

        Parameters
        ----------
        call : callable, optional
            Calls a function with arguments where the work will be done, which may be
            another machine; by default here.
        """
        self._settled = {}
        self._settled = _engine_of(self) if call is None else call(_engine_of, self)

    @property
    def chunk_size(self) -> int:
        """Frames of a chunk on disk: whole batches."""
        wanted = max(_CHUNK_FRAMES, _CHUNK_BATCHES * self.batch_size)
        frames = min(wanted, _CHUNK_BYTES // self.row_bytes)
        return self.batch_size * max(1, frames // self.batch_size)

    def adopt_batch(self, size: int) -> None:
        """Take over the batch size of earlier work, unless another was asked for."""
        if self._automatic:
            self.batch_size = self.batch_limit = size

    def encode(
        self, positions: NDArray, boxes: NDArray | None = None
    ) -> tuple[NDArray, NDArray]:
        """Compute the token features of a batch of frames.

        Parameters
        ----------
        positions : (F, A, 3) array, Å
            As they are: broken molecules need no mending where there is a box.
        boxes : (F, 6) array or None
            Å and degrees.

        Returns
        -------
        scalars : (F, N, C) ndarray
        vectors : (F, N, 3, C) ndarray
        """
        if len(positions) == 0:
            shapes = self.row_shapes()
            scalars, vectors = (
                np.empty((0, *shapes[name][0]), self.dtype)
                for name in ("scalars", "vectors")
            )
            return scalars, vectors
        done: list[tuple[NDArray, NDArray]] = []
        start = 0
        while start < len(positions):
            part = slice(start, start + self.batch_limit)
            features = self._compute(
                positions[part], None if boxes is None else boxes[part]
            )
            if features is None:
                self._halve(len(positions[part]))
                continue
            done.append(features)
            start = part.stop
        if len(done) == 1:
            return done[0]
        scalars, vectors = zip(*done, strict=True)
        return np.concatenate(scalars), np.concatenate(vectors)

    def _compute(
        self, positions: NDArray, boxes: NDArray | None
    ) -> tuple[NDArray, NDArray] | None:
        """Compute some frames at once, None if the GPU's memory will not do."""
        import torch

        try:
            scalars, vectors = self.engine.compute(
                self.structure.numbers, positions, boxes=boxes, windows=self._windows
            )
        except torch.cuda.OutOfMemoryError:
            return None
        return self._pool_atoms(scalars), self._pool_atoms(vectors)

    def _halve(self, size: int) -> None:
        """Compute fewer frames at once from now on."""
        import torch

        if size == 1:
            raise InputError(
                f"one frame of {self.structure.n_atoms} atoms does not fit into the "
                "GPU's memory; select fewer atoms, pass window=, or use device='cpu'."
            )
        torch.cuda.empty_cache()
        self.batch_limit = size // 2
        warnings.warn(
            f"the GPU's memory is too small for {size} frames at once; going on with "
            f"{self.batch_limit}",
            MDGeomFeatWarning,
            stacklevel=2,
        )

    def row_shapes(
        self, *, boxes: bool = False, dtype: str | None = None
    ) -> dict[str, tuple[tuple[int, ...], DTypeLike]]:
        """Return shape and type of what one frame gives, features as `dtype`."""
        n_tokens, n_channels = self.structure.n_tokens, self.n_channels
        shapes: dict[str, tuple[tuple[int, ...], DTypeLike]] = {
            "scalars": ((n_tokens, n_channels), dtype or self.dtype),
            "vectors": ((n_tokens, 3, n_channels), dtype or self.dtype),
            "positions": ((self.structure.n_atoms, 3), np.float32),
        }
        return shapes | ({"boxes": ((6,), np.float32)} if boxes else {})

    @property
    def row_bytes(self) -> int:
        """Memory that the results of one frame take."""
        return sum(
            math.prod(shape) * np.dtype(dtype).itemsize
            for shape, dtype in self.row_shapes(boxes=True).values()
        )

    def provenance(self) -> dict[str, Any]:
        """Return what must be known to get the same features again, for JSON."""
        import numba
        import torch

        import mdgeomfeat

        if not self._settled:
            self.settle()
        card = json.dumps(self.model.card, sort_keys=True).encode()
        return {
            "mdgeomfeat": mdgeomfeat.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": numba.__version__,
            "torch": str(torch.__version__),
            "model": self._name(),
            "model_fingerprint": self.fingerprint,
            "model_card_sha256": hashlib.sha256(card).hexdigest(),
            "model_spec": self.model.spec.to_dict(),
            "window": self.window,
            "pool": self.pool,
            "invariants": self.invariants,
            "invariants_seed": self.invariants_seed,
            "max_neighbors": self.max_neighbors,
            "dtype": self.dtype,
            **self._settled,
            "batch_size": self.batch_size,
        }

    def _automatic_batch(self) -> int:
        """Frames per batch: a power of two that depends on the structure alone.

        Only where memory is short does that count, too.
        """
        low, high = _BATCH_FRAMES
        wanted = max(1, _BATCH_ATOMS // self.structure.n_atoms)
        size = min(high, max(low, 1 << (wanted.bit_length() - 1)))
        numbers = _COPIES * 4 * self.n_channels * self.structure.n_atoms
        frame_bytes = numbers * np.dtype(self.dtype).itemsize
        free = available_memory()
        while free is not None and size > 1 and size * frame_bytes > free / 4:
            size //= 2
        check_memory(
            frame_bytes,
            f"the features of {self.structure.n_atoms} atoms in one frame",
            "select fewer atoms",
        )
        return size

    def _refuse_unseen(self, allow_unseen: bool) -> None:
        structure, model = self.structure, self.model
        unseen = set(model.unseen(structure.numbers))
        beyond = {int(z) for z in structure.numbers if z >= model.spec.max_z}
        refused = beyond if allow_unseen else unseen
        if not refused:
            return
        from mdgeomfeat.structure.elements import SYMBOLS

        where = []
        labels = structure.token_labels()
        for number in sorted(refused):
            atoms = np.flatnonzero(structure.numbers == number)
            tokens = np.unique(structure.token_of_atom[atoms])
            shown = ", ".join(labels[t] for t in tokens[:3])
            shown += ", ..." if len(tokens) > 3 else ""
            n = "1 atom" if len(atoms) == 1 else f"{len(atoms)} atoms"
            where.append(f"{SYMBOLS[number]} ({n} in {shown})")
        remedy = "leave these atoms out with select= (--select), or "
        remedy += (
            "use another model"
            if refused & beyond
            else "accept them with allow_unseen=True (--allow-unseen)"
        )
        raise InputError(
            f"the model {self._name()!r} has never seen {' or '.join(where)}; {remedy}."
        )

    def _name(self) -> str:
        if isinstance(self._source, str) or hasattr(self._source, "__fspath__"):
            return str(self._source)
        return type(self._source).__name__


def _engine_of(encoder: TokenEncoder) -> dict[str, str]:
    """Return engine and device that an encoder finds in this process."""
    return {"engine": encoder.engine.name, "device": str(encoder.engine.device)}


def check_choice(option: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is none of the allowed ones."""
    if value not in allowed:
        raise InputError(
            f"{option}={value!r} is not known; use one of "
            f"{', '.join(map(repr, allowed))}."
        )


def _check_count(
    option: str, value: object, least: int, otherwise: object = None
) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if value == otherwise or (whole and value >= least):  # type: ignore[operator]
        return
    raise InputError(
        f"{option}={value!r} must be a whole number of at least {least}, or "
        f"{otherwise!r}."
    )
