"""Work that is shared out among real processes: the same bits, and never a hang."""

import pickle
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from feature_systems import peptide

from mdgeomfeat import GeomGNNFeaturizer, InputError, MDGeomFeatWarning
from mdgeomfeat.featurizer.parallel import (
    DaskBackend,
    InProcessBackend,
    SpawnBackend,
    make_backend,
    usable_cores,
)

# Runs in an interpreter of its own: only there is it sure that nothing but this has
# started threads, and a hang ends with the timeout.
SCRIPT = """
import sys, warnings
sys.path.insert(0, {tests!r})
warnings.simplefilter("ignore")
import numba, numpy as np, torch
from feature_systems import peptide
from mdgeomfeat import GeomGNNFeaturizer

def main():
    torch.set_num_threads(2)
    numba.set_num_threads(2)
    x = torch.rand(600, 600)
    (x @ x).sum()
    options = dict(model={model!r}, engine="torch", device="cpu", batch_size=3)
    u = peptide(n_frames=20)
    mask = np.arange(20) % 7 != 3
    serial = GeomGNNFeaturizer(u, **options).run(frames=mask).results
    assert torch.get_num_threads() == 2
    {work}
    for name in ("positions", "frames", "times", "trajectory"):
        np.testing.assert_array_equal(got[name], serial[name])
    for name in ("scalars", "vectors"):
        error = np.linalg.norm(np.asarray(got[name]) - serial[name])
        assert error < 1e-6 * np.linalg.norm(serial[name]), error
    print("the same", len(got.frames))

{start}
"""
GUARDED = 'if __name__ == "__main__":\n    main()'


