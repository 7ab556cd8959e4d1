"""A variable learnt on alanine dipeptide, saved, and the dipeptide in OpenMM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from dipeptide import DATA, Dipeptide

from mdgeomfeat.gnn import load_model, save_model
from mdgeomfeat.variables import record_training

pytest.importorskip("openmm", reason="OpenMM (the extra bias) is not installed")


@pytest.fixture(scope="session")
def learnt(tmp_path_factory):
    """Return a function from a precision to the folder of a model of two variables."""
    made: dict[str, Path] = {}
    system = Dipeptide(load_model("et-64"))

    def folder(dtype="float32"):
        if dtype not in made:
            model = system.model("tica")
            model.metadata["features"]["dtype"] = dtype
            made[dtype] = tmp_path_factory.mktemp(dtype)
            inside = made[dtype] / "model"
            model.metadata["states"] = {"centres": [[0, 0]], "state_of_centre": [0]}
            model.save(inside / "cvs")
            save_model(system.network, inside / "network.safetensors")
            arrays = system.arrays("geometric")
            values = model.transform(arrays)
            states = [(values[0][:, 0] > 1).astype(int)]
            record = record_training(arrays, values, states, 2, box=False)
            record.save(inside / "training.safetensors")
        return made[dtype]

    return folder


@dataclass
class Molecule:
    """Alanine dipeptide as OpenMM has it."""

    path: Path
    pdb: object
    indices: np.ndarray

    @property
    def topology(self):
        return self.pdb.topology

    @property
    def positions(self):
        """Positions, (22, 3), nm."""
        from openmm import unit

        return np.array(
            self.pdb.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        )

    def system(self):
        """Return its force field, without any bias."""
        from openmm import app

        from mdgeomfeat.pretraining.peptides import FORCE_FIELD_FILES

        field = app.ForceField(*FORCE_FIELD_FILES)
        return field.createSystem(
            self.topology, nonbondedMethod=app.NoCutoff, constraints=app.HBonds
        )


@pytest.fixture(scope="session")
def molecule():
    from openmm import app

    path = DATA / "ala2.pdb"
    pdb = app.PDBFile(str(path))
    heavy = [a.index for a in pdb.topology.atoms() if a.element.symbol != "H"]
    return Molecule(path, pdb, np.array(heavy))
