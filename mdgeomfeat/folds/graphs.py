"""A domain as a graph of its residues, for torch-geometric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError
from ..neighbors import neighbor_list
from .domains import Domain

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from .tokens import ResidueTokens

__all__ = ["AMINO_ACIDS", "amino_numbers", "residue_graph"]

#: Residue names by the number that the network knows them by; all others share one.
AMINO_ACIDS: Final = (
    "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE",
    "LEU", "LYS", "MET", "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL",
)  # fmt: skip
# Names of force fields and modified residues for what they are variants of.
_VARIANTS: Final = {
    "HID": "HIS", "HIE": "HIS", "HIP": "HIS", "HSD": "HIS", "HSE": "HIS",
    "HSP": "HIS", "CYX": "CYS", "CYM": "CYS", "CSO": "CYS", "ASH": "ASP",
    "GLH": "GLU", "LYN": "LYS", "MSE": "MET", "SEP": "SER", "TPO": "THR",
    "PTR": "TYR",
}  # fmt: skip
_ALPHA: Final = 1  # the column of CA


def residue_graph(
    domain: Domain,
    *,
    cutoff: float = 10.0,
    tokens: ResidueTokens | None = None,
    label: int | None = None,
) -> Data:
    """Return the graph of a domain's residues.

    Parameters
    ----------
    domain : Domain
    cutoff : float, Å
        Residues whose carbons alpha are nearer than that are neighbours.
    tokens : ResidueTokens, optional
        Features of the same residues.
    label : int, optional
        Number of the class.

    Returns
    -------
    torch_geometric.data.Data
        Nodes are the residues with a carbon alpha, T of them: ``amino`` (T,) numbers of
        the amino acids, ``backbone`` (T, 3, 3) positions of N, CA and C in Å, zero
        where an atom is missing, ``framed`` (T,) whether none is, ``edge_index``
        (2, E) of senders and receivers, ``offset`` (E,) the sender's place in sequence
        minus the receiver's, ``broken`` (E,) whether the chain is broken or another one
        between them, ``peptide_index`` (2, P) residues and their successors; with
        tokens ``scalars`` (T, C) and ``vectors`` (T, 3, C); with a label ``y`` (1,).

    Raises
    ------
    InputError
        If there are no residues with a carbon alpha, or tokens are of other residues.

    Examples
    --------
    >>> from mdgeomfeat.folds import read_domain, residue_graph
    >>> graph = residue_graph(read_domain("top.pdb"), label=4)
    >>> graph.num_nodes, graph.amino.tolist(), graph.y.tolist()
    (1, [7], [4])
    """
    from torch_geometric.data import Data

    backbone = domain.backbone
    kept = np.flatnonzero(~np.isnan(backbone[:, _ALPHA, 0]))
    if not len(kept):
        raise InputError(
            f"{domain.name} has no residue with a carbon alpha (CA); leave it out."
        )
    # single precision is spent on the protein, not on where it lies
    backbone = backbone[kept] - backbone[kept, _ALPHA].mean(axis=0)
    edges = neighbor_list(backbone[None, :, _ALPHA], cutoff)
    sender, receiver = np.asarray(edges.sender), np.asarray(edges.receiver)
    chain = domain.structure.chain[kept]
    follows = (np.diff(kept) == 1) & (chain[1:] == chain[:-1])
    first = np.flatnonzero(follows)
    values: dict[str, Any] = {
        "amino": torch.from_numpy(amino_numbers([domain.residues[i] for i in kept])),
        "backbone": torch.from_numpy(np.nan_to_num(backbone).astype(np.float32)),
        "framed": torch.from_numpy(~np.isnan(backbone).any(axis=(1, 2))),
        "edge_index": torch.from_numpy(np.stack([sender, receiver]).astype(np.int64)),
        "offset": torch.from_numpy(kept[sender] - kept[receiver]),
        "broken": torch.from_numpy(chain[sender] != chain[receiver]),
        "peptide_index": torch.from_numpy(np.stack([first, first + 1])),
        "num_nodes": len(kept),
    }
    if tokens is not None:
        if len(tokens.scalars) != domain.n_residues:
            raise InputError(
                f"{domain.name} has {domain.n_residues} residues, but there are tokens "
                f"of {len(tokens.scalars)}; make them from the same domain."
            )
        values["scalars"] = torch.from_numpy(tokens.scalars[kept])
        values["vectors"] = torch.from_numpy(tokens.vectors[kept])
    if label is not None:
        values["y"] = torch.tensor([label])
    return Data(**values)


def amino_numbers(names: Sequence[str]) -> NDArray[np.int64]:
    """Return the number of each residue's amino acid.

    Parameters
    ----------
    names : sequence of str
        Residue names; variants of protonation and some modified residues count as
        what they are made from.

    Returns
    -------
    (T,) ndarray of int64
    """
    number = {name: place for place, name in enumerate(AMINO_ACIDS)}
    found = [number.get(_VARIANTS.get(n, n), len(number)) for n in names]
    return np.array(found, dtype=np.int64)
