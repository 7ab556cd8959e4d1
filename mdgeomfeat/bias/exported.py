"""Learnt variables as a program of :mod:`torch.export`.

It runs in Python without this package. It takes and gives what
:class:`~mdgeomfeat.bias.ScriptedVariables` does.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from mdgeomfeat.bias.plumed import AGREED, ScriptedVariables, trial_rows
from mdgeomfeat.errors import InputError
from mdgeomfeat.variables import CollectiveVariables

__all__ = ["write_torch_export"]


def write_torch_export(
    variables: CollectiveVariables, positions: np.ndarray, path: Path
) -> None:
    """Write variables as a file that :func:`torch.export.load` reads.

    The program takes one row of float32, x, y and z of one atom after another in nm,
    and gives one row of d outputs, through which gradients can be taken. There is no
    box, so the molecule must be whole.

    Parameters
    ----------
    variables : CollectiveVariables
        With ``engine="torch"``.
    positions : (A, 3) array, Å
        Of a whole molecule, to record with.
    path : Path
        Its name ends in ``.pt2``.

    Raises
    ------
    InputError
        If the file gives other values than the network.

    Examples
    --------
    >>> from pathlib import Path
    >>> import MDAnalysis as mda
    >>> import torch
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.bias import write_torch_export
    >>> from mdgeomfeat.structure import select_atoms
    >>> from mdgeomfeat.variables import CollectiveVariables
    >>> atoms = select_atoms(mda.Universe("top.pdb"))
    >>> structure = Structure.from_atomgroup(atoms)
    >>> cvs = CollectiveVariables.load("report", structure, engine="torch")
    >>> write_torch_export(cvs, atoms.positions, Path("cvs.pt2"))
    >>> row = torch.tensor(atoms.positions).reshape(1, -1) / 10  # nm
    >>> torch.export.load("cvs.pt2").module()(row).shape == (1, cvs.dim)
    True
    """
    module = ScriptedVariables(variables).eval()
    rows = trial_rows(positions)
    # strict tracing folds numbers of one geometry into the program
    program = torch.export.export(module, (rows[0],), strict=False)
    with warnings.catch_warnings():
        # of weights that are on no CPU, which these are
        warnings.filterwarnings("ignore", "No complete tensor found", UserWarning)
        torch.export.save(program, path)
        read = torch.export.load(path).module()
    for row in rows:
        expected, got = module(row), read(row)
        if not torch.allclose(got, expected, rtol=AGREED, atol=AGREED):
            path.unlink()
            raise InputError(
                f"The program that torch {torch.__version__} has exported gives other "
                f"values than the network ({got.tolist()} instead of "
                f"{expected.tolist()}); use a newer torch, or --plumed."
            )
