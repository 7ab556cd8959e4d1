"""From positions to token features: the core of the featurizer and the transformer."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.featurespec import check_count
from mdgeomfeat.featurizer.pooling import TokenPool
from mdgeomfeat.memory import available_memory, check_memory

if TYPE_CHECKING:
    from mdgeomfeat.featurespec import FeatureSpec
    from mdgeomfeat.gnn import Backbone
    from mdgeomfeat.gnn.engine import Engine
    from mdgeomfeat.structure import Structure

__all__ = ["STORE_DTYPES", "TokenEncoder"]

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


class _Place(TypedDict):
    """What computes the network, and on which device."""

    engine: str
    device: str


class TokenEncoder:
    """Compute pooled network features of frames of one structure.

    The object holds names and numbers only until features are asked for, and is sent
    to other processes in that state: network and engine are made where they are used.
    A run works with a copy of its own; see :meth:`settled` and :meth:`with_batch`.

    Parameters
    ----------
    structure : Structure
    spec : FeatureSpec
        What makes the features. Its selection and tokens are those of `structure`.
    device, engine, batch_size
        As for :class:`mdgeomfeat.GeomGNNFeaturizer`.

    Attributes
    ----------
    structure : Structure
    spec : FeatureSpec
        With what was left to the number of tokens decided.
    n_channels : int
        Of a token: the network's, as often as there are groups in the pooling.
    cutoff : float, Å
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
        spec: FeatureSpec,
        *,
        device: str = "auto",
        engine: str = "auto",
        batch_size: int | Literal["auto"] = "auto",
    ) -> None:
        check_count("batch_size", batch_size, 1, otherwise="auto")
        self.structure = structure
        self.spec = spec.decided(structure.n_tokens)
        self._model: Backbone | None = None
        self._engine: Engine | None = None
        self._place: _Place = {"engine": engine, "device": device}

        network = self.model.spec
        self._pool_atoms = TokenPool(structure, spec.pool)
        self.n_channels: int = network.n_channels * self._pool_atoms.n_groups
        self.cutoff: float = network.cutoff
        self.fingerprint: str = self.model.fingerprint
        if not spec.allow_unseen or structure.numbers.max() >= network.max_z:
            self._refuse_unseen()
        self._automatic = batch_size == "auto"
        self.batch_size: int = (
            self._automatic_batch() if batch_size == "auto" else batch_size
        )
        self.batch_limit = self.batch_size
        self._windows = None if spec.window is None else structure.windows(spec.window)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_model": None, "_engine": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def _copy(self) -> TokenEncoder:
        """Return a copy that shares network and engine, which pickling leaves out."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    @property
    def model(self) -> Backbone:
        """The network, loaded on first use in every process."""
        if self._model is None:
            from mdgeomfeat.gnn import load_model

            self._model = load_model(self.spec.model)
        return self._model

    @property
    def engine(self) -> Engine:
        """What computes the network, made on first use in every process."""
        if self._engine is None:
            from mdgeomfeat.gnn.engine import make_engine

            self._engine = make_engine(
                self.model,
                dtype=self.spec.dtype,
                max_neighbors=self.spec.max_neighbors,
                **self._place,
            )
        return self._engine

    def settled(self, call: Callable[..., Any] | None = None) -> TokenEncoder:
        """Return a copy that has decided on engine and device, wherever it is sent.

        Parameters
        ----------
        call : callable, optional
            Calls a function with arguments where the work will be done, which may be
            another machine; by default here.
        """
        other = self._copy()
        other._place = _place_of(self) if call is None else call(_place_of, self)
        if self._engine is None or _place_of(self) != other._place:
            other._engine = None
        return other

    @property
    def chunk_size(self) -> int:
        """Frames of a chunk on disk: whole batches."""
        wanted = max(_CHUNK_FRAMES, _CHUNK_BATCHES * self.batch_size)
        frames = min(wanted, _CHUNK_BYTES // self.row_bytes)
        return self.batch_size * max(1, frames // self.batch_size)

    def with_batch(self, size: int) -> TokenEncoder:
        """Return a copy with the batch size of earlier work.

        A batch size that was asked for stays.
        """
        other = self._copy()
        if self._automatic:
            other.batch_size = other.batch_limit = size
        return other

    def encode(
        self, positions: NDArray[np.floating], boxes: NDArray[np.floating] | None = None
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Compute the token features of a batch of frames.

        Parameters
        ----------
        positions : (F, A, 3) ndarray, Å
            As they are: broken molecules need no mending where there is a box.
        boxes : (F, 6) ndarray or None
            Å and degrees.

        Returns
        -------
        scalars : (F, N, C) ndarray
        vectors : (F, N, 3, C) ndarray
        """
        if len(positions) == 0:
            shapes = self.row_shapes()
            scalars, vectors = (
                np.empty((0, *shapes[name][0]), self.spec.dtype)
                for name in ("scalars", "vectors")
            )
            return scalars, vectors
        done: list[tuple[NDArray[np.floating], NDArray[np.floating]]] = []
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
        self, positions: NDArray[np.floating], boxes: NDArray[np.floating] | None
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]] | None:
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
                f"One frame of {self.structure.n_atoms} atoms does not fit into the "
                "GPU's memory; select fewer atoms, pass window=, or use device='cpu'."
            )
        torch.cuda.empty_cache()
        self.batch_limit = size // 2
        warnings.warn(
            f"The GPU's memory is too small for {size} frames at once; continuing with "
            f"{self.batch_limit}.",
            MDGeomFeatWarning,
            stacklevel=2,
        )

    def row_shapes(
        self, *, boxes: bool = False, dtype: str | None = None
    ) -> dict[str, tuple[tuple[int, ...], DTypeLike]]:
        """Return shape and type of what one frame gives, features as `dtype`.

        Parameters
        ----------
        boxes : bool, optional
            Whether a box belongs to a row.
        dtype : str, optional
            Type of the features, float32 by default.
        """
        n_tokens, n_channels = self.structure.n_tokens, self.n_channels
        shapes: dict[str, tuple[tuple[int, ...], DTypeLike]] = {
            "scalars": ((n_tokens, n_channels), dtype or self.spec.dtype),
            "vectors": ((n_tokens, 3, n_channels), dtype or self.spec.dtype),
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
        """Return what must be known to get the same features again, for JSON.

        Engine and device are what was asked for, unless the encoder has settled.
        """
        import numba
        import torch

        import mdgeomfeat

        card = json.dumps(self.model.card, sort_keys=True).encode()
        return {
            "mdgeomfeat": mdgeomfeat.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": numba.__version__,
            "torch": str(torch.__version__),
            "features": self.spec.to_dict(),
            "model_fingerprint": self.fingerprint,
            "model_card_sha256": hashlib.sha256(card).hexdigest(),
            "model_spec": self.model.spec.to_dict(),
            **self._place,
            "batch_size": self.batch_size,
        }

    def _automatic_batch(self) -> int:
        """Frames per batch: a power of two that depends on the structure alone.

        Only where memory is short does that count, too.
        """
        low, high = _BATCH_FRAMES
        wanted = max(1, _BATCH_ATOMS // self.structure.n_atoms)
        size = min(high, max(low, 1 << (wanted.bit_length() - 1)))
        numbers = _COPIES * 4 * self.model.spec.n_channels * self.structure.n_atoms
        frame_bytes = numbers * np.dtype(self.spec.dtype).itemsize
        free = available_memory()
        while free is not None and size > 1 and size * frame_bytes > free / 4:
            size //= 2
        check_memory(
            frame_bytes,
            f"the features of {self.structure.n_atoms} atoms in one frame",
            "select fewer atoms",
        )
        return size

    def _refuse_unseen(self) -> None:
        structure, model = self.structure, self.model
        unseen = set(model.unseen(structure.numbers))
        beyond = {int(z) for z in structure.numbers if z >= model.spec.max_z}
        refused = beyond if self.spec.allow_unseen else unseen
        if not refused:
            return
        from mdgeomfeat.structure.elements import SYMBOLS
        from mdgeomfeat.structure.misread import doubtful_element

        where = []
        labels = structure.token_labels()
        for number in sorted(refused):
            atoms = np.flatnonzero(structure.numbers == number)
            tokens = np.unique(structure.token_of_atom[atoms])
            shown = ", ".join(labels[t] for t in tokens[:3])
            shown += ", ..." if len(tokens) > 3 else ""
            n = "1 atom" if len(atoms) == 1 else f"{len(atoms)} atoms"
            where.append(f"{SYMBOLS[number]} ({n} in {shown})")
        remedy = doubtful_element(structure, refused)
        if remedy is None:
            remedy = "leave these atoms out with select= (--select), or "
            remedy += (
                "use another model"
                if refused & beyond
                else "accept them with allow_unseen=True (--allow-unseen)"
            )
        raise InputError(
            f"The model {self.spec.model_name!r} has never seen "
            f"{' or '.join(where)}; {remedy}."
        )


def _place_of(encoder: TokenEncoder) -> _Place:
    """Return engine and device that an encoder finds in this process."""
    return {"engine": encoder.engine.name, "device": str(encoder.engine.device)}
