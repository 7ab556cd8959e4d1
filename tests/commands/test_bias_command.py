"""``mdgeomfeat bias`` from files to a folder, killed and gone on with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from schemas import validator

from mdgeomfeat.commands.bias import BiasOptions, _ranges
from mdgeomfeat.reading.colvar import read_colvar

openmm = pytest.importorskip("openmm", reason="OpenMM (the extra bias) is missing")

PDB = Path(__file__).parents[2] / "data" / "ala2" / "ala2.pdb"
XTC = PDB.with_name("ala2-0.xtc")
FIELD = ["--forcefield", "amber99sbildn.xml", "--forcefield", "amber99_obc.xml"]
QUICK = ["--platform", "Reference", "--record", 20, "--pace", 20, "--engine", "cpu"]


@pytest.fixture(scope="module")
def report(run_cli, tmp_path_factory):
    out = tmp_path_factory.mktemp("learnt") / "report"
    done = run_cli(
        "tica", PDB, XTC, "--step", 10, "--lag", 2, "--dim", 1, "--no-maps",
        "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def biased(run_cli, report, tmp_path_factory):
    """Return the folder of a simulation of 800 steps, and what was said."""
    out = tmp_path_factory.mktemp("biased") / "run"
    done = run_cli("bias", report, PDB, *FIELD, *QUICK, "--steps", 800, "--out", out)
    assert done.exit_code == 0, done.stderr
    return out, done


def refused(done, *parts):
    assert done.exit_code == 2, done.output
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("mdgeomfeat: ")]
    for part in parts:
        assert part in line, line


def test_a_simulation_leaves_a_folder(biased):
    out, done = biased
    names = {path.name for path in out.iterdir()}
    assert names == {
        "COLVAR", "checkpoint.npz", "figures", "report.html", "settings.json",
        "summary.json", "system.xml", "topology.pdb", "trajectory.xtc",
    }  # fmt: skip
    assert len(read_colvar(out / "COLVAR")) == 40
    assert "cv1: width" in done.stderr
    page = (out / "report.html").read_text()
    for words in (
        "Variables over time",
        "Free energy and its convergence",
        "logweight",
    ):
        assert words in page
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["format"], summary["kind"]) == (1, "mdgeomfeat bias")
    assert not list(validator("summary").iter_errors(summary))
    assert not validator("summary").is_valid(summary | {"new": 1})
    energies = np.array(summary["free_energies"]["cv1"]["energies"], dtype=float)
    assert energies.shape == (4, 60)
    assert np.nanmin(energies) == 0
    # the system is written without the bias, so that nothing in it is executed
    system = (out / "system.xml").read_text()
    assert "PythonForce" not in system
    assert openmm.XmlSerializer.deserialize(system).getNumParticles() == 22


def test_the_same_command_with_more_steps_goes_on(run_cli, report, biased, tmp_path):
    out, _ = biased
    common = ["bias", report, PDB, *FIELD, *QUICK]
    done = run_cli(*common, "--steps", 1000, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert "continuing from step 800" in done.stderr
    whole = tmp_path / "whole"
    # 800 steps are two checkpoints of 400, so it is one simulation
    assert run_cli(*common, "--steps", 1000, "--out", whole).exit_code == 0
    assert (whole / "COLVAR").read_bytes() == (out / "COLVAR").read_bytes()


def test_other_settings_do_not_go_on(run_cli, report, biased):
    out, _ = biased
    common = ["bias", report, PDB, *FIELD, *QUICK, "--steps", 1000, "--out", out]
    refused(
        run_cli(*common, "--barrier", 30),
        "started with another bias (barrier 40.0, here 30.0)",
        "--overwrite",
    )
    refused(run_cli(*common, "--seed", 9), "another run (seed 1, here 9)")


@pytest.mark.parametrize("ended_by", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_killed_it_goes_on_as_if_nothing_had_been(run_cli, report, tmp_path, ended_by):
    common = ["bias", report, PDB, *FIELD, *QUICK, "--checkpoint", 100, "--frames", 20]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    program = Path(sys.executable).with_name("mdgeomfeat")
    endless = [*common, "--steps", 100_000_000, "--out", killed]
    # What is ignored here, as in the background of a shell, would be ignored there.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [str(program), *map(str, endless)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 200
    while not (killed / "checkpoint.npz").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.Signals[ended_by])
    said = process.communicate()[1].decode()
    assert "Traceback" not in said
    codes = {"SIGKILL": -9, "SIGTERM": 143, "SIGINT": 130}
    assert process.returncode == codes[ended_by]
    with np.load(killed / "checkpoint.npz") as file:
        reached = int(file["step"])
    assert reached >= 100
    done = run_cli(*common, "--steps", reached + 200, "--out", killed)
    assert done.exit_code == 0, done.stderr
    assert f"continuing from step {reached:,}" in done.stderr
    done = run_cli(*common, "--steps", reached + 200, "--out", whole)
    assert done.exit_code == 0, done.stderr
    for name in ("COLVAR", "trajectory.xtc"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


def test_walls_stand_inside_a_grid_that_is_given(report):
    options = {"model": report, "structure": PDB, "n_steps": 1}
    (given,) = _ranges(BiasOptions(**options, grid=(-4.0, 11.0)))
    assert given.grid == (-4, 11)
    assert (given.lower, given.upper) == (-2, 9)
    # as far from the ends, in shares of the grid, as where it is proposed
    (proposed,) = _ranges(BiasOptions(**options))
    shares = [
        ((r.lower - r.grid[0]) / (r.grid[1] - r.grid[0])) for r in (given, proposed)
    ]
    assert shares[0] == pytest.approx(shares[1])
    (wide,) = _ranges(BiasOptions(**options, width=0.7))
    assert (wide.width, wide.grid) == (0.7, proposed.grid)


def test_bad_input_is_one_sentence(run_cli, report, tmp_path):
    out = tmp_path / "out"

    def bias(*options, structure=PDB, model=report, steps=20):
        return run_cli(
            "bias", model, structure, *options, "--steps", steps, "--out", out
        )

    refused(bias(), "--system", "--forcefield", "give one of them")
    refused(bias(*FIELD, "--system", "x.xml"), "give one of them")
    refused(bias(*FIELD, structure=tmp_path / "no.pdb"), "There is no file")
    refused(bias("--forcefield", "nonsense.xml"), "nonsense.xml")
    refused(bias(*FIELD, model=tmp_path), "holds no model")
    refused(bias(*FIELD, "--variable", 2), "--variable 2", "choose from 1 to 1")
    refused(bias(*FIELD, "--grid", 5, 1), "do not fit together")
    refused(bias(*FIELD, "--pbc", "--barrier", 1), "gives no bias")
    # atoms that the force field does not describe
    lines = PDB.read_text().splitlines()
    bare = tmp_path / "bare.pdb"
    bare.write_text("\n".join(x for x in lines if " H  " not in x) + "\n")
    refused(
        bias(*FIELD, structure=bare),
        "cannot describe",
        "missing 3 H atoms",
        "add hydrogens",
    )
    # a system of another molecule, and one that would execute what it holds
    small = tmp_path / "small.xml"
    system = openmm.System()
    system.addParticle(1.0)
    small.write_text(openmm.XmlSerializer.serialize(system))
    refused(bias("--system", small), "has 22 atoms", "1;")
    small.write_text('<System><Force type="PythonForce"/></System>')
    refused(bias("--system", small), "are executed when they are read")
    small.write_text("<State/>")
    refused(bias("--system", small), "OpenMM cannot read")
    assert not out.exists()
    out.mkdir()
    (out / "thesis.tex").write_text("")
    refused(bias(*FIELD), "something other than a biased simulation ('thesis.tex')")


def test_a_model_of_another_molecule_is_refused(run_cli, report, tmp_path):
    gly = PDB.parents[1] / "gly2" / "gly2.pdb"
    done = run_cli(
        "bias", report, gly, *FIELD, "--steps", 20, "--out", tmp_path / "out"
    )
    refused(done, "not those that the model was made for", "ALA2 of C3 N1 O1 there")


def test_a_model_without_a_record_is_refused(run_cli, report, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(report / "model", old / "model")
    (old / "model" / "training.safetensors").unlink()
    done = run_cli("bias", old, PDB, *FIELD, "--steps", 20, "--out", tmp_path / "out")
    refused(done, "holds no record of its training data", "learn it again")
