"""``mdgeomfeat export --plumed``: what PLUMED does with it, imitated."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import MDAnalysis as mda
import numpy as np
import pytest
import torch
from dipeptide import Dipeptide, lively
from schemas import validator

from mdgeomfeat import Structure
from mdgeomfeat.bias.exported import write_torch_export
from mdgeomfeat.bias.plumed import ScriptedVariables, write_torchscript
from mdgeomfeat.errors import InputError
from mdgeomfeat.structure import select_atoms
from mdgeomfeat.variables import CollectiveVariables

PDB = Path(__file__).parents[2] / "data" / "ala2" / "ala2.pdb"
XTC = PDB.with_name("ala2-0.xtc")


class PytorchModel:
    """What PLUMED's PYTORCH_MODEL does with a file, call by call."""

    def __init__(self, path, n_arguments):
        self.model = torch.jit.freeze(torch.jit.load(str(path)).eval())
        zeros = torch.zeros(n_arguments).view(1, n_arguments)
        self.n_outputs = self._as_floats(self.model.forward(zeros)).size

    @staticmethod
    def _as_floats(tensor):
        """Read the memory as float, as data_ptr<float>() does."""
        assert tensor.dtype == torch.float32
        assert tensor.is_contiguous()
        return tensor.detach().numpy().ravel()

    def calculate(self, arguments):
        row = torch.tensor(np.asarray(arguments, np.float32)).view(1, -1)
        row.requires_grad_()
        output = self.model.forward(row)
        derivatives = []
        for j in range(self.n_outputs):
            (gradient,) = torch.autograd.grad(
                [output[:, j : j + 1]],
                [row],
                [torch.ones(1).expand(1, 1)],
                retain_graph=True,
                create_graph=False,
            )
            derivatives.append(self._as_floats(gradient))
        return self._as_floats(output), np.array(derivatives)


