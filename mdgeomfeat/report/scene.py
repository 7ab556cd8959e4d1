"""The files beside a page from which a browser draws structures in three dimensions.

The viewer is 3Dmol.js (N. Rego and D. Koes, Bioinformatics 31, 1322 (2015)), which this
package brings along. Pages are opened as files, and browsers let those load neither
data nor modules. So the structures are written as a script, too.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.report.data import FrameOrigin, StateFrames
from mdgeomfeat.report.figures.style import GREY, state_color
from mdgeomfeat.report.molecule import Drawing, Molecule, Role, drawings
from mdgeomfeat.structure.elements import SYMBOLS
from mdgeomfeat.text import format_time, number

if TYPE_CHECKING:
    from mdgeomfeat.report.data import Way

__all__ = ["FOLDER", "SCRIPTS", "scene", "write_viewer"]

#: Folder beside the page, and what the page loads from it, in this order.
FOLDER: Final = "viewer"
SCRIPTS: Final = ("3Dmol-min.js", "structures.js", "view.js")

_BROUGHT: Final = ("3Dmol-min.js", "3Dmol-min.js.LICENSE.txt", "view.js")
#: Characters of coordinates that a browser is given at most, and those of one atom.
_MAX_TEXT: Final = 12_000_000
_PER_ATOM: Final = 21
#: Frames of a state that are shown.
_MAX_FRAMES: Final = 6


def write_viewer(folder: Path, frames: StateFrames) -> None:
    """Write what a page needs to show structures: the viewer and what it shows.

    Parameters
    ----------
    folder : Path
        Of the page.
    frames : StateFrames
    """
    place = folder / FOLDER
    place.mkdir()
    brought = resources.files("mdgeomfeat.report").joinpath("viewer")
    for name in _BROUGHT:
        (place / name).write_bytes(brought.joinpath(name).read_bytes())
    content = json.dumps(scene(frames), separators=(",", ":"), allow_nan=False)
    text = f"globalThis.mdgeomfeatStructures = {content};\n"
    (place / "structures.js").write_text(text, encoding="ascii")


def scene(frames: StateFrames) -> dict[str, Any]:
    """Return what is shown, as JSON: atoms, residues, bonds, and groups of frames.

    Parameters
    ----------
    frames : StateFrames
    """
    molecule = frames.molecule
    most = _MAX_TEXT // (_PER_ATOM * len(molecule.numbers))
    n_states = sum(len(p) > 0 for p in frames.positions)
    n_way = 0 if frames.way is None else len(frames.way.positions)
    per_state = int(np.clip((most - n_way) // n_states, 1, _MAX_FRAMES))
    central = np.array([p[0] for p in frames.positions if len(p)])
    groups = [
        {
            "kind": "state",
            "title": f"state {state + 1}",
            "color": state_color(state),
            "models": [
                _model(frames.origins[state][k], positions[k], secondary[k])
                for k in range(min(len(positions), per_state))
            ],
        }
        for state, (positions, secondary) in enumerate(
            zip(frames.positions, frames.secondary, strict=True)
        )
        if len(positions)
    ]
    if frames.way is not None:
        groups.append(_way(frames.way, max(most - n_states * per_state, 2)))
    return {
        "atoms": _atoms(molecule),
        "residues": _residues(molecule, drawings(molecule, central)),
        "bonds": molecule.bonds.tolist(),
        "groups": groups,
    }


def _way(way: Way, most: int) -> dict[str, Any]:
    n = len(way.positions)
    shown = np.linspace(0, n - 1, min(n, most)).astype(np.int64).tolist()
    models = []
    for k in shown:
        state = int(way.states[k])
        model = _model(way.origins[k], way.positions[k], way.secondary[k])
        model["origin"] += f" (variable 1 is {number(float(way.values[k]))}"
        model["origin"] += f", state {state + 1})" if state >= 0 else ", no state)"
        color = state_color(state) if state >= 0 else GREY
        models.append(model | {"color": color})
    return {"kind": "way", "title": "the way between", "color": None, "models": models}


def _model(
    origin: FrameOrigin, positions: NDArray[np.floating], secondary: str
) -> dict[str, Any]:
    """Return one frame; positions are whole thousandths of Å, as in a PDB file."""
    text = f"{origin.file}, frame {origin.frame}"
    if origin.time is not None:
        text += f", {format_time(origin.time)}"
    return {
        "origin": text,
        "positions": np.rint(1000 * positions).astype(np.int64).ravel().tolist(),
        "secondary": secondary,
    }


def _atoms(molecule: Molecule) -> dict[str, Any]:
    return {
        "name": molecule.names.tolist(),
        "drawn_name": _drawn_names(molecule),
        "element": [SYMBOLS[z] for z in molecule.numbers.tolist()],
        "residue": molecule.residue.tolist(),
    }


def _drawn_names(molecule: Molecule) -> list[str]:
    """Return names by which the viewer finds the main chain.

    It knows an oxygen that turns a ribbon by the name O only, and it would take an atom
    CA of a ligand for an alpha carbon.
    """
    renamed = {"OT1": "O", "O1": "O"}
    drawn = []
    for name, r in zip(molecule.names.tolist(), molecule.residue.tolist(), strict=True):
        role = molecule.roles[r]
        if role is Role.PROTEIN:
            name = renamed.get(name, name)
        elif role is Role.NUCLEIC:
            name = name.replace("*", "'").replace("O2P", "OP2")
        else:
            name = f"_{name}"
        drawn.append(name)
    return drawn


def _residues(molecule: Molecule, drawn: tuple[Drawing, ...]) -> dict[str, Any]:
    importance = molecule.importance
    named: list[set[str]] = [set() for _ in molecule.labels]
    for name, r in zip(_drawn_names(molecule), molecule.residue.tolist(), strict=True):
        named[r].add(name)
    return {
        "label": list(molecule.labels),
        "drawn_name": [
            _drawn_residue(role, names)
            for role, names in zip(molecule.roles, named, strict=True)
        ],
        "role": [role.value for role in molecule.roles],
        "chain": molecule.chain.tolist(),
        "drawing": [drawing.value for drawing in drawn],
        # without an atom beside the guide a ribbon has no direction
        "trace": [
            not names & ({"O"} if role is Role.PROTEIN else {"OP2", "C5'"})
            for role, names in zip(molecule.roles, named, strict=True)
        ],
        "importance": None if importance is None else importance.round(2).tolist(),
    }


def _drawn_residue(role: Role, names: set[str]) -> str:
    """Return the name by which the viewer draws a base: purines have an N9."""
    if role is not Role.NUCLEIC:
        return "UNK"
    return "G" if "N9" in names else "C"
