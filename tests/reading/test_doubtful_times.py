"""Times that programs write where they know none are used, and said to be doubtful."""

from __future__ import annotations

import json
import warnings

import MDAnalysis as mda
import mdtraj
import numpy as np
import pytest
from MDAnalysis.lib.formats.libdcd import DCDFile
from molecules import N_ATOMS, frames, pdb
from typer.testing import CliRunner

from mdgeomfeat import GeomGNNFeaturizer
from mdgeomfeat.cli.app import app
from mdgeomfeat.errors import MDGeomFeatWarning
from mdgeomfeat.reading import open_universe, trajectory_info

AKMA = 0.04888821  # ps
SAID = "are exactly 1 ps apart, as MDAnalysis and mdtraj write where they know none"


@pytest.fixture
def files(tmp_path):
    pdb(tmp_path / "top.pdb", frames(1))
    return tmp_path


def written_by_mdanalysis(files, name, step=None, steps=None, **kwargs):
    u = mda.Universe(str(files / "top.pdb"))
    u.load_new(frames(5), order="fac", **({} if step is None else {"dt": step}))
    path = files / name
    with mda.Writer(str(path), N_ATOMS, **kwargs) as out:
        for i, ts in enumerate(u.trajectory):
            if steps is not None:
                ts.data["step"] = steps * i
            out.write(u.atoms)
    return path


def written_by_mdtraj(files, name):
    one = mdtraj.load(files / "top.pdb")
    path = files / name
    mdtraj.Trajectory(frames(5) / 10, one.top).save(str(path))
    return path


def doubts(files, *paths, dt=None):
    u = open_universe([files / "top.pdb", *paths], dt=dt)
    return [info.doubt for info in trajectory_info(u, dt)]


@pytest.mark.filterwarnings("ignore:No dimensions", "ignore:Reader has no dt")
@pytest.mark.parametrize("name", ["a.xtc", "a.trr", "a.dcd", "a.nc", "a.trz"])
def test_what_mdanalysis_writes_without_times(files, name):
    assert doubts(files, written_by_mdanalysis(files, name)) == [SAID]


@pytest.mark.parametrize("name", ["a.xtc", "a.trr", "a.nc", "a.h5"])
def test_what_mdtraj_writes_without_times(files, name):
    assert doubts(files, written_by_mdtraj(files, name)) == [SAID]


@pytest.mark.filterwarnings("ignore:No dimensions", "ignore:Reader has no dt")
@pytest.mark.parametrize("name", ["a.xtc", "a.trr", "a.dcd", "a.nc"])
def test_other_time_steps_are_believed(files, name):
    told = {"dt": 2.0} if name == "a.dcd" else {}
    assert doubts(files, written_by_mdanalysis(files, name, step=2.0, **told)) == [None]


@pytest.mark.filterwarnings("ignore:No dimensions", "ignore:Reader has no dt")
def test_mdanalysis_writes_dcd_files_of_one_picosecond_unless_told(files):
    path = written_by_mdanalysis(files, "a.dcd", step=2.0)
    assert doubts(files, path) == [SAID]


@pytest.mark.filterwarnings("ignore:No dimensions", "ignore:Reader has no dt")
@pytest.mark.parametrize("name", ["a.xtc", "a.trr"])
def test_simulations_that_keep_a_frame_each_picosecond(files, name):
    assert doubts(files, written_by_mdanalysis(files, name, steps=500)) == [None]


@pytest.mark.parametrize(("nsavc", "said"), [(1, SAID), (500, None)])
def test_dcd_files_count_their_time_steps(files, nsavc, said):
    path = files / "a.dcd"
    with DCDFile(str(path), "w") as file:
        file.write_header("", N_ATOMS, 0, nsavc, 1 / nsavc / AKMA, 0)
        for frame in frames(4):
            file.write(frame.astype(np.float32), np.zeros(6))
    (info,) = trajectory_info(open_universe([files / "top.pdb", path]))
    assert info.dt == pytest.approx(1.0)
    assert info.doubt == said


@pytest.mark.filterwarnings("ignore:No dimensions", "ignore:Reader has no dt")
def test_a_part_of_such_a_file_is_no_better(files):
    whole = written_by_mdanalysis(files, "a.xtc")
    u = mda.Universe(str(files / "top.pdb"), str(whole))
    with mda.Writer(str(files / "part.xtc"), N_ATOMS) as out:
        for _ in u.trajectory[2:]:
            out.write(u.atoms)
    assert doubts(files, files / "part.xtc") == [SAID]


@pytest.mark.filterwarnings("ignore:No dimensions", "ignore:Reader has no dt")
def test_stating_the_step_ends_the_doubt(files):
    path = written_by_mdanalysis(files, "a.dcd")
    assert doubts(files, path, dt=50.0) == [None]


@pytest.mark.filterwarnings("ignore:No dimensions", "ignore:Reader has no dt")
@pytest.mark.parametrize("name", ["a.dcd", "a.xtc"])
def test_every_command_says_it(files, name, monkeypatch):
    path = written_by_mdanalysis(files, name)
    monkeypatch.chdir(files)
    run = CliRunner()
    options = ["top.pdb", name, "--select", "all", "--allow-implausible"]
    shown = run.invoke(app, ["info", *options]).output
    assert "doubtful: its frames are exactly 1 ps apart" in " ".join(shown.split())
    numbers = json.loads(run.invoke(app, ["info", *options, "--json"]).output)
    assert numbers["trajectories"][0]["doubt"] == SAID
    done = run.invoke(app, ["features", *options, "--out", "f"])
    assert done.exit_code == 0, done.output
    told = json.loads((files / "f" / "summary.json").read_text())["warnings"]
    said = f"The times in {name} are doubtful: its frames {SAID}"
    assert any(said in warning for warning in told)

    u = mda.Universe(str(files / "top.pdb"), str(path))
    with pytest.warns(MDGeomFeatWarning, match="are exactly 1 ps apart"):
        GeomGNNFeaturizer(u, select="all", allow_implausible=True).run()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        GeomGNNFeaturizer(u, select="all", allow_implausible=True, dt="5ps").run()
    assert not [w for w in caught if "are exactly 1 ps" in str(w.message)]


@pytest.mark.parametrize("backend", ["serial", "multiprocessing"])
def test_nobody_hears_of_the_step_that_mdanalysis_makes_up(files, backend):
    pdb(files / "models.pdb", frames(3))
    u = mda.Universe(str(files / "models.pdb"))
    many = {} if backend == "serial" else {"n_workers": 2}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = (
            GeomGNNFeaturizer(u, select="all", allow_implausible=True)
            .run(backend=backend, **many)
            .results
        )
    assert np.isnan(results.times).all()
    assert not [w for w in caught if "no dt information" in str(w.message)]
