r"""A graph network of residues, at the level of the backbone.

After Wang, Liu, Liu, Kurtin and Ji, "Learning Hierarchical Protein Representations via
Complete 3D Graph Networks" (ProNet, ICLR 2023): with the place of a residue in the
local frame of its neighbour and the turn between the two frames, the backbone is known
up to a motion of the whole. They give both as angles (:math:`d, \theta, \phi, \tau` and
three Euler angles). We give what these angles parametrise, a unit vector and a matrix
of rotation, which have no jumps where angles do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InputError
from .graphs import AMINO_ACIDS

__all__ = ["NetworkSpec", "ResidueNetwork", "TokenUse", "residue_frames"]

TokenUse = Literal["none", "scalars", "framed"]
_TOKEN_USES: Final = ("none", "scalars", "framed")
_N_RADIAL: Final = 16
_OFFSETS: Final = 16  # steps along the chain that are told apart, either way
_N_DIHEDRAL: Final = 6  # cosine and sine of phi, psi and omega
# directions in both frames (3 + 3), the turn between them (9), whether there are frames
_N_PLACES: Final = 3 + 3 + 9 + 1
_TINY: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """Shape of a residue network.

    Parameters
    ----------
    n_classes : int
    n_channels, n_layers : int
    cutoff : float, Å
        Of the graphs; messages vanish there.
    dropout : float
    tokens : {"none", "scalars", "framed"}
        What of residue tokens is added to the nodes: nothing, the scalars, or these
        and the vectors as seen from the frame of their residue.
    token_channels : int
        C of the tokens.
    """

    n_classes: int
    n_channels: int = 128
    n_layers: int = 4
    cutoff: float = 10.0
    dropout: float = 0.2
    tokens: TokenUse = "none"
    token_channels: int = 0

    def __post_init__(self) -> None:
        if self.tokens not in _TOKEN_USES:
            raise InputError(
                f"tokens={self.tokens!r} is unknown; give one of "
                f"{', '.join(map(repr, _TOKEN_USES))}."
            )
        if (self.tokens == "none") != (self.token_channels == 0):
            raise InputError(
                f"token_channels={self.token_channels} does not go with "
                f"tokens={self.tokens!r}; give their channels where tokens are used, "
                "and 0 where not."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


def residue_frames(backbone: Tensor) -> Tensor:
    """Return the frames (T, 3, 3) of residues; columns are the axes.

    The first axis points from CA to C, the second lies in the plane of N, CA and C on
    the side of N, the third is at right angles to it and makes the frame right-handed.

    Parameters
    ----------
    backbone : (T, 3, 3) tensor, Å
        N, CA and C.
    """
    alpha = backbone[:, 1]
    first = functional.normalize(backbone[:, 2] - alpha, dim=1, eps=_TINY)
    toward = backbone[:, 0] - alpha
    second = toward - (toward * first).sum(1, keepdim=True) * first
    second = functional.normalize(second, dim=1, eps=_TINY)
    third = torch.linalg.cross(first, second)
    return torch.stack([first, second, third], dim=2)


def _turn(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Cosine and sine (P, 2) of the dihedral angles of four points (P, 3) each."""
    middle = c - b
    one = torch.linalg.cross(b - a, middle)
    two = torch.linalg.cross(middle, d - c)
    cosine = (one * two).sum(1)
    axis = functional.normalize(middle, dim=1, eps=_TINY)
    sine = (torch.linalg.cross(one, two) * axis).sum(1)
    return functional.normalize(torch.stack([cosine, sine], 1), dim=1, eps=_TINY)


def _dihedrals(backbone: Tensor, framed: Tensor, peptides: Tensor) -> Tensor:
    """Cosines and sines (T, 6) of phi, psi and omega, 0 where there are none."""
    one, two = peptides[:, framed[peptides].all(0)]
    n, alpha, c = backbone.unbind(1)
    found = backbone.new_zeros(len(backbone), _N_DIHEDRAL)
    found[two, 0:2] = _turn(c[one], n[two], alpha[two], c[two])
    found[one, 2:4] = _turn(n[one], alpha[one], c[one], n[two])
    found[one, 4:6] = _turn(alpha[one], c[one], n[two], alpha[two])
    return found


