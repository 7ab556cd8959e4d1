"""What ``compare --with`` writes: a table of residues, and structures to colour."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mdgeomfeat.commands.colouring import write_scripts
from mdgeomfeat.commands.molecule import by_residue, describe_molecule
from mdgeomfeat.structure.topology import AtomTable

if TYPE_CHECKING:
    from mdgeomfeat.commands.two_ensembles import TwoEnsembles
    from mdgeomfeat.report.data import EnsembleComparison

__all__ = ["write_residues", "write_typical_structures"]

#: Frames of an ensemble among which the typical one is looked for.
_FRAMES: Final = 500


def write_residues(
    path: Path, comparison: EnsembleComparison, both: TwoEnsembles
) -> None:
    """Write one line for each residue; numbers that are not known are empty.

    Parameters
    ----------
    path : Path
    comparison : EnsembleComparison
    both : TwoEnsembles
    """
    test, labels = comparison.test, comparison.labels
    names = both.data[1].structure.token_labels()
    others = [names[token] for token in both.tokens[1]]
    columns = [
        *("token", "first", "second", "tested", "effect", "p", "p_corrected"),
        *("torsion", "torsion_first", "torsion_second", "torsion_effect"),
        *("rmsf_first", "rmsf_second", "contacts_made", "contacts_lost"),
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for k, plain in enumerate(comparison.plain):
            turn = plain.turn
            angles: list[float | str] = [""] * 4
            if turn is not None:
                angles = [turn.name, turn.before, turn.after, turn.effect]
            p = [None if v is None else v[k] for v in (test.p_values, test.corrected)]
            values = [test.effects[k], *p, *angles, *plain.rmsf]
            writer.writerow(
                [
                    k + 1,
                    labels[k],
                    others[k],
                    "yes" if test.tested[k] else "no",
                    *map(_cell, values),
                    *(
                        ";".join(labels[i] for i in own)
                        for own in (plain.made, plain.lost)
                    ),
                ]
            )


def _cell(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:.6g}" if np.isfinite(value) else ""


def write_typical_structures(
    folder: Path, comparison: EnsembleComparison, both: TwoEnsembles
) -> None:
    """Write the frame of either ensemble that is nearest to its mean, with effects.

    Parameters
    ----------
    folder : Path
        Must not exist.
    comparison : EnsembleComparison
    both : TwoEnsembles
    """
    import MDAnalysis as mda

    from mdgeomfeat.descriptors import superpose

    folder.mkdir()
    names, traced = [], False
    target: np.ndarray | None = None
    for side, data in enumerate(both.data):
        rows = np.flatnonzero(both.side == side)
        rows = rows[np.linspace(0, len(rows) - 1, min(_FRAMES, len(rows))).astype(int)]
        frames = both.positions(rows).astype(float)
        moved = superpose(frames, frames[0] if target is None else target)
        moved = superpose(moved, moved.mean(axis=0))
        nearest = int(((moved - moved.mean(axis=0)) ** 2).sum(axis=(1, 2)).argmin())
        typical = frames[nearest : nearest + 1]
        typical = superpose(typical, typical[0] if target is None else target)[0]
        target = typical if target is None else target
        own = np.empty_like(typical)
        own[both.order[side]] = typical  # as the files order their atoms
        copy = mda.Merge(data.atoms)
        copy.atoms.positions = own
        shown = np.empty_like(comparison.test.shown)
        shown[both.tokens[side]] = comparison.test.shown
        copy.add_TopologyAttr("tempfactors", shown[data.structure.token_of_atom])
        table = AtomTable.from_universe(copy)
        residues = by_residue(table, data.structure)
        traced |= bool(describe_molecule(table, data.structure, residues).traced)
        names.append(("first.pdb", "second.pdb")[side])
        copy.atoms.write(folder / names[-1])
    write_scripts(
        folder,
        names,
        sticks=not traced,
        meaning="how far the ensembles differ in a residue",
    )
