"""mmCIF files with several models, each of which is a frame.

MDAnalysis's reader stops after the first.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.frame_reader import Frame, FrameReader

__all__ = ["ModelCIFReader", "check_gemmi"]

# The cell of a structure that has none, in files converted from PDB.
_PLACEHOLDER = (1.0, 1.0, 1.0, 90.0, 90.0, 90.0)


class ModelCIFReader(FrameReader):
    """Reads the models of an mmCIF file as frames.

    Parameters
    ----------
    filename : str
    """

    format = "MMCIF-MODELS"

    def _index(self) -> None:
        import gemmi
        from MDAnalysis.lib.util import openany

        with openany(self.filename) as file:
            block = gemmi.cif.read_string(file.read())[0]
        structure = gemmi.make_structure_from_block(block)
        cell = structure.cell
        box = np.array(
            [cell.a, cell.b, cell.c, cell.alpha, cell.beta, cell.gamma], np.float32
        )
        self._box = None if np.allclose(box, _PLACEHOLDER) else box
        first: list[tuple[str, ...]] = []
        models = []
        for number, model in enumerate(structure):
            atoms, places = _atoms(model)
            if number and atoms != first:
                raise InputError(
                    f"{self.filename} has models with different atoms: "
                    f"{_difference(first, atoms, number + 1)}; write models of one "
                    "molecule, with the same atoms in the same order."
                )
            first = first or atoms
            models.append(places)
        self._models = np.array(models, dtype=np.float32)
        self.n_frames, self.n_atoms = len(models), len(first)

    def _load(self, frame: int) -> Frame:
        return Frame(self._models[frame], self._box)


def _atoms(model: object) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Return who the atoms of a model are, and their positions (A, 3), Å."""
    names: list[tuple[str, ...]] = []
    places = []
    for chain in model:  # type: ignore[attr-defined]
        for residue in chain:
            of = (chain.name, str(residue.seqid), residue.name)
            for atom in residue:
                names.append((*of, atom.name, atom.altloc))
                places.append(atom.pos.tolist())
    return names, np.array(places, dtype=np.float64).reshape(-1, 3)


def _difference(
    first: list[tuple[str, ...]], other: list[tuple[str, ...]], number: int
) -> str:
    if len(first) != len(other):
        return f"{len(first)} in model 1 and {len(other)} in model {number}"
    place = next(i for i, pair in enumerate(zip(first, other, strict=True))
                 if pair[0] != pair[1])  # fmt: skip
    said = [
        " ".join(w for w in a[:4] if w.strip()) for a in (first[place], other[place])
    ]
    return f"atom {place + 1} is {said[0]} in model 1 and {said[1]} in model {number}"


def check_gemmi(path: str | Path) -> None:
    """Refuse an mmCIF file where gemmi is not installed.

    Raises
    ------
    InputError
        Naming the extra.
    """
    if find_spec("gemmi") is None:
        raise InputError(
            f"{path} is an mmCIF file, and reading it needs gemmi: pip install "
            "mdgeomfeat[mmcif], or convert it to PDB."
        )
