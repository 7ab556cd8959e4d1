"""Peptides built from their sequence, with hydrogens, ready for simulation."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openmm.app import ForceField, Modeller

__all__ = ["FORCE_FIELD_FILES", "build_peptide"]

#: Amber ff99SB-ILDN with the OBC1/2 generalised Born model. This pair of files
#: builds OpenMM's native ``GBSAOBCForce``; the amber14 files describe the same
#: physics through a ``CustomGBForce``, which is ten times slower on a CPU.
FORCE_FIELD_FILES = ("amber99sbildn.xml", "amber99_obc.xml")


def build_peptide(
    sequence: str,
    *,
    capped: bool = True,
    phi: float = -120.0,
    psi: float = 130.0,
    variants: dict[int, str] | None = None,
    forcefield: ForceField | None = None,
) -> Modeller:
    """Build a peptide from its sequence, hydrogens included.

    Parameters
    ----------
    sequence : str
        One-letter codes, such as ``"WLALL"``.
    capped : bool
        Put an acetyl group (ACE) before and an N-methyl amide (NME) after the
        sequence. Otherwise the termini are charged.
    phi, psi : float
        Backbone dihedrals of the start structure, degrees.
    variants : dict of int to str, optional
        Protonation states by position in `sequence` (0-based), with OpenMM's
        names: ``{0: "HIP"}``, ``{2: "ASH"}``.
    forcefield : openmm.app.ForceField, optional
        Decides where hydrogens go; ff99SB-ILDN by default.

    Returns
    -------
    openmm.app.Modeller
        Topology and positions (nm), not yet minimised.

    Raises
    ------
    ValueError
        If a letter is not one of the twenty amino acids.
    """
    import PeptideBuilder
    from Bio.PDB import PDBIO
    from openmm import app

    unknown = sorted(set(sequence) - set("ACDEFGHIKLMNPQRSTVWY"))
    if unknown or not sequence:
        raise ValueError(
            f"sequence={sequence!r} must hold the one-letter codes of the twenty "
            f"amino acids; not one of them: {unknown or 'an empty sequence'}"
        )
    # The caps are cut out of glycines, whose backbone has their geometry.
    letters = f"G{sequence}G" if capped else sequence
    structure = PeptideBuilder.make_structure(
        letters, [phi] * (len(letters) - 1), [psi] * (len(letters) - 1)
    )
    if capped:
        residues = list(structure.get_residues())
        _turn_into_cap(residues[0], "ACE", drop=("N",))
        _turn_into_cap(residues[-1], "NME", drop=("C", "O"))
    else:
        PeptideBuilder.add_terminal_OXT(structure)
    writer, text = PDBIO(), io.StringIO()
    writer.set_structure(structure)
    writer.save(text)
    text.seek(0)
    pdb = app.PDBFile(text)
    modeller = app.Modeller(pdb.topology, pdb.positions)
    forcefield = forcefield or app.ForceField(*FORCE_FIELD_FILES)
    offset = int(capped)
    states: list[str | None] = [None] * len(letters)
    for position, variant in (variants or {}).items():
        states[position + offset] = variant
    modeller.addHydrogens(forcefield, variants=states)
    return modeller


def _turn_into_cap(residue: Any, name: str, drop: tuple[str, ...]) -> None:
    """Rename a glycine to a cap and take away the atoms that the cap lacks."""
    for atom in list(residue):
        if atom.get_name() in drop:
            residue.detach_child(atom.id)
        elif atom.get_name() == "CA":
            atom.name, atom.fullname = "CH3", " CH3"
    residue.resname = name