@pytest.fixture(scope="module")
def report(run_cli, tmp_path_factory):
    out = tmp_path_factory.mktemp("learnt") / "report"
    done = run_cli(
        "tica", PDB, XTC, "--step", 10, "--lag", 2, "--dim", 1, "--no-maps",
        "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    return out


def statements(text):
    return [line for line in text.splitlines() if line and line[0] != "#"]


def test_plumed_would_compute_the_variables(run_cli, report, tmp_path):
    out = tmp_path / "plumed"
    done = run_cli("export", report, PDB, "--plumed", "--out", out)
    assert done.exit_code == 0, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert not list(validator("summary").iter_errors(summary))
    assert summary["outputs"] >= 1
    text = (out / "plumed.dat").read_text()
    universe = mda.Universe(str(PDB), str(XTC))
    atoms = select_atoms(universe)

    # what the input says: the atoms in order, numbered from 1, and one row of them
    whole = re.search(r"^WHOLEMOLECULES ENTITY0=(\S+)$", text, re.M)[1]
    numbers = [int(n) for n in whole.split(",")]
    assert numbers == (atoms.ix + 1).tolist()
    positions = dict(re.findall(r"^(p\d+): POSITION ATOM=(\d+) NOPBC", text, re.M))
    (arguments,) = re.findall(
        r"^cv: PYTORCH_MODEL FILE=model.ptc ARG=(\S+)$", text, re.M
    )
    asked = []
    for argument in arguments.split(","):
        label, axis = argument.split(".")
        asked.append((int(positions[label]) - 1, "xyz".index(axis)))
    assert len(asked) == 3 * len(atoms)

    model = PytorchModel(out / "model.ptc", len(asked))
    variables = CollectiveVariables.load(
        report,
        Structure.from_atomgroup(atoms),
        engine="torch",
        dtype="float64",
        reach=True,
    )
    for frame in (0, 700, 4000):
        universe.trajectory[frame]
        nm = universe.atoms.positions / 10
        values, derivatives = model.calculate([nm[atom, axis] for atom, axis in asked])
        (expected,), (gradients,) = variables.differentiate(atoms.positions[None])
        assert np.abs(values - expected).max() < 1e-4
        error = np.abs(derivatives.reshape(2, -1, 3) - 10 * gradients).max()
        assert error < 1e-3 * np.abs(10 * gradients).max()

    assert "not run with PLUMED" in text
    assert "UNITS LENGTH=nm ENERGY=kj/mol TIME=ps" in statements(text)
    assert "distance from the training data" in text
    assert re.search(
        r"ARG=cv\.node-0\n  SIGMA=\S+\n  BARRIER=40 TEMP=300 PACE=500", text
    )
    (kappa,) = re.findall(
        r"^upper0: UPPER_WALLS ARG=cv\.node-0 AT=\S+ KAPPA=(\S+)", text, re.M
    )
    assert float(kappa) > 0


def test_without_a_topology_the_atoms_are_those_of_training(run_cli, report, tmp_path):
    named, unnamed = tmp_path / "named", tmp_path / "unnamed"
    assert run_cli("export", report, PDB, "--plumed", "--out", named).exit_code == 0
    assert run_cli("export", report, "--plumed", "--out", unnamed).exit_code == 0
    assert (named / "plumed.dat").read_text() == (unnamed / "plumed.dat").read_text()


def test_a_torch_program_runs_without_the_package(run_cli, report, tmp_path):
    out = tmp_path / "program"
    done = run_cli("export", report, PDB, "--torch-export", "--out", out)
    assert done.exit_code == 0, done.stderr
    assert sorted(p.name for p in out.iterdir()) == ["model.pt2", "summary.json"]
    universe = mda.Universe(str(PDB), str(XTC))
    atoms = select_atoms(universe)
    frames = []
    for frame in (0, 700, 4000):
        universe.trajectory[frame]
        frames.append(atoms.positions.copy())
    np.save(tmp_path / "rows.npy", np.array(frames).reshape(3, 1, -1) / 10)
    script = """
import sys, numpy as np, torch
program = torch.export.load(sys.argv[1] + "/program/model.pt2").module()
values, slopes = [], []
for row in np.load(sys.argv[1] + "/rows.npy"):
    row = torch.tensor(row, requires_grad=True)
    out = program(row)
    values.append(out[0].tolist())
    slopes.append(
        [torch.autograd.grad(v, row, retain_graph=True)[0].tolist() for v in out[0]]
    )
assert not [name for name in sys.modules if name.startswith("mdgeomfeat")]
np.savez(sys.argv[1] + "/found.npz", values=values, slopes=slopes)
"""
    alone = subprocess.run(
        [sys.executable, "-I", "-c", script, str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr
    found = np.load(tmp_path / "found.npz")
    variables = CollectiveVariables.load(
        report,
        Structure.from_atomgroup(atoms),
        engine="torch",
        dtype="float64",
        reach=True,
    )
    expected, gradients = variables.differentiate(np.array(frames))
    assert np.abs(found["values"] - expected).max() < 1e-4
    error = found["slopes"].reshape(gradients.shape) - 10 * gradients
    assert np.abs(error).max() < 1e-3 * np.abs(10 * gradients).max()


def test_a_program_that_gives_other_values_is_refused(tmp_path, monkeypatch):
    system = Dipeptide(lively("et"))
    variables = system.variables(system.model("tica"), engine="torch")
    load = torch.export.load

    class Other:
        def __init__(self, program):
            self.program = program

        def module(self):
            return lambda row: self.program.module()(row) + 0.1

    monkeypatch.setattr(torch.export, "load", lambda path: Other(load(path)))
    with pytest.raises(InputError, match="gives other values than the network"):
        write_torch_export(variables, system.positions[0], tmp_path / "model.pt2")
    assert not (tmp_path / "model.pt2").exists()


@pytest.mark.parametrize("architecture", ["et", "tensornet", "visnet"])
@pytest.mark.parametrize("window", [None, 1])
def test_every_network_is_a_torch_program(architecture, window, tmp_path):
    system = Dipeptide(lively(architecture))
    model = system.model("mlp")
    model.metadata["features"]["window"] = window
    runs_as_a_torch_program(system, model, tmp_path / "model.pt2")


def test_surroundings_are_exported(tmp_path):
    system = Dipeptide(lively("et"), tokens="atom")
    model = system.model("mlp", "spatial")
    runs_as_a_torch_program(system, model, tmp_path / "model.pt2")
    runs_in_plumed(system, model, tmp_path / "model.ptc")


def runs_as_a_torch_program(system, model, path):
    variables = system.variables(model, engine="torch")
    write_torch_export(variables, system.positions[0], path)
    program = torch.export.load(path).module()
    for positions in (system.positions[1], 1.7 * system.positions[2]):
        centred = positions.astype(np.float32)
        row = torch.tensor(centred.reshape(1, -1) / 10, requires_grad=True)
        values = program(row)
        (expected,), (gradients,) = variables.differentiate(centred[None])
        worst = np.abs(values.detach().numpy()[0] - expected).max()
        assert worst < 1e-5 * max(np.abs(expected).max(), 1)
        (slope,) = torch.autograd.grad(values[0, 0], row)
        largest = np.abs(10 * gradients[0]).max()
        error = slope.numpy().reshape(-1, 3) - 10 * gradients[0]
        assert np.abs(error).max() < 1e-4 * largest


@pytest.mark.parametrize("architecture", ["et", "tensornet", "visnet"])
@pytest.mark.parametrize("window", [None, 1])
def test_every_network_is_recorded_with_all_neighbours(architecture, window, tmp_path):
    system = Dipeptide(lively(architecture))
    model = system.model("mlp")
    model.metadata["features"]["window"] = window
    runs_in_plumed(system, model, tmp_path / "model.ptc")


def runs_in_plumed(system, model, path):
    variables = system.variables(model, engine="torch")
    write_torchscript(variables, system.positions[0], path)
    traced = PytorchModel(path, 30)
    for positions in (system.positions[1], 1.7 * system.positions[2]):
        values, derivatives = traced.calculate(positions.ravel() / 10)
        centred = positions.astype(np.float32)
        (expected,), (gradients,) = variables.differentiate(centred[None])
        assert np.abs(values - expected).max() < 1e-5 * max(np.abs(expected).max(), 1)
        largest = np.abs(10 * gradients).max()
        assert np.abs(derivatives.reshape(2, -1, 3) - 10 * gradients).max() < (
            1e-4 * largest
        )


def test_what_cannot_be_exported_is_refused(run_cli, report, tmp_path, monkeypatch):
    out = ["--out", tmp_path / "out"]
    for arguments, said in (
        ([report, *out], "give --plumed"),
        ([tmp_path, "--plumed", *out], "holds no model"),
        (
            [report, PDB.parents[1] / "gly2" / "gly2.pdb", "--plumed", *out],
            "not those that the model was made for",
        ),
    ):
        done = run_cli("export", *arguments)
        assert done.exit_code == 2
        assert said in done.stderr
    assert not (tmp_path / "out").exists()
    system = Dipeptide(lively("et"))
    compiled = system.variables(system.model("tica"), dtype="float32", engine="cpu")
    with pytest.raises(InputError, match="make them with engine='torch'"):
        ScriptedVariables(compiled)
    computed = ScriptedVariables.forward
    monkeypatch.setattr(
        # a Python number, which a trace holds fast
        ScriptedVariables,
        "forward",
        lambda self, row: computed(self, row) + float(row.detach().abs().max()),
    )
    exact = system.variables(system.model("tica"), engine="torch")
    with pytest.raises(InputError, match="gives other values than the network"):
        write_torchscript(exact, system.positions[0], tmp_path / "model.ptc")
    assert not (tmp_path / "model.ptc").exists()
