"""Scripts that show structures coloured by B-factors: how much residues matter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["HIGH", "LOW", "write_scripts"]

#: B-factors of what does not matter and of what matters most.
LOW, HIGH = 0, 100


def write_scripts(
    folder: Path,
    files: Sequence[str],
    *,
    sticks: bool,
    meaning: str = "how much a residue matters for the slow motions",
) -> None:
    """Write scripts for ChimeraX, PyMOL and VMD beside the files that they show.

    Each is run in the folder of the files: ``chimerax colour.cxc``,
    ``pymol colour.pml``, ``vmd -e colour.vmd.tcl``.

    Parameters
    ----------
    folder : Path
    files : sequence of str
        Names of the PDB files, without blanks.
    sticks : bool
        Whether all atoms are drawn. Otherwise polymers are shown as cartoons, and
        only what is no polymer as sticks.
    meaning : str
        What the B-factors are.
    """
    about = f"White ({LOW}) to red ({HIGH}) are B-factors: {meaning}, see report.html."
    for name, lines in (
        ("colour.cxc", _chimerax(files, sticks)),
        ("colour.pml", _pymol(files, sticks)),
        ("colour.vmd.tcl", _vmd(files, sticks)),
    ):
        text = "\n".join([f"# {about}", *lines])
        (folder / name).write_text(text + "\n", encoding="ascii")


def _chimerax(files: Sequence[str], sticks: bool) -> list[str]:
    """Return commands of ChimeraX, which shows all models of a file at once."""
    return [
        *(f"open {name}" for name in files),
        "hide atoms",
        "show cartoons",
        "show atoms" if sticks else "show ~(protein | nucleic) atoms",
        "style stick",
        f"color byattribute bfactor palette {LOW},white:{HIGH},red",
        "set bgColor gray",
        "view",
    ]


def _pymol(files: Sequence[str], sticks: bool) -> list[str]:
    """Return commands of PyMOL, in which the models of a file are states."""
    return [
        *(f"load {name}" for name in files),
        "hide everything",
        "show cartoon, polymer",
        "show sticks, all" if sticks else "show sticks, not polymer",
        f"spectrum b, white red, all, minimum={LOW}, maximum={HIGH}",
        "bg_color grey50",
        "orient",
    ]


def _vmd(files: Sequence[str], sticks: bool) -> list[str]:
    """Return commands of VMD, in which the models of a file are frames."""
    drawn = [("Licorice 0.2 12 12", "all")]
    if not sticks:
        drawn = [
            ("NewCartoon", "protein or nucleic"),
            ("Licorice 0.2 12 12", "not (protein or nucleic)"),
        ]
    lines = []
    for name in files:
        lines += [f"mol new {name} type pdb waitfor all", "mol delrep 0 top"]
        for number, (style, selection) in enumerate(drawn):
            lines += [
                f"mol representation {style}",
                "mol color Beta",
                f"mol selection {{{selection}}}",
                "mol addrep top",
                f"mol scaleminmax top {number} {LOW - HIGH} {HIGH}",
            ]
    return [
        *lines,
        # blue, white and red, of which only white to red is used: a midpoint at the
        # low end itself would leave open whether it is white or blue
        "color scale method BWR",
        "color scale midpoint 0.5",
        "display resetview",
    ]
