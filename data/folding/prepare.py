"""Cut the native structures out of the files they come from.

    python data/folding/prepare.py villin
    python data/folding/prepare.py lambda 1lmb.pdb  # PDB entry 1LMB
    python data/folding/prepare.py hairpin 2src.pdb  # PDB entry 2SRC

Only heavy atoms are kept, in the coordinates and with the residue numbers of the
source. Villin's source is installed with OpenMM (``app/data/test.pdb``).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from openmm import app

HERE = Path(__file__).parent
SOURCES = {
    "villin": "HP35 N68H (SEQUENCE OF 1YRF), A FRAME OF OPENMM'S APP/DATA/TEST.PDB",
    "lambda": "RESIDUES 6-85 OF CHAIN 4 OF PDB ENTRY 1LMB",
    "hairpin": "RESIDUES 110-121 OF CHAIN A OF PDB ENTRY 2SRC",
}
RESIDUES = {"villin": range(1, 36), "lambda": range(6, 86), "hairpin": range(110, 122)}
#: The first chain by default.
CHAINS = {"lambda": "4", "hairpin": "A"}


def prepare(name: str, source: Path) -> None:
    """Write ``NAME/NAME.pdb``."""
    structure = app.PDBFile(str(source))
    chain = next(
        chain
        for chain in structure.topology.chains()
        if CHAINS.get(name) in (None, chain.id)
    )
    kept = [
        residue
        for residue in chain.residues()
        if int(residue.id) in RESIDUES[name]
        and "CA" in {a.name for a in residue.atoms()}
    ]
    modeller = app.Modeller(structure.topology, structure.positions)
    modeller.delete(
        [
            atom
            for atom in structure.topology.atoms()
            if atom.residue not in kept or atom.element == app.element.hydrogen
        ]
    )
    for residue in modeller.topology.residues():
        if residue.name in {"HIE", "HID", "HIP"}:
            residue.name = "HIS"  # heavy atoms know no protonation
    modeller.topology.setPeriodicBoxVectors(None)
    target = HERE / name / f"{name}.pdb"
    target.parent.mkdir(exist_ok=True)
    with target.open("w") as handle:
        handle.write(f"REMARK   1 {SOURCES[name]}\n")
        app.PDBFile.writeFile(
            modeller.topology, modeller.positions, handle, keepIds=True
        )


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(SOURCES))
    parser.add_argument("source", type=Path, nargs="?")
    options = parser.parse_args()
    source = options.source
    if source is None:
        if options.name in CHAINS:
            parser.error(f"{options.name} needs a file: {SOURCES[options.name]}")
        source = Path(app.__file__).parent / "data" / "test.pdb"
    prepare(options.name, source)


if __name__ == "__main__":
    main()
