"""A backbone with a head that predicts a label."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from ..errors import InputError
from ..gnn import Backbone
from ..gnn.base import vector_norm
from ..gnn.heads import GatedEquivariantHead
from ..pretraining.forward import atom_features
from .labels import LabelledSet

__all__ = ["HeadSpec", "LinearHead", "PropertyModel", "dipole_lengths", "fit_scales"]


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """What a head predicts.

    Parameters
    ----------
    kind : str
        See `LabelConfig`.
    head : {"gated", "linear"}
    target : str
        The label's name.
    unit : str
        Of the prediction; of the energy for "conservative".
    n_classes : int
        1 for everything but classes.
    length : bool
        Labels are the lengths of dipoles, not their components.

    Examples
    --------
    >>> from mdgeomfeat.finetuning import HeadSpec
    >>> HeadSpec(kind="dipole", target="mu", unit="D", length=True).head
    'gated'
    """

    kind: str
    head: str = "gated"
    target: str = "energy"
    unit: str = "1"
    n_classes: int = 1
    length: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)

    @classmethod
    def of(cls, data: LabelledSet, head: str) -> HeadSpec:
        """Head for the labels of a set.

        Parameters
        ----------
        data : LabelledSet
        head : {"gated", "linear"}

        Returns
        -------
        HeadSpec
        """
        kind = data.reading.kind
        classes = kind == "classes"
        return cls(
            kind=kind,
            head=head,
            target=data.reading.forces if kind == "forces" else data.reading.target,
            unit=data.reading.name,
            n_classes=1 + max(int(g.y) for g in data.graphs) if classes else 1,
            length=kind == "dipole" and data.graphs[0].y.shape[1] == 1,
        )


class LinearHead(nn.Module):
    """One linear map of scalars, and one of the channels of vectors.

    Parameters
    ----------
    n_channels : int
    n_scalars : int
    """

    def __init__(self, n_channels: int, n_scalars: int) -> None:
        super().__init__()
        self.scalar_proj = nn.Linear(n_channels, n_scalars)
        self.vector_proj = nn.Linear(n_channels, 1, bias=False)

    def forward(self, scalars: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Map (M, C), (M, 3, C) to (M, n_scalars), (M, 3, 1)."""
        return self.scalar_proj(scalars), self.vector_proj(vectors)


