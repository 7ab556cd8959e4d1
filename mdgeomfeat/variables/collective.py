"""One differentiable path from positions to collective variables."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import check_choice
from mdgeomfeat.featurizer.pooling import TokenPool
from mdgeomfeat.featurizer.surroundings import Surroundings
from mdgeomfeat.gnn import load_model
from mdgeomfeat.gnn.engine.edges import frame_edges
from mdgeomfeat.neighbors.windows import own_copies
from mdgeomfeat.structure import make_whole
from mdgeomfeat.variables.compiled import CompiledVariables, Differentiated, obstacle
from mdgeomfeat.variables.outputs import TokenOutputs
from mdgeomfeat.variables.saved import (
    check_same_molecule,
    network_fingerprint,
    read_model_folder,
    read_training,
)
from mdgeomfeat.variables.smoothness import SMOOTH_LIMIT, jump_at_cutoff

if TYPE_CHECKING:
    from mdgeomfeat.featurespec import FeatureSpec
    from mdgeomfeat.kinetics import CVModel
    from mdgeomfeat.structure import Structure
    from mdgeomfeat.variables.training import Reach

__all__ = ["CollectiveVariables"]

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


class CollectiveVariables(nn.Module):
    """The d outputs of a saved model as a differentiable function of positions.

    Parameters
    ----------
    model : CVModel
        With the metadata that ``vamp`` and ``tica`` store.
    features : FeatureSpec
        What made its features. A copy of the network is kept, and no gradient reaches
        its weights.
    structure : Structure
        The atoms whose positions will be given, in their order. Within a token it
        may differ from that of training.
    engine : {"auto", "cpu", "torch"}
        ``"cpu"`` computes values and gradients in compiled code, in float32, and is
        there for the Equivariant Transformer on whole frames; ``"torch"`` is the
        definition and does everything. ``"auto"`` takes the first where it can.
    dtype : {"float32", "float64"}, optional
        Precision of network and lobe, by default that of the features; the linear map
        is float64.
    reach : Reach, optional
        Adds the distance from the training data as one more output, the last.

    Attributes
    ----------
    dim : int
        Number of outputs d, the distance included.
    engine : {"cpu", "torch"}
        What computes.
    reason : str
        Why.

    Raises
    ------
    InputError
        If the structure is another molecule than the model's, network and model do
        not belong together, or the engine cannot do what is asked.

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> import torch
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.structure import select_atoms
    >>> from mdgeomfeat.variables import CollectiveVariables
    >>> atoms = select_atoms(mda.Universe("top.pdb"))
    >>> cvs = CollectiveVariables.load("report", Structure.from_atomgroup(atoms))
    >>> positions = torch.tensor(atoms.positions[None], requires_grad=True)
    >>> values = cvs(positions)
    >>> values.shape == (1, cvs.dim)
    True
    >>> values[0, 0].backward()
    >>> positions.grad.shape
    torch.Size([1, 9, 3])
    """

    numbers: Tensor
    slots: Tensor
    divisors: Tensor

    def __init__(
        self,
        model: CVModel,
        features: FeatureSpec,
        structure: Structure,
        *,
        engine: str = "auto",
        dtype: str | None = None,
        reach: Reach | None = None,
    ) -> None:
        super().__init__()
        check_same_molecule(model.metadata, structure)
        network = load_model(features.model)
        if network.fingerprint != network_fingerprint(model.metadata):
            raise InputError(
                "The network is not the one that made this model's features; use the "
                "network and the model of one folder."
            )
        dtype = features.dtype if dtype is None else dtype
        check_choice("dtype", dtype, tuple(_DTYPES))
        real = _DTYPES[dtype]
        self.structure, self.features = structure, features
        window = features.window
        self.windows = None if window is None else structure.windows(window)
        self.network = copy.deepcopy(network).to(real).eval().requires_grad_(False)
        self.pool = TokenPool(structure, features.pool)
        for name, values, kind in (
            ("numbers", structure.numbers, torch.int64),
            ("slots", self.pool.slots, torch.int64),
            ("divisors", self.pool.divisors, real),
        ):
            self.register_buffer(name, torch.tensor(np.array(values)).to(kind))
        channels = self.network.spec.n_channels * self.pool.n_groups
        self.outputs = TokenOutputs(model, features, structure, channels, real, reach)
        self.dim = self.outputs.dim
        self.surroundings = (
            Surroundings(structure, features) if self.outputs.spatial else None
        )
        self._compiled: CompiledVariables | None = None
        self.engine, self.reason = self._choose(engine)
        if self.engine == "cpu":
            self._compiled = CompiledVariables(
                self.network, structure, self.pool, self.outputs, self.surroundings
            )

    @classmethod
    def load(
        cls,
        path: str | Path,
        structure: Structure,
        *,
        engine: str = "auto",
        dtype: str | None = None,
        reach: bool = False,
    ) -> CollectiveVariables:
        """Read a model from the folder of a report.

        Parameters
        ----------
        path : path
            The report's folder, or its folder ``model``.
        structure, engine, dtype
            As for the class.
        reach : bool
            Whether the distance from the training data is the last output.

        Returns
        -------
        CollectiveVariables

        Raises
        ------
        InputError
            As the class, and if the folder has no record of the training data that is
            asked for.
        """
        return cls(
            *read_model_folder(path),
            structure,
            engine=engine,
            dtype=dtype,
            reach=read_training(path).reach if reach else None,
        )

    def _choose(self, engine: str) -> tuple[str, str]:
        if engine not in ("auto", "cpu", "torch"):
            raise InputError(
                f"engine={engine!r} is not known; use one of 'auto', 'cpu', 'torch'."
            )
        if engine == "torch":
            return "torch", "asked for"
        why_not = obstacle(self.network, self.features)
        if why_not is None:
            return "cpu", "asked for" if engine == "cpu" else "the fastest"
        if engine == "cpu":
            raise InputError(f"{why_not}; use engine='torch' or 'auto'.")
        return "torch", why_not

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the network."""
        return self.network.dtype

    def require_smooth(self) -> None:
        """Refuse networks that must not drive a simulation.

        Raises
        ------
        InputError
            If features jump where a pair crosses the cutoff or neighbours are capped.
        """
        nearest = self.features.max_neighbors
        if nearest is not None:
            raise InputError(
                f"This model sees the nearest {nearest} neighbours of an atom, so its "
                "variables jump where two of them change places; a bias needs a model "
                "made without max_neighbors."
            )
        jump = jump_at_cutoff(self.network, self.structure.numbers)
        if jump > SMOOTH_LIMIT:
            spec = self.network.spec
            raise InputError(
                f"Features of this network ({spec.architecture}) jump by "
                f"{100 * jump:.2g} % where a pair crosses its cutoff of "
                f"{spec.cutoff:g} Å, and no force accounts for that; a bias needs a "
                "smooth network, such as this package's own."
            )

    def forward(
        self, positions: Tensor, boxes: ArrayLike | Tensor | None = None
    ) -> Tensor:
        """Compute the collective variables.

        Parameters
        ----------
        positions : (F, A, 3) floating-point Tensor, Å
            Molecules may be broken across a box.
        boxes : (F, 6) or (6,) array, optional
            ``[a, b, c, alpha, beta, gamma]``, Å and degrees.

        Returns
        -------
        (F, d) float64 Tensor
            With gradients if `positions` has them. Those of the compiled engine
            cannot be differentiated again; doing so raises.

        Raises
        ------
        InputError
            If shapes do not fit, coordinates are not finite, there is a box and the
            model was made without one or the reverse, it is too small for the cutoff,
            or a gradient with respect to it is asked for.
        """
        cells = self._check(positions, boxes)
        if self._compiled is not None:
            values: Tensor = Differentiated.apply(  # type: ignore[no-untyped-call]
                positions, cells, self._compiled
            )
            return values
        edges, copies = frame_edges(
            positions,  # type: ignore[arg-type]
            self.network.spec.cutoff,
            cells,
            windows=self.windows,
            max_neighbors=self.features.max_neighbors,
            dtype=self.dtype,
            device=self.numbers.device,
        )
        F, A, _ = positions.shape
        numbers = self.numbers.repeat(F)
        scalars, vectors = self.network(
            numbers if copies is None else numbers[copies], edges
        )
        if self.windows is not None:
            own = own_copies(self.windows, F, A).to(scalars.device)
            scalars, vectors = scalars[own], vectors[own]
        C = scalars.shape[1]
        return self.from_atoms(
            scalars.view(F, A, C),
            vectors.view(F, A, 3, C),
            self._shells(positions, cells),
        )

    def _shells(
        self, positions: Tensor, cells: NDArray[np.floating] | None
    ) -> Tensor | None:
        """Return the surroundings of tokens (F, N, 8) where the model takes them."""
        if self.surroundings is None:
            return None
        r = positions.to(torch.float64)
        if cells is not None:
            broken = r.detach().cpu().numpy()
            moves = make_whole(self.structure, broken, cells) - broken
            r = r + torch.from_numpy(moves).to(r.device)
        return self.surroundings.of_tensors(r, cells).to(self.dtype)

    def differentiate(
        self, positions: ArrayLike, boxes: ArrayLike | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute values and their gradients.

        Parameters
        ----------
        positions : (F, A, 3) array, Å
        boxes : (F, 6) or (6,) array, optional

        Returns
        -------
        values : (F, d) ndarray
        gradients : (F, d, A, 3) ndarray, 1/Å

        Raises
        ------
        InputError
            As :meth:`forward`.
        """
        r = torch.as_tensor(np.asarray(positions, np.float64))
        if self._compiled is not None:
            return self._compiled(r.numpy(), self._check(r, boxes))
        r = r.to(self.numbers.device).requires_grad_()
        values = self(r, boxes)
        gradients = [
            torch.autograd.grad(values[:, k].sum(), r, retain_graph=k + 1 < self.dim)[0]
            for k in range(self.dim)
        ]
        return (
            values.detach().cpu().numpy(),
            torch.stack(gradients, dim=1).cpu().numpy(),
        )

    def _check(self, positions: Tensor, boxes: Any) -> NDArray[np.floating] | None:
        shape = (*positions.shape[:1], self.structure.n_atoms, 3)
        if positions.ndim != 3 or tuple(positions.shape) != shape:
            raise InputError(
                f"The positions have shape {tuple(positions.shape)}, but these "
                f"variables need (frames, {self.structure.n_atoms}, 3)."
            )
        if not positions.is_floating_point():
            raise InputError(
                f"The positions are of type {positions.dtype}, which has no gradient; "
                "give float32 or float64."
            )
        wanted = self.features.periodic
        if wanted != "auto" and wanted != (boxes is not None):
            has, gets, remedy = (
                ("a", "none", "give the box")
                if wanted
                else ("no", "one", "leave it out and give whole molecules")
            )
            raise InputError(
                f"This model was made with periodic={wanted}, hence {has} box, and "
                f"here it gets {gets}; {remedy}."
            )
        if boxes is None:
            return None
        if isinstance(boxes, Tensor):
            if boxes.requires_grad:
                raise InputError(
                    "The gradient with respect to the box is not available; give the "
                    "box without requires_grad."
                )
            boxes = boxes.cpu()
        cells = np.asarray(boxes, np.float64)
        return np.broadcast_to(cells, (len(positions), 6)) if cells.ndim == 1 else cells

    def from_atoms(
        self, scalars: Tensor, vectors: Tensor, shells: Tensor | None = None
    ) -> Tensor:
        """Compute the collective variables from features of atoms.

        Parameters
        ----------
        scalars : (F, A, C) Tensor
        vectors : (F, A, 3, C) Tensor
        shells : (F, N, 8) Tensor, optional
            The surroundings of tokens, where the model takes them.

        Returns
        -------
        (F, d) float64 Tensor
        """
        return self.from_tokens(self.pooled(scalars), self.pooled(vectors), shells)

    def pooled(self, values: Tensor) -> Tensor:
        """Pool the atoms of each token: (F, A, ..., C) to (F, N, ..., G C)."""
        F, _, *rest = values.shape
        zeros = values.new_zeros((F, len(self.divisors), *rest))
        summed = zeros.index_add(1, self.slots, values)
        pooled = summed / self.divisors.view(1, -1, *(1 for _ in rest))
        grouped = pooled.unflatten(1, (-1, self.pool.n_groups))
        joined: Tensor = grouped.movedim(2, -2).flatten(-2)
        return joined

    def from_tokens(
        self, scalars: Tensor, vectors: Tensor, shells: Tensor | None = None
    ) -> Tensor:
        """Compute the collective variables from token features.

        Parameters
        ----------
        scalars : (F, N, C) Tensor
        vectors : (F, N, 3, C) Tensor
        shells : (F, N, 8) Tensor, optional
            The surroundings of tokens, where the model takes them.

        Returns
        -------
        (F, d) float64 Tensor
        """
        values: Tensor = self.outputs(scalars, vectors, shells)
        return values

    def from_features(self, features: Tensor) -> Tensor:
        """Compute the collective variables from what the model was trained on.

        Parameters
        ----------
        features : (F, N, K) or (F, N, 4, C) Tensor

        Returns
        -------
        (F, d) float64 Tensor
        """
        return self.outputs.from_features(features)
