"""Learnt variables as files that other programs run without this package.

One is a program of :mod:`torch.export`, which has derivatives, the other ONNX, which
has values only. Both take and give what :class:`~mdgeomfeat.bias.ScriptedVariables`
does.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mdgeomfeat.bias.plumed import AGREED, ScriptedVariables, trial_rows
from mdgeomfeat.errors import InputError, clause
from mdgeomfeat.variables import CollectiveVariables

__all__ = ["write_onnx", "write_torch_export"]

_ONNX_PACKAGES = ("onnx", "onnxscript")


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
        If torch cannot export the variables, or the file gives other values.

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
    _written(
        lambda: torch.export.save(
            # strict tracing folds one geometry's numbers into the program
            torch.export.export(module, (rows[0],), strict=False),
            path,
        ),
        "torch.export",
    )
    _compare(module, torch.export.load(path).module(), rows, path)


def write_onnx(
    variables: CollectiveVariables, positions: np.ndarray, path: Path
) -> None:
    """Write variables as an ONNX file: their values, without gradients.

    Its input ``row`` is one row of float32, x, y and z of one atom after another in nm,
    its output one row of d variables. There is no box, so the molecule must be whole.

    Parameters
    ----------
    variables : CollectiveVariables
        With ``engine="torch"``.
    positions : (A, 3) array, Å
        Of a whole molecule, to record with.
    path : Path
        Its name ends in ``.onnx``.

    Raises
    ------
    InputError
        If ``onnx`` or ``onnxscript`` is not installed, torch cannot convert the
        variables, or the file gives other values.

    Examples
    --------
    >>> from pathlib import Path
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.bias import write_onnx
    >>> from mdgeomfeat.structure import select_atoms
    >>> from mdgeomfeat.variables import CollectiveVariables
    >>> atoms = select_atoms(mda.Universe("top.pdb"))
    >>> structure = Structure.from_atomgroup(atoms)
    >>> cvs = CollectiveVariables.load("report", structure, engine="torch")
    >>> write_onnx(cvs, atoms.positions, Path("cvs.onnx"))
    >>> Path("cvs.onnx").exists()
    True
    """
    if not all(map(importlib.util.find_spec, _ONNX_PACKAGES)):
        raise InputError(
            "Writing ONNX needs onnx and onnxscript, which are not installed; install "
            "the extra: pip install 'mdgeomfeat[onnx]'."
        )
    module = ScriptedVariables(variables).eval()
    rows = trial_rows(positions)
    _written(
        lambda: torch.onnx.export(
            module,
            (rows[0],),
            path,
            dynamo=True,
            external_data=False,
            input_names=["row"],
            output_names=["variables"],
            verbose=False,
        ),
        "ONNX",
    )
    _compare(module, _evaluator(path), rows, path)


def _written(write: Callable[[], object], kind: str) -> None:
    """Write a file, with what the exporter says turned into one sentence."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # packages of images that are not installed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write()
    except Exception as error:
        # what cannot be exported is told by many kinds of exceptions
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"torch {torch.__version__} cannot write these variables as {kind} "
            f"({clause(said)}); use a newer torch, or --plumed."
        ) from error
    finally:
        logging.disable(level)


def _evaluator(path: Path) -> Callable[[Tensor], Tensor]:
    """Return what computes an ONNX file, by the definitions of its operators."""
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(str(path))

    def compute(row: Tensor) -> Tensor:
        (found,) = evaluator.run(None, {"row": row.numpy()})
        return torch.from_numpy(np.array(found))

    return compute


def _compare(
    module: ScriptedVariables,
    read: Callable[[Tensor], Tensor],
    rows: Sequence[Tensor],
    path: Path,
) -> None:
    """Refuse a file that gives other values in any of some geometries."""
    for row in rows:
        with torch.no_grad():
            expected, got = module(row), read(row)
        if not torch.allclose(got, expected, rtol=AGREED, atol=AGREED):
            path.unlink()
            raise InputError(
                f"What torch {torch.__version__} has written gives other values than "
                f"the network ({got.tolist()} instead of {expected.tolist()}); use a "
                "newer torch, or --plumed."
            )