class PropertyModel(nn.Module):
    """Backbone, head, and the scales of the labels.

    Parameters
    ----------
    backbone : Backbone
    spec : HeadSpec
    noise_head : nn.Module, optional
        Of the pre-training task, where it is trained beside the labels.

    Attributes
    ----------
    shift, scale : Tensor, shape (1,), float64
        A label is ``shift + scale * output`` plus, for sums over atoms, the references
        of its elements.
    references : Tensor, shape (max_z,), float64
        In double precision, because total energies need it.

    Raises
    ------
    InputError
        If forces are to be the gradient of a network that jumps at its cutoff.

    Examples
    --------
    >>> from mdgeomfeat import load_model
    >>> from mdgeomfeat.finetuning import HeadSpec, PropertyModel
    >>> spec = HeadSpec(kind="extensive", target="energy", unit="eV")
    >>> model = PropertyModel(load_model(), spec)
    >>> model.shift.tolist(), model.scale.tolist(), model.spec.target
    ([0.0], [1.0], 'energy')
    """

    shift: Tensor
    scale: Tensor
    references: Tensor

    def __init__(
        self, backbone: Backbone, spec: HeadSpec, noise_head: nn.Module | None = None
    ) -> None:
        super().__init__()
        C = backbone.spec.n_channels
        smooth = backbone.spec.smooth or backbone.spec.architecture == "tensornet"
        if spec.kind == "conservative" and not smooth:
            raise InputError(
                "The network's features jump where a pair crosses the cutoff, so that "
                "its energy has no gradient there; use a network with smooth=true, or "
                "kind 'forces'."
            )
        self.backbone, self.spec = backbone, spec
        self.head: nn.Module = (
            LinearHead(C, spec.n_classes)
            if spec.head == "linear"
            else GatedEquivariantHead(C, spec.n_classes)
        )
        self.noise_head = noise_head
        self.register_buffer("shift", torch.zeros(1, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(1, dtype=torch.float64))
        self.register_buffer(
            "references", torch.zeros(backbone.spec.max_z, dtype=torch.float64)
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the outputs in units of the labels' scale.

        Parameters
        ----------
        batch : torch_geometric.data.Batch
            With ``z`` and ``pos`` (Å).

        Returns
        -------
        dict of Tensor
            ``y`` (G, 1), (G, 3) for dipoles, or (G, n_classes), and ``forces``
            (M, 3), as far as the kind has them. The gradient reaches the weights.
        """
        kind, device = self.spec.kind, self.backbone.device
        pos, graph = batch.pos.to(device), batch.batch.to(device)
        if kind != "conservative":
            y, forces = self._outputs(batch, pos, graph)
        else:
            with torch.enable_grad():
                pos = pos.detach().clone().requires_grad_()
                y, _ = self._outputs(batch, pos, graph)
                assert y is not None
                (slope,) = torch.autograd.grad(y.sum(), pos, create_graph=self.training)
            forces = -slope
        found = {"y": y, "forces": forces}
        return {name: value for name, value in found.items() if value is not None}

    def _outputs(
        self, batch: Batch, pos: Tensor, graph: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        kind, n = self.spec.kind, batch.num_graphs
        ptr = batch.ptr.cpu().numpy().astype(np.int64)
        scalars, vectors = self.head(*atom_features(self.backbone, batch.z, pos, ptr))
        vector = vectors[..., 0]
        if kind == "forces":
            # Nothing outside pulls at a molecule: its forces sum to zero.
            return None, vector - _mean(vector, graph, n)[graph]
        if kind == "dipole":
            # From the centre of a molecule, charges count as if they summed to zero.
            x = (pos - _mean(pos, graph, n)[graph]).to(scalars.dtype)
            return _sum(scalars * x + vector, graph, n), None
        pool = _mean if kind in ("intensive", "classes") else _sum
        return pool(scalars, graph, n), None

    def physical(
        self, batch: Batch, outputs: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Turn outputs into values in the labels' units.

        Parameters
        ----------
        batch : torch_geometric.data.Batch
        outputs : mapping
            Of `forward`.

        Returns
        -------
        dict of Tensor
            ``y`` in float64 (classes: probabilities; dipoles whose labels are lengths:
            vectors still), and ``forces``, with the shapes that :meth:`forward` gives.
        """
        found: dict[str, Tensor] = {}
        if "forces" in outputs:
            found["forces"] = outputs["forces"].double() * self.scale
        if "y" in outputs and self.spec.kind == "classes":
            found["y"] = outputs["y"].softmax(dim=1)
        elif "y" in outputs:
            found["y"] = outputs["y"].double() * self.scale + self.offset(batch)
        return found

    def offset(self, batch: Batch) -> Tensor:
        """Return what is added to the scaled output of each molecule, (G, 1).

        Parameters
        ----------
        batch : torch_geometric.data.Batch

        Returns
        -------
        (G, 1) Tensor of float64
        """
        device = self.shift.device
        own = self.references[batch.z.to(device)].unsqueeze(1)
        return self.shift + _sum(own, batch.batch.to(device), batch.num_graphs)


def _sum(values: Tensor, graph: Tensor, n: int) -> Tensor:
    return values.new_zeros(n, values.shape[1]).index_add(0, graph, values)


def _mean(values: Tensor, graph: Tensor, n: int) -> Tensor:
    counts = torch.bincount(graph, minlength=n).to(values.dtype)
    return _sum(values, graph, n) / counts.unsqueeze(1)


def fit_scales(model: PropertyModel, data: LabelledSet, train: Any) -> None:
    """Set shift, scale and references from what is trained on.

    References of elements are fitted to sums by least squares; of elements that never
    vary against each other the shortest solution is taken.

    Parameters
    ----------
    model : PropertyModel
    data : LabelledSet
    train : sequence of int

    Raises
    ------
    InputError
        If all labels are the same.
    """
    kind = model.spec.kind
    graphs = [data.graphs[int(i)] for i in train]
    spread = 1.0
    if kind in ("extensive", "conservative"):
        y = np.array([float(g.y) for g in graphs])
        elements = sorted({int(z) for g in graphs for z in g.z.unique()})
        counts = np.array([[int((g.z == z).sum()) for z in elements] for g in graphs])
        references = np.linalg.lstsq(counts.astype(np.float64), y, rcond=None)[0]
        model.references[elements] = torch.from_numpy(references).to(model.scale.device)
        spread = float(np.std(y - counts @ references))
    elif kind == "intensive":
        y = np.array([float(g.y) for g in graphs])
        model.shift[:] = float(y.mean())
        spread = float(y.std())
    elif kind == "dipole":
        spread = math.sqrt(np.mean([float(g.y.square().sum()) for g in graphs]))
    if kind in ("forces", "conservative"):
        square = torch.cat([g.forces for g in graphs]).square().mean()
        spread = float(square.sqrt())
    size = max(
        (float(g.y.abs().max()) for g in graphs if g.get("y") is not None), default=1.0
    )
    if not spread > 1e-9 * max(size, 1e-9):
        raise InputError(
            f"All labels {model.spec.target!r} that are trained on are the same, so "
            "that there is nothing to learn; check the file."
        )
    model.scale[:] = spread


def dipole_lengths(vectors: Tensor) -> Tensor:
    """Lengths of dipoles, (G, 1)."""
    return vector_norm(vectors, dim=1).unsqueeze(1)
