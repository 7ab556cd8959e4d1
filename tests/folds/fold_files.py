"""A small fold benchmark, written in both layouts from the tests' coordinates."""

from __future__ import annotations

from pathlib import Path

import h5py
import MDAnalysis as mda
import numpy as np

COORDINATES = Path(__file__).parents[1] / "coordinates"
#: Pieces of chains: name, file, selection.
PIECES = {
    "d1hvra1": ("1hvr.pdb", "chainID A and resid 23:46"),
    "d1hvra2": ("1hvr.pdb", "chainID A and resid 47:70"),
    "d1hvrb1": ("1hvr.pdb", "chainID B and resid 23:46"),
    "d1hvrb2": ("1hvr.pdb", "chainID B and resid 47:70"),
    "d1lmb41": ("1lmb.pdb", "chainID 4 and resid 6:25"),
    "d1lmb42": ("1lmb.pdb", "chainID 4 and resid 26:45"),
    "d1t2ya_": ("1t2y.pdb", "protein"),
    "d2juya_": ("2juy.pdb", "protein"),
}
LISTS = {
    "training": {
        "d1hvra1": "b.50", "d1hvra2": "b.51", "d1lmb41": "a.35", "d1t2ya_": "g.46",
    },
    "validation": {"d1hvrb1": "b.50"},
    "test_fold": {"d1hvrb2": "b.51"},
    "test_superfamily": {"d1lmb42": "a.35"},
}  # fmt: skip
CLASSES = ("a.35", "b.50", "b.51", "g.46")


def piece(name: str) -> mda.AtomGroup:
    file, selection = PIECES[name]
    atoms = mda.Universe(COORDINATES / file).select_atoms(selection)
    return atoms.select_atoms("protein and not element H")


def write_hdf5(path: Path, atoms: mda.AtomGroup, **changed: np.ndarray) -> None:
    """Write atoms as IEConv's data hold them: numbers minus 1, centred positions."""
    from mdgeomfeat.structure.elements import SYMBOLS

    numbers = [SYMBOLS.index(e.capitalize()) for e in atoms.elements]
    centre = atoms.positions.mean(axis=0)
    _, amino = np.unique(atoms.resindices, return_inverse=True)
    _, chains = np.unique(atoms.chainIDs, return_inverse=True)
    arrays = {
        "pos_center": centre,
        "atom_pos": (atoms.positions - centre)[None],
        "atom_types": np.array(numbers) - 1,
        "atom_names": np.array([n.encode() for n in atoms.names]),
        "atom_amino_id": amino,
        "atom_residue_names": np.array([n.encode() for n in atoms.resnames]),
        "atom_chain_ids": chains,
    }
    with h5py.File(path, "w") as file:
        for name, values in (arrays | changed).items():
            if values is not None:
                file.create_dataset(name, data=values)


def write_pdb(path: Path, atoms: mda.AtomGroup) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atoms.write(path)


def write_benchmark(folder: Path, ending: str = "pdb") -> Path:
    """Write lists, class map and coordinates, and return the folder."""
    folder.mkdir()
    rows = [f"{name}\t{number}" for number, name in enumerate(CLASSES)]
    (folder / "class_map.txt").write_text("\n".join(rows) + "\n")
    write = write_pdb if ending == "pdb" else write_hdf5
    for part, domains in LISTS.items():
        (folder / part).mkdir()
        lines = []
        for name, label in domains.items():
            atoms = piece(name)
            # as the public lists do: some have a length and a superclass
            columns = (
                [name, str(atoms.n_residues), label] if part == "test_fold" else [name]
            )
            lines.append("\t".join([*columns, label]))
            write(folder / part / f"{name}.{ending}", atoms)
        (folder / f"{part}.txt").write_text("\n".join(lines))
    return folder