def script(tmp_path, model, work, *, start=GUARDED, timeout=300):
    from mdgeomfeat.gnn import save_model

    path = tmp_path / "tiny.safetensors"
    save_model(model, path, {})
    file = tmp_path / "script.py"
    file.write_text(
        SCRIPT.format(
            tests=str(Path(__file__).parents[1]),
            model=str(path),
            work=textwrap.indent(textwrap.dedent(work), " " * 4).strip(),
            start=start,
        )
    )
    return subprocess.run(
        [sys.executable, str(file)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_multiprocessing_after_threads_does_not_hang(tmp_path, model):
    work = """
    feat = GeomGNNFeaturizer(u, **options)
    got = feat.run(
        frames=mask, backend="multiprocessing", n_workers=2, verbose=True
    ).results
    """
    done = script(tmp_path, model, work)
    assert done.stdout.strip() == "the same 17", done.stderr
    assert "17/17" in done.stderr


@pytest.mark.parametrize("backend", ["multiprocessing", "dask"])
def test_processes_write_one_store_without_touching_each_other(
    tmp_path, model, backend
):
    if backend == "dask":
        pytest.importorskip("dask")
    work = f"""
    # Nine chunks of four frames, the last of each trajectory shorter; the cpu engine
    # gives the same bits for any number of threads.
    import warnings, zarr
    import MDAnalysis as mda
    from mdgeomfeat.featurizer import TokenEncoder
    TokenEncoder.chunk_size = 4
    files = []
    for k, n in enumerate((17, 14)):
        p = peptide(n_frames=n, seed=k)
        files.append({str(tmp_path)!r} + f"/run{{k}}.dcd")
        p.atoms.write(files[-1], frames="all")
    p.atoms.write({str(tmp_path)!r} + "/top.pdb")
    two = mda.Universe({str(tmp_path)!r} + "/top.pdb", files)
    options |= dict(engine="cpu", batch_size=4)
    stores = [{str(tmp_path)!r} + name for name in ("/serial.zarr", "/many.zarr")]
    GeomGNNFeaturizer(two, **options, store=stores[0]).run()
    told = []
    GeomGNNFeaturizer(two, **options, store=stores[1]).run(
        backend={backend!r}, n_workers=2, advance=told.append
    )
    assert sum(told) == 31 and len(told) == 9, told
    from pathlib import Path
    trees = [
        {{p.relative_to(s): p.read_bytes() for p in Path(s).rglob("*") if p.is_file()}}
        for s in stores
    ]
    assert trees[0] == trees[1]
    assert zarr.open_group(stores[1])["trajectory-0000/scalars"].shape[0] == 17
    got = serial
    """
    done = script(tmp_path, model, work)
    assert done.stdout.strip() == "the same 17", done.stderr


def running(pid):
    """Whether a process still does anything (Linux)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_workers_end_with_a_parent_that_was_killed(tmp_path, model):
    store = tmp_path / "f.zarr"
    work = f"""
    import multiprocessing, os, signal

    def die(n):
        print(*[p.pid for p in multiprocessing.active_children()], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    u = peptide(n_frames=400)
    options |= dict(store={str(store)!r}, engine="cpu", batch_size=8)
    GeomGNNFeaturizer(u, **options).run(
        backend="multiprocessing", n_workers=2, advance=die
    )
    """
    done = script(tmp_path, model, work)
    workers = [int(word) for word in done.stdout.split()]
    assert len(workers) == 2, done.stderr
    patience = time.monotonic() + 60
    while any(map(running, workers)) and time.monotonic() < patience:
        time.sleep(0.05)
    assert not any(map(running, workers))
    options = {"model": tmp_path / "tiny.safetensors", "engine": "cpu"}
    options |= {"device": "cpu", "batch_size": 8, "store": store}
    universe = peptide(n_frames=400)
    with pytest.warns(MDGeomFeatWarning, match="of 400 frames already"):
        got = GeomGNNFeaturizer(universe, **options).run().results
    options["store"] = tmp_path / "whole.zarr"
    want = GeomGNNFeaturizer(universe, **options).run().results
    for name in ("scalars", "vectors", "positions", "times", "frames"):
        np.testing.assert_array_equal(got[name], want[name])


def test_a_script_without_a_guard_is_told_so(tmp_path, model):
    work = """
    got = GeomGNNFeaturizer(u, **options).run(
        frames=mask, backend="multiprocessing", n_workers=1
    ).results
    """
    done = script(tmp_path, model, work, start="main()")
    assert done.returncode != 0
    assert "InputError: A worker process ended before its portion" in done.stderr
    assert "if __name__ == '__main__':" in done.stderr.splitlines()[-1]


@pytest.fixture
def client():
    distributed = pytest.importorskip("distributed")
    with distributed.Client(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None
    ) as client:
        yield client


def test_a_client_whose_workers_are_threads(client, options, capfd):
    u = peptide(n_frames=11)
    feat = GeomGNNFeaturizer(u, **options, batch_size=2)
    serial = feat.run().results
    got = feat.run(backend=client, verbose=True).results
    for name in ("scalars", "vectors", "positions", "times", "frames"):
        np.testing.assert_array_equal(got[name], serial[name])
    assert "11/11" in capfd.readouterr().err
    u.trajectory.coordinate_array[5] = np.nan
    with pytest.raises(InputError, match="Frame 5 of the trajectory in memory"):
        feat.run(backend=client)


@pytest.mark.slow
def test_a_cluster_of_two_processes_writes_one_store(options, data, tmp_path):
    distributed = pytest.importorskip("distributed")
    import MDAnalysis as mda

    files = [str(data / "gly2" / f"gly2-{k}.xtc") for k in (0, 1)]
    u = mda.Universe(data / "gly2" / "gly2.pdb", files)
    # The torch engine's last bits depend on the number of its threads, which is one
    # in a worker; the cpu engine's threads share out whole frames.
    options |= {"batch_size": 16, "engine": "cpu"}
    memory = GeomGNNFeaturizer(u, **options).run(step=20).results
    stores = [tmp_path / "serial.zarr", tmp_path / "cluster.zarr"]
    GeomGNNFeaturizer(u, **options, store=stores[0]).run(step=20)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        feat = GeomGNNFeaturizer(u, **options, store=stores[1])
        told = []
        got = feat.run(step=20, backend=client, advance=told.append).results
    assert sum(told) == len(memory.frames) == 500
    assert len(told) > 2
    np.testing.assert_array_equal(got.features, memory.features)
    np.testing.assert_array_equal(got.trajectory, memory.trajectory)
    trees = [
        {p.relative_to(s): p.read_bytes() for p in s.rglob("*") if p.is_file()}
        for s in stores
    ]
    assert trees[0] == trees[1]


def test_workers_decide_on_the_engine_and_all_use_the_same(client, options, chain):
    where = []
    feat = GeomGNNFeaturizer(chain, **options | {"engine": "auto"})

    def elsewhere(func, *args):
        where.append(func)
        return client.submit(lambda: {"engine": "torch", "device": "cpu"}).result()

    settled = feat._encoder.settled(elsewhere)
    assert len(where) == 1
    copy = pickle.loads(pickle.dumps(settled))
    assert copy.engine.name == "torch"
    assert copy.provenance()["engine"] == "torch"
    # The featurizer's own is as it was: a run asks anew, here of the client's workers.
    assert feat._encoder.provenance()["engine"] == "auto"
    assert feat.run(backend=client).results.engine == "cpu"


def test_backends_are_replaced_by_ours():
    from MDAnalysis.analysis import backends

    assert isinstance(make_backend(None, None), InProcessBackend)
    assert isinstance(make_backend("serial", 4), InProcessBackend)
    assert isinstance(make_backend("multiprocessing", 2), SpawnBackend)
    assert make_backend("multiprocessing", None).n_workers == usable_cores()
    theirs = backends.BackendMultiprocessing(n_workers=3)
    ours = make_backend(theirs, None)
    assert isinstance(ours, SpawnBackend)
    assert ours.n_workers == 3
    theirs = backends.BackendDask(n_workers=3)
    assert isinstance(make_backend(theirs, None), DaskBackend)
    assert make_backend(object(), None) is None


def test_what_cannot_be_shared_out_is_said(chain, options):
    feat = GeomGNNFeaturizer(chain, **options)
    with pytest.raises(InputError, match="backend='mpi' is not known; use 'serial'"):
        feat.run(backend="mpi")
    with pytest.raises(InputError, match="n_workers=0 must be a positive integer"):
        feat.run(backend="multiprocessing", n_workers=0)
    chain.trajectory.add_transformations(lambda ts: ts)
    with pytest.raises(
        InputError, match=r"cannot be sent to other processes .*'serial'"
    ):
        feat.run(backend="multiprocessing", n_workers=1)


def test_transformations_that_need_one_process(chain, options):
    from MDAnalysis.transformations import PositionAverager

    chain.trajectory.add_transformations(PositionAverager(2))
    feat = GeomGNNFeaturizer(chain, **options)
    with pytest.raises(InputError, match="PositionAverager needs the frames in one"):
        feat.run(backend="multiprocessing", n_workers=1)
