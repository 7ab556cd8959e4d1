"""Learnt variables for PLUMED: a TorchScript file and the input that uses it.

PLUMED's ``PYTORCH_MODEL`` gives a model all its arguments as one row of float32, here
x, y and z of one atom after another in nm, once zeros to count its outputs, and asks
for the gradient of each output by automatic differentiation.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from mdgeomfeat.bias.ranges import BiasRange
from mdgeomfeat.errors import InputError
from mdgeomfeat.featurizer.surroundings import count_shells
from mdgeomfeat.neighbors import EdgeList
from mdgeomfeat.neighbors.windows import own_copies
from mdgeomfeat.variables import CollectiveVariables

__all__ = [
    "AGREED",
    "ScriptedVariables",
    "plumed_input",
    "trial_rows",
    "write_torchscript",
]

_NM = 10.0  # Å
#: How well values of a file and of the variables agree, relative to their size and 1.
AGREED: Final = 1e-4

_TRIED = 3  # geometries in which a trace is compared


class ScriptedVariables(nn.Module):
    """Variables in operations that TorchScript can record.

    Pairs are found among all that may be neighbours, without a box: the molecule must
    be whole.

    Parameters
    ----------
    variables : CollectiveVariables
        With ``engine="torch"``.

    Raises
    ------
    InputError
        If neighbours are capped, or the compiled engine computes the variables.

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> import torch
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.bias import ScriptedVariables
    >>> from mdgeomfeat.structure import select_atoms
    >>> from mdgeomfeat.variables import CollectiveVariables
    >>> atoms = select_atoms(mda.Universe("top.pdb"))
    >>> structure = Structure.from_atomgroup(atoms)
    >>> cvs = CollectiveVariables.load("report", structure, engine="torch")
    >>> positions = torch.tensor(atoms.positions)
    >>> row = positions.reshape(1, -1) / 10  # nm, as PLUMED gives them
    >>> expected = cvs(positions[None]).float()
    >>> torch.allclose(ScriptedVariables(cvs)(row), expected, atol=1e-4)
    True
    """

    receiver: Tensor
    sender: Tensor
    atom: Tensor
    own: Tensor
    token: Tensor
    other: Tensor

    def __init__(self, variables: CollectiveVariables) -> None:
        super().__init__()
        if variables.engine != "torch":
            raise InputError(
                "Compiled variables cannot be written as TorchScript; make them with "
                "engine='torch'."
            )
        variables.require_smooth()
        self.variables = variables
        n_atoms, windows = variables.structure.n_atoms, variables.windows
        if windows is None:
            atom = own = np.arange(n_atoms)
            groups = [np.arange(n_atoms)]
        else:
            atom = np.asarray(windows.atoms, np.int64)
            own = own_copies(windows, 1, n_atoms).numpy()
            groups = [
                np.arange(first, last)
                for first, last in zip(windows.ptr, windows.ptr[1:], strict=False)
            ]
        pairs = [
            np.stack([np.repeat(g, len(g)), np.tile(g, len(g))])[
                :, ~np.eye(len(g), dtype=bool).ravel()
            ]
            for g in groups
        ]
        receiver, sender = np.concatenate(pairs, axis=1)
        indices = {"receiver": receiver, "sender": sender, "atom": atom, "own": own}
        if variables.surroundings is not None:
            indices["token"], indices["other"] = variables.surroundings.all_pairs()
        for name, values in indices.items():
            self.register_buffer(name, torch.from_numpy(np.array(values, np.int64)))

    def forward(self, row: Tensor) -> Tensor:
        """Compute the variables of one frame.

        Parameters
        ----------
        row : (1, 3 A) float32 Tensor, nm

        Returns
        -------
        (1, d) float32 Tensor
        """
        v = self.variables
        positions = _NM * row.view(-1, 3).to(torch.float64)
        placed = positions.index_select(0, self.atom)
        vector = placed.index_select(0, self.sender) - placed.index_select(
            0, self.receiver
        )
        cutoff = v.network.spec.cutoff
        near = (vector.detach() ** 2).sum(dim=1) < cutoff * cutoff
        chosen = near.nonzero().squeeze(1)
        receiver = self.receiver.index_select(0, chosen)
        counts = torch.zeros_like(self.atom).index_add(
            0, receiver, torch.ones_like(receiver)
        )
        edges = EdgeList(
            receiver=receiver,
            sender=self.sender.index_select(0, chosen),
            vector=vector.index_select(0, chosen).to(v.dtype),
            row_ptr=torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
        )
        scalars, vectors = v.network(v.numbers.index_select(0, self.atom), edges)
        scalars = scalars.index_select(0, self.own).unsqueeze(0)
        vectors = vectors.index_select(0, self.own).unsqueeze(0)
        shells = None
        if v.surroundings is not None:
            centres = v.surroundings.tensor_centres(positions[None])[0]
            between = centres.index_select(0, self.other) - centres.index_select(
                0, self.token
            )
            n = v.surroundings.n_tokens
            shells = count_shells(between, self.token, self.other, n)
            shells = shells.to(v.dtype)[None]
        return v.from_atoms(scalars, vectors, shells).to(torch.float32)


def write_torchscript(
    variables: CollectiveVariables, positions: np.ndarray, path: Path
) -> None:
    """Write variables as a file that ``torch::jit::load`` reads.

    What is recorded is compared with the variables themselves in geometries in which
    other atoms are neighbours than in the one that was recorded.

    Parameters
    ----------
    variables : CollectiveVariables
        With ``engine="torch"``.
    positions : (A, 3) array, Å
        Of a whole molecule, to record with.
    path : Path

    Raises
    ------
    InputError
        If the variables cannot be written as TorchScript.

    Examples
    --------
    >>> from pathlib import Path
    >>> import MDAnalysis as mda
    >>> import torch
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.bias import write_torchscript
    >>> from mdgeomfeat.structure import select_atoms
    >>> from mdgeomfeat.variables import CollectiveVariables
    >>> atoms = select_atoms(mda.Universe("top.pdb"))
    >>> structure = Structure.from_atomgroup(atoms)
    >>> cvs = CollectiveVariables.load("report", structure, engine="torch")
    >>> write_torchscript(cvs, atoms.positions, Path("cvs.pt"))
    >>> row = torch.tensor(atoms.positions).reshape(1, -1) / 10  # nm, as PLUMED has it
    >>> torch.jit.load("cvs.pt")(row).shape == (1, cvs.dim)
    True
    """
    module = ScriptedVariables(variables).eval()
    rows = trial_rows(positions)
    with warnings.catch_warnings():
        # A number that was recorded where a variable is needed shows below.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(module, rows[0], check_trace=False)
        traced.save(str(path))
    read = torch.jit.load(str(path))
    for row in rows:
        expected, got = module(row), read(row)
        if not torch.allclose(got, expected, rtol=AGREED, atol=AGREED):
            path.unlink()
            raise InputError(
                f"The TorchScript of this {variables.network.spec.architecture} gives "
                f"other values than the network ({got.tolist()} instead of "
                f"{expected.tolist()}); export a model on an Equivariant Transformer."
            )


def trial_rows(positions: np.ndarray) -> list[Tensor]:
    """Return a molecule, and others that are blown up or drawn together.

    Parameters
    ----------
    positions : (A, 3) array, Å

    Returns
    -------
    list of (1, 3 A) float32 Tensor, nm
    """
    centred = np.asarray(positions, np.float64) - np.mean(positions, axis=0)
    sizes = np.linspace(1.0, 2.0, _TRIED)
    return [
        torch.tensor((size * centred / _NM).reshape(1, -1), dtype=torch.float32)
        for size in (*sizes, 0.8)
    ]


def plumed_input(
    atoms: Sequence[int],
    names: Sequence[str],
    ranges: Sequence[BiasRange],
    *,
    file: str,
    n_outputs: int,
    temperature: float = 300.0,
    barrier: float = 40.0,
    pace: int = 500,
) -> str:
    """Return an input of PLUMED that biases the variables by OPES.

    Parameters
    ----------
    atoms : sequence of int
        The model's atoms in its order, numbered from 1 as PLUMED does.
    names : sequence of str
        What each atom is, for the comments.
    ranges : sequence of BiasRange
        Of the variables.
    file : str
        The TorchScript file.
    n_outputs : int
        Of the model, which has the distance from the training data as its last if
        there are more than `ranges`.
    temperature : float
        K.
    barrier : float
        kJ/mol.
    pace : int
        Steps.

    Examples
    --------
    >>> from mdgeomfeat.bias import BiasRange, plumed_input
    >>> space = BiasRange(width=0.1, lower=-1.0, upper=1.0, grid=(-1.5, 1.5))
    >>> text = plumed_input([5, 7], ["CA", "C"], [space], file="cvs.pt", n_outputs=1)
    >>> "PYTORCH_MODEL" in text, "OPES" in text
    (True, True)
    """
    biased = ",".join(f"cv.node-{k}" for k in range(len(ranges)))
    listed = ",".join(map(str, atoms))
    lines = [
        "# Variables learnt with mdgeomfeat, as PYTORCH_MODEL of PLUMED 2.9 or later",
        "# built with LibTorch. This input was not run with PLUMED when it was made.",
        "# Lengths are in nm, energies in kJ/mol, times in ps: PLUMED's own units.",
        "UNITS LENGTH=nm ENERGY=kj/mol TIME=ps",
        "",
        "# The molecule is made whole, each atom beside the one before it.",
        f"WHOLEMOLECULES ENTITY0={listed}",
        "",
        "# The model's atoms in its order; another order is another variable.",
    ]
    lines += [
        f"p{k + 1}: POSITION ATOM={atom} NOPBC # {name}"
        for k, (atom, name) in enumerate(zip(atoms, names, strict=True))
    ]
    arguments = ",".join(
        f"p{k + 1}.{axis}" for k in range(len(atoms)) for axis in "xyz"
    )
    lines += ["", f"cv: PYTORCH_MODEL FILE={file} ARG={arguments}"]
    printed = biased
    if n_outputs > len(ranges):
        last = f"cv.node-{n_outputs - 1}"
        printed += f",{last}"
        lines += [
            f"# {last} is the distance from the training data: beyond 1 the",
            "# variables say nothing.",
        ]
    lines += [
        "",
        "# Walls keep the variables where there is something to be learnt of.",
    ]
    for k, r in enumerate(ranges):
        walls = zip(("LOWER", "UPPER"), (r.lower, r.upper), r.stiffness(), strict=True)
        lines += [
            f"{side.lower()}{k}: {side}_WALLS ARG=cv.node-{k} AT={at:.6g} "
            f"KAPPA={stiffness / 2:.6g}"
            for side, at, stiffness in walls
        ]
    widths = ",".join(f"{r.width:.6g}" for r in ranges)
    lines += [
        "",
        "# Widths are those of a state in the training data; BARRIER is the highest",
        "# that is to be crossed.",
        "opes: OPES_METAD ...",
        f"  ARG={biased}",
        f"  SIGMA={widths}",
        f"  BARRIER={barrier:g} TEMP={temperature:g} PACE={pace}",
        "  FILE=KERNELS",
        "...",
        "",
        f"PRINT FILE=COLVAR STRIDE={pace} ARG={printed},opes.bias",
        "",
    ]
    return "\n".join(lines)
