"""What is simulated: a system of OpenMM from files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError, clause

if TYPE_CHECKING:
    import openmm
    from openmm.app import Topology

__all__ = ["Simulated", "read_simulated"]

_CUTOFF = 1.0  # nm, of the direct part of particle mesh Ewald
_PYTHON = "PythonForce"


@dataclass(frozen=True, eq=False, kw_only=True)
class Simulated:
    """A system, and where a simulation of it begins.

    Attributes
    ----------
    topology : openmm.app.Topology
    system : openmm.System
    positions : (A, 3) ndarray, nm
    box : (3, 3) ndarray or None
        nm; None where the system is not periodic.
    """

    topology: Topology
    system: openmm.System
    positions: NDArray[np.float64]
    box: NDArray[np.float64] | None


def read_simulated(
    structure: Path, *, system: Path | None = None, force_field: Sequence[str] = ()
) -> Simulated:
    """Read a structure, and a system of it or the force field that makes one.

    A force field's system has bonds to hydrogens and water of fixed length; where the
    structure has a box its charges interact by particle mesh Ewald, else without a
    cutoff.

    Parameters
    ----------
    structure : Path
        PDB or mmCIF.
    system : Path, optional
        A system that OpenMM wrote as XML.
    force_field : sequence of str
        OpenMM's names, such as ``amber14-all.xml``, or files.

    Returns
    -------
    Simulated

    Raises
    ------
    InputError
        If a file cannot be read, they do not belong together, or atoms lack
        parameters.
    """
    from openmm import unit

    if (system is None) == (not force_field):
        raise InputError(
            "A simulation needs either the system as OpenMM wrote it (--system) or "
            "the names of a force field (--forcefield); give one of them."
        )
    file = _structure(structure)
    topology = file.topology
    made = (
        _from_force_field(topology, force_field, structure)
        if system is None
        else _from_xml(system)
    )
    n_atoms = topology.getNumAtoms()
    if made.getNumParticles() != n_atoms:
        raise InputError(
            f"'{structure}' has {n_atoms:,} atoms, but the system in '{system}' "
            f"has {made.getNumParticles():,}; give a structure and a system of the "
            "same molecule."
        )
    box = None
    if made.usesPeriodicBoundaryConditions():
        vectors = topology.getPeriodicBoxVectors()
        if vectors is None:
            vectors = made.getDefaultPeriodicBoxVectors()
            topology.setPeriodicBoxVectors(vectors)
        box = np.array(unit.Quantity(vectors).value_in_unit(unit.nanometer), float)
    else:
        topology.setPeriodicBoxVectors(None)
    positions = file.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    return Simulated(
        topology=topology,
        system=made,
        positions=np.array(positions, dtype=np.float64),
        box=box,
    )


def _structure(path: Path) -> openmm.app.PDBFile | openmm.app.PDBxFile:
    from openmm import app

    if not path.is_file():
        raise InputError(f"There is no file '{path}'; give a PDB or mmCIF file.")
    kind = app.PDBxFile if path.suffix.lower() in (".cif", ".mmcif") else app.PDBFile
    try:
        file = kind(str(path))
        n_atoms = file.topology.getNumAtoms()
    except AttributeError:  # what OpenMM makes of a file without atoms
        n_atoms = 0
    except Exception as error:
        raise InputError(
            f"OpenMM cannot read '{path}' ({clause(error)}); give a PDB or mmCIF file."
        ) from error
    if not n_atoms:
        raise InputError(f"'{path}' holds no atoms; give a PDB or mmCIF file.")
    return file


def _from_force_field(
    topology: Topology, names: Sequence[str], structure: Path
) -> openmm.System:
    from openmm import app, unit

    options = {"nonbondedMethod": app.NoCutoff}
    vectors = topology.getPeriodicBoxVectors()
    if vectors is not None:
        edges = np.array(unit.Quantity(vectors).value_in_unit(unit.nanometer), float)
        cutoff = min(_CUTOFF, 0.49 * float(np.diag(edges).min()))
        options = {"nonbondedMethod": app.PME, "nonbondedCutoff": cutoff}
    try:
        return app.ForceField(*names).createSystem(
            topology, constraints=app.HBonds, **options
        )
    except Exception as error:
        # what a force field lacks is told by many kinds of exceptions
        said = " ".join(str(error).split())
        raise InputError(
            f"The force field {', '.join(names)} cannot describe '{structure}' "
            f"({clause(said)}); add hydrogens, name the file that has the missing "
            "parameters as well, or give a system with --system."
        ) from error


def _from_xml(path: Path) -> openmm.System:
    import openmm

    if not path.is_file():
        raise InputError(f"There is no file '{path}'; give a system that OpenMM wrote.")
    text = path.read_text(encoding="utf-8", errors="replace")
    if _PYTHON in text:
        raise InputError(
            f"The system in '{path}' holds Python objects, which are executed when "
            "they are read; give the system without forces of that kind."
        )
    try:
        made = openmm.XmlSerializer.deserialize(text)
    except Exception as error:
        raise InputError(
            f"OpenMM cannot read '{path}' ({clause(error)}); give a system that it "
            "wrote as XML."
        ) from error
    if not isinstance(made, openmm.System):
        raise InputError(
            f"'{path}' holds a {type(made).__name__}, not a system; give a system that "
            "OpenMM wrote as XML."
        )
    return made
