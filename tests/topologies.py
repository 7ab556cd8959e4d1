"""Topology files by the letter of their descriptions: PSF, Amber's parm7 and mmCIF."""

from __future__ import annotations

from pathlib import Path

import MDAnalysis as mda
import numpy as np

_MASSES = {"H": 1.008, "C": 12.011, "N": 14.007, "O": 15.999, "P": 30.974, "S": 32.06}
_NUMBERS = {"H": 1, "C": 6, "N": 7, "O": 8, "P": 15, "S": 16}


def psf(path: Path, u: mda.Universe) -> Path:
    """Write a PSF file of CHARMM's wide kind, which states no elements."""
    lines = [
        "PSF EXT",
        "",
        f"{1:10d} !NTITLE",
        " built",
        "",
        f"{len(u.atoms):10d} !NATOM",
    ]
    lines += [
        f"{i:10d} {'PROA':8s} {a.resid:<8d} {a.resname:8s} {a.name:8s} "
        f"{'T' + a.element:4s} {0:14.6f}{_MASSES[a.element]:14.4f}{0:8d}"
        for i, a in enumerate(u.atoms, 1)
    ]
    bonds = u.bonds.indices.ravel() + 1 if hasattr(u, "bonds") else np.zeros(0, int)
    lines += ["", f"{len(bonds) // 2:10d} !NBOND: bonds"]
    rows = [bonds[i : i + 8] for i in range(0, len(bonds), 8)]
    lines += ["".join(f"{n:10d}" for n in row) for row in rows]
    for section in ("!NTHETA: angles", "!NPHI: dihedrals", "!NIMPHI: impropers"):
        lines += ["", f"{0:10d} {section}", ""]
    path.write_text("\n".join([*lines, ""]))
    return path


def parm7(
    path: Path, u: mda.Universe, *, elements: bool = False, angle: float | None = None
) -> Path:
    """Write an Amber topology; its atomic numbers and its box's angle are optional."""
    atoms, bonds = u.atoms, u.bonds.indices
    hydrogens = (atoms.elements[bonds] == "H").any(axis=1)
    starts = np.flatnonzero(np.diff(atoms.resindices, prepend=-1)) + 1
    pointers = np.zeros(31, dtype=int)
    pointers[[0, 1, 2, 3, 11]] = (
        len(atoms), 1, hydrogens.sum(), (~hydrogens).sum(), len(starts)
    )  # fmt: skip
    pointers[27] = 0 if angle is None else 1 if angle == 90 else 2

    def records(pairs):
        return [n for i, j in pairs for n in (3 * i, 3 * j, 1)]

    text = "%VERSION  VERSION_STAMP = V0001.000  DATE = 01/01/26  00:00:00\n"

    def flag(name, values, form="10I8", per_line=10):
        nonlocal text
        text += f"%FLAG {name}\n%FORMAT({form})\n"
        rows = [values[i : i + per_line] for i in range(0, len(values), per_line)]
        text += "".join("".join(row) + "\n" for row in rows or [[]])

    def whole(values):
        return [f"{n:8d}" for n in values]

    def reals(values):
        return [f"{x:16.8E}" for x in values]

    def words(values):
        return [f"{w:<4.4s}" for w in values]

    flag("TITLE", ["built"], "20a4")
    flag("POINTERS", whole(pointers))
    flag("ATOM_NAME", words(atoms.names), "20a4", 20)
    flag("CHARGE", reals([0.0] * len(atoms)), "5E16.8", 5)
    if elements:
        flag("ATOMIC_NUMBER", whole([_NUMBERS[e] for e in atoms.elements]))
    flag("MASS", reals([_MASSES[e] for e in atoms.elements]), "5E16.8", 5)
    flag("ATOM_TYPE_INDEX", whole([1] * len(atoms)))
    flag("RESIDUE_LABEL", words(atoms.residues.resnames), "20a4", 20)
    flag("RESIDUE_POINTER", whole(starts))
    flag("BONDS_INC_HYDROGEN", whole(records(bonds[hydrogens])))
    flag("BONDS_WITHOUT_HYDROGEN", whole(records(bonds[~hydrogens])))
    for kind in ("ANGLES", "DIHEDRALS"):
        for part in ("INC", "WITHOUT"):
            flag(f"{kind}_{part}_HYDROGEN", [])
    # Amber's types, which no element can be read from.
    flag("AMBER_ATOM_TYPE", words([f"{e}X" for e in atoms.elements]), "20a4", 20)
    if angle is not None:
        flag("BOX_DIMENSIONS", reals([angle, *u.dimensions[:3]]), "5E16.8", 5)
    path.write_text(text)
    return path


_COLUMNS = str.split(
    "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id "
    "label_entity_id label_seq_id pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z occupancy "
    "B_iso_or_equiv pdbx_formal_charge auth_asym_id pdbx_PDB_model_num"
)


def mmcif(path: Path, atoms: mda.AtomGroup, cell=None) -> Path:
    """Write an mmCIF file."""
    text = "data_built\n"
    if cell is not None:
        keys = [f"length_{x}" for x in "abc"]
        keys += [f"angle_{x}" for x in ("alpha", "beta", "gamma")]
        text += "".join(f"_cell.{k} {v}\n" for k, v in zip(keys, cell, strict=True))
    text += "loop_\n" + "".join(f"_atom_site.{c}\n" for c in _COLUMNS)
    for i, a in enumerate(atoms, 1):
        x, y, z = a.position
        chain = a.chainID
        text += (
            f"ATOM {i} {a.element} {a.name} . {a.resname} {chain} 1 {a.resid} ? "
            f"{x:.3f} {y:.3f} {z:.3f} 1.0 0.0 0 {chain} 1\n"
        )
    path.write_text(text)
    return path