class _Layer(nn.Module):
    """Messages of neighbours, then a network at each node; both are added."""

    def __init__(self, n_channels: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(n_channels)
        self.sender = nn.Linear(n_channels, n_channels)
        self.filter = nn.Linear(n_channels, n_channels, bias=False)
        self.update = nn.Sequential(
            nn.Linear(2 * n_channels, 2 * n_channels),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(2 * n_channels, n_channels),
        )
        self.gathered = nn.LayerNorm(n_channels)

    def forward(self, nodes: Tensor, edges: Tensor, edge_index: Tensor) -> Tensor:
        sender, receiver = edge_index
        x = self.norm(nodes)
        messages = functional.silu(self.sender(x))[sender] * self.filter(edges)
        summed = torch.zeros_like(nodes).index_add(0, receiver, messages)
        joined = torch.cat([x, self.gathered(summed)], dim=1)
        update: Tensor = self.update(joined)
        return nodes + update


class ResidueNetwork(nn.Module):
    """Tell the class of a protein from its residues.

    The outputs do not change when a protein is moved or turned, nor with the order of
    its nodes; they do change when it is mirrored.

    Parameters
    ----------
    spec : NetworkSpec

    Attributes
    ----------
    scalar_mean, scalar_scale : (C,) tensors
        Of the tokens that are trained on; see :meth:`fit_tokens`.
    vector_scale : (C,) tensor

    Examples
    --------
    >>> from torch_geometric.data import Batch
    >>> from mdgeomfeat.folds import ResidueNetwork, read_domain, residue_graph
    >>> from mdgeomfeat.folds.network import NetworkSpec
    >>> model = ResidueNetwork(NetworkSpec(n_classes=3, n_channels=16))
    >>> graph = residue_graph(read_domain("top.pdb"))
    >>> tuple(model(Batch.from_data_list([graph, graph])).shape)
    (2, 3)
    """

    scalar_mean: Tensor
    scalar_scale: Tensor
    vector_scale: Tensor
    centres: Tensor

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        width, channels = spec.n_channels, spec.token_channels
        self.amino = nn.Embedding(len(AMINO_ACIDS) + 1, width)
        self.dihedral = nn.Linear(_N_DIHEDRAL + 1, width)
        self.offset = nn.Embedding(2 * _OFFSETS + 2, width)
        self.place = nn.Linear(_N_RADIAL * (1 + _N_PLACES), width)
        self.edge = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        if channels:
            n_inputs = channels * (4 if spec.tokens == "framed" else 1)
            self.token = nn.Linear(n_inputs, width)
        self.register_buffer("scalar_mean", torch.zeros(channels))
        self.register_buffer("scalar_scale", torch.ones(channels))
        self.register_buffer("vector_scale", torch.ones(channels))
        centres = torch.linspace(0.0, spec.cutoff, _N_RADIAL)
        self.register_buffer("centres", centres, persistent=False)
        self.layers = nn.ModuleList(
            _Layer(width, spec.dropout) for _ in range(spec.n_layers)
        )
        self.head = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Dropout(spec.dropout),
            nn.Linear(width, spec.n_classes),
        )

    @torch.no_grad()
    def fit_tokens(self, scalars: Tensor, vectors: Tensor) -> None:
        """Take means and scales from tokens that are trained on.

        Parameters
        ----------
        scalars : (T, C) tensor
        vectors : (T, 3, C) tensor
        """
        self.scalar_mean.copy_(scalars.mean(0))
        self.scalar_scale.copy_(scalars.std(0).clamp_min(_TINY))
        self.vector_scale.copy_(vectors.square().mean((0, 1)).sqrt().clamp_min(_TINY))

    def forward(self, graph: Any) -> Tensor:
        """Return the logits (G, K) of graphs.

        Parameters
        ----------
        graph : torch_geometric.data.Batch
            Of graphs as :func:`~mdgeomfeat.folds.graphs.residue_graph` makes them.
        """
        frames = residue_frames(graph.backbone)
        frames = frames * graph.framed[:, None, None]
        nodes = self._nodes(graph, frames)
        edges = self._edges(graph, frames)
        for layer in self.layers:
            nodes = layer(nodes, edges, graph.edge_index)
        sums = nodes.new_zeros(graph.num_graphs, nodes.shape[1])
        sums = sums.index_add(0, graph.batch, nodes)
        logits: Tensor = self.head(sums / torch.diff(graph.ptr)[:, None])
        return logits

    def _nodes(self, graph: Any, frames: Tensor) -> Tensor:
        turns = _dihedrals(graph.backbone, graph.framed, graph.peptide_index)
        framed = graph.framed[:, None].to(turns.dtype)
        turns = self.dihedral(torch.cat([turns, framed], 1))
        nodes: Tensor = self.amino(graph.amino) + turns
        if self.spec.tokens == "none":
            return nodes
        tokens: Tensor = (graph.scalars - self.scalar_mean) / self.scalar_scale
        if self.spec.tokens == "framed":
            seen = frames.transpose(1, 2) @ (graph.vectors / self.vector_scale)
            tokens = torch.cat([tokens, seen.flatten(1)], dim=1)
        projected: Tensor = self.token(tokens)
        return nodes + projected

    def _edges(self, graph: Any, frames: Tensor) -> Tensor:
        sender, receiver = graph.edge_index
        alpha = graph.backbone[:, 1]
        vector = alpha[sender] - alpha[receiver]
        distance = vector.norm(dim=1).clamp_min(_TINY)
        unit = (vector / distance[:, None])[:, :, None]
        here, there = frames[receiver].transpose(1, 2), frames[sender]
        both = graph.framed[sender] & graph.framed[receiver]
        places = torch.cat(
            [
                (here @ unit).flatten(1),
                (there.transpose(1, 2) @ unit).flatten(1),
                (here @ there).flatten(1),
                both[:, None].to(distance.dtype),
            ],
            dim=1,
        )
        width = self.spec.cutoff / (_N_RADIAL - 1)
        radial = torch.exp(-(((distance[:, None] - self.centres) / width) ** 2))
        joined = torch.cat(
            [radial, (radial[:, :, None] * places[:, None]).flatten(1)], 1
        )
        number = graph.offset.clamp(-_OFFSETS, _OFFSETS) + _OFFSETS
        number = torch.where(graph.broken, 2 * _OFFSETS + 1, number)
        x: Tensor = self.edge(self.place(joined) + self.offset(number))
        inside = (distance / self.spec.cutoff).clamp_max(1.0)
        return x * (0.5 * torch.cos(torch.pi * inside) + 0.5)[:, None]
