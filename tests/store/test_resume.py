"""Runs that end too early, and what the next one makes of them."""

import os
import random
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import MDAnalysis as mda
import MDAnalysis.transformations
import numpy as np
import pytest
import torch
import zarr
from feature_systems import PickledPortions, peptide

from mdgeomfeat import GeomGNNFeaturizer, InputError, MDGeomFeatWarning
from mdgeomfeat.featurizer.encoder import TokenEncoder
from mdgeomfeat.featurizer.results import FeatureResults
from mdgeomfeat.gnn import random_twin, save_model
from mdgeomfeat.gnn.engine import Engine
from mdgeomfeat.store import FeatureStore, StoreLock

ARRAYS = ("scalars", "vectors", "positions", "times", "frames", "trajectory")


def same(got, want):
    for name in ARRAYS:
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)


def write_runs(folder, *lengths):
    """Write trajectories of a peptide; return the topology and their files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = [folder / "top.pdb"]
        for k, n_frames in enumerate(lengths):
            u = peptide(n_residues=3, n_frames=n_frames, seed=k)
            u.atoms.write(files[0])
            files.append(folder / f"run{k}.dcd")
            u.atoms.write(files[-1], frames="all")
    return files


@pytest.fixture
def runs(tmp_path):
    return write_runs(tmp_path, 300, 200)


@pytest.fixture
def long_runs(tmp_path):
    return write_runs(tmp_path, 2000, 1500)


@pytest.fixture
def universe(runs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mda.Universe(runs[0], [str(f) for f in runs[1:]])


@pytest.fixture
def options(options):
    # A chunk holds 64 frames then: 5 of the first trajectory and 4 of the second.
    return options | {"batch_size": 16, "engine": "cpu"}


@pytest.fixture
def computed(monkeypatch):
    """Count the frames that are computed."""
    sizes = []
    encode = TokenEncoder.encode

    def counting(self, positions, boxes=None):
        sizes.append(len(positions))
        return encode(self, positions, boxes)

    monkeypatch.setattr(TokenEncoder, "encode", counting)
    return sizes


KILLER = """
import os, pathlib, random, signal, sys, time, warnings
warnings.simplefilter("ignore")
import MDAnalysis as mda
import MDAnalysis.transformations
import torch
from mdgeomfeat import GeomGNNFeaturizer

torch.set_num_threads(1)
store = pathlib.Path({store!r})
universe = mda.Universe({top!r}, {files!r})
feat = GeomGNNFeaturizer(
    universe, model={model!r}, engine="cpu", batch_size=8, store=store
)
feat._encoder.settled()

def start():
    # No thread runs in this process, so that forking it is safe.
    child = os.fork()
    if child == 0:
        feat.run()
        os._exit(0)
    return child

def killed(child, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True

rng = random.Random(1)
chunks = []
seconds = 0.1
while killed(start(), seconds * rng.uniform(0.5, 1.5)):
    chunks.append(len(list(store.glob("*/frames/c.*"))))
    # Long enough, at last, for a slow machine to come further than the last time.
    seconds *= 1.0 if len(set(chunks[-3:])) == 3 else 1.2
print(*chunks)
"""


def test_a_run_killed_again_and_again_ends_like_one_that_was_not(
    tmp_path, long_runs, model
):
    path, store = tmp_path / "tiny.safetensors", tmp_path / "features.zarr"
    save_model(model, path, {})
    files = [str(f) for f in long_runs]
    script = KILLER.format(
        top=files[0], files=files[1:], model=str(path), store=str(store)
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    chunks = [int(n) for n in done.stdout.split()]
    # Not all in the beginning, and none that lost what stood there before.
    assert len(set(chunks)) >= 3
    assert chunks == sorted(chunks)
    universe = mda.Universe(files[0], files[1:])
    options = {"model": path, "engine": "cpu", "batch_size": 8}
    whole = tmp_path / "whole.zarr"
    results = GeomGNNFeaturizer(universe, **options, store=whole).run().results
    same(FeatureResults.load(store), results)
    assert tree(store) == tree(whole)


def tree(store):
    """Return every file of a store with its bytes, and what the root tells."""
    files = {p.relative_to(store): p for p in store.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in files.items()}


@pytest.mark.parametrize("backend", ["serial", PickledPortions(2)])
def test_only_what_is_missing_is_computed(
    universe, options, tmp_path, computed, backend
):
    path = tmp_path / "f.zarr"
    whole = GeomGNNFeaturizer(universe, **options, store=path).run()
    before = tree(path)
    for trajectory, name in ((0, "vectors/c.1.0.0.0"), (1, "times/c.3")):
        (path / f"trajectory-{trajectory:04d}" / name).unlink()
    computed.clear()
    told = []
    feat = GeomGNNFeaturizer(universe, **options, store=path)
    with pytest.warns(MDGeomFeatWarning, match="holds 428 of 500 frames already, and"):
        feat.run(backend=backend, advance=told.append)
    assert sum(computed) == 64 + 8
    assert told[0] > 428
    assert sum(told) == 500
    same(feat.results, whole.results)
    assert tree(path) == before


def test_a_finished_store_is_opened(universe, options, tmp_path, computed):
    path = tmp_path / "f.zarr"
    first = GeomGNNFeaturizer(universe, **options, store=path).run(step=5)
    computed.clear()
    again = GeomGNNFeaturizer(universe, **options, store=path)
    with pytest.warns(MDGeomFeatWarning, match="already, so nothing is computed; over"):
        again.run(step=5)
    assert computed == []
    same(again.results, first.results)
    np.testing.assert_array_equal(again.frames, first.frames)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*already", MDGeomFeatWarning)
        GeomGNNFeaturizer(universe, **options, store=path, overwrite=True).run(step=5)
    assert sum(computed) == 100
    assert os.listdir(tmp_path).count("f.zarr.lock") == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"select": "name CA"}, r"selection of 12 atoms in 3 tokens \(now of 3 atoms"),
        (
            {"tokens": "atom"},
            r"selection of 12 atoms in 3 tokens \(now of 12 atoms in 12 tokens\)",
        ),
        ({"window": 1}, r"window None \(now 1\)"),
        ({"batch_size": 8}, r"batch_size 16 \(now 8\)"),
        ({"store_dtype": "float16"}, r"store_dtype float32 \(now float16\)"),
        ({"dtype": "float64", "engine": "torch"}, r"dtype float32 \(now float64\)"),
        ({"engine": "torch"}, r"engine cpu \(now torch\)"),
    ],
)
def test_another_run_is_refused(universe, options, tmp_path, change, message):
    options |= {"store": tmp_path / "f.zarr"}
    GeomGNNFeaturizer(universe, **options).run(stop=20)
    with pytest.raises(InputError, match=f"was made with {message}"):
        GeomGNNFeaturizer(universe, **options | change).run(stop=20)


def test_other_frames_models_and_files_are_refused(
    universe, runs, options, model, tmp_path
):
    path = tmp_path / "f.zarr"
    options |= {"store": path}
    GeomGNNFeaturizer(universe, **options).run(stop=20)
    feat = GeomGNNFeaturizer(universe, **options)
    with pytest.raises(InputError, match=r"frames 0 to 19 \(20 in all\) \(now 0 to 38"):
        feat.run(stop=40, step=2)
    twin = random_twin(model, 5)
    with pytest.raises(InputError, match="made with model ET of another content; name"):
        GeomGNNFeaturizer(universe, **options | {"model": twin}).run(stop=20)
    shutil.copy(runs[2], runs[1])
    with pytest.raises(InputError, match=r"trajectory 1 run0\.dcd of another content;"):
        GeomGNNFeaturizer(universe, **options).run(stop=20)
    universe.trajectory.add_transformations(lambda ts: ts)
    with pytest.raises(InputError, match=r"transformations none \(now <lambda>\)"):
        GeomGNNFeaturizer(universe, **options).run(stop=20)


def scaled(factor):
    def scale(ts):
        ts.positions = ts.positions * factor
        return ts

    return scale


@pytest.mark.parametrize(
    "change",
    [
        lambda u: u.trajectory.add_transformations(scaled(1.1)),
        lambda u: u.trajectory.add_transformations(
            MDAnalysis.transformations.set_dimensions([60, 60, 60, 90, 90, 90])
        ),
    ],
    ids=["positions", "box"],
)
def test_files_read_in_another_way_are_refused(runs, options, tmp_path, change):
    options |= {"store": tmp_path / "f.zarr"}

    def opened():
        return mda.Universe(runs[0], [str(f) for f in runs[1:]])

    first, second = opened(), opened()
    first.trajectory.add_transformations(scaled(1.0))
    GeomGNNFeaturizer(first, **options).run(stop=20)
    change(second)
    with pytest.raises(InputError, match="boxes or times as they were read of another"):
        GeomGNNFeaturizer(second, **options).run(stop=20)


def test_other_boundaries_between_trajectories_are_refused(options, tmp_path):
    u = peptide(n_residues=3, n_frames=60)
    files = [tmp_path / f"{name}.xtc" for name in ("a", "b")]
    for file, frames in zip(files, (u.trajectory[:32], u.trajectory[30:]), strict=True):
        u.atoms.write(file, frames=frames)
    u.atoms.write(tmp_path / "top.pdb")
    options |= {"store": tmp_path / "f.zarr"}

    def opened(**how):
        return mda.Universe(tmp_path / "top.pdb", [str(f) for f in files], **how)

    GeomGNNFeaturizer(opened(), **options).run(stop=60)
    feat = GeomGNNFeaturizer(opened(continuous=True), **options)
    with pytest.raises(InputError, match=r"begin at frame 0, 32 \(now that begin at"):
        feat.run(stop=60)


def test_transformations_with_a_memory_do_not_go_into_a_store(
    universe, options, tmp_path
):
    universe.trajectory.add_transformations(
        MDAnalysis.transformations.PositionAverager(3, check_reset=True)
    )
    GeomGNNFeaturizer(universe, **options).run(stop=5)
    feat = GeomGNNFeaturizer(universe, **options, store=tmp_path / "f.zarr")
    with pytest.raises(InputError, match="PositionAverager remembers earlier frames"):
        feat.run(stop=5)
    assert not (tmp_path / "f.zarr").exists()


def test_a_finished_store_is_opened_where_nothing_can_be_written(
    universe, options, tmp_path, monkeypatch
):
    path = tmp_path / "f.zarr"
    first = GeomGNNFeaturizer(universe, **options, store=path).run(stop=20)
    before = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*")}
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    again = GeomGNNFeaturizer(universe, **options, store=path).run(stop=20)
    same(again.results, first.results)
    assert {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*")} == before


def test_files_may_move(universe, runs, options, tmp_path, computed):
    options |= {"store": tmp_path / "f.zarr"}
    GeomGNNFeaturizer(universe, **options).run(stop=20)
    files = [shutil.copy(f, tmp_path / f"moved-{f.name}") for f in runs]
    moved = mda.Universe(files[0], [str(f) for f in files[1:]])
    computed.clear()
    with pytest.warns(MDGeomFeatWarning, match="nothing is computed"):
        GeomGNNFeaturizer(moved, **options).run(stop=20)
    assert computed == []


def test_other_versions_are_said_and_put_down(universe, options, tmp_path, monkeypatch):
    options |= {"store": tmp_path / "f.zarr"}
    GeomGNNFeaturizer(universe, **options).run(stop=100)
    (tmp_path / "f.zarr/trajectory-0000/frames/c.1").unlink()
    monkeypatch.setattr(mda, "__version__", "9.9.9")
    with pytest.warns(MDGeomFeatWarning) as said:
        GeomGNNFeaturizer(universe, **options).run(stop=100)
    assert re.search(
        r"begun with MDAnalysis [\d.]+ \(now 9\.9\.9\); ", str(said[1].message)
    )
    store = zarr.open_group(tmp_path / "f.zarr", mode="r")
    assert store.attrs["continued_with"] == [{"MDAnalysis": "9.9.9"}]


def test_the_batch_size_of_the_store_is_kept(universe, options, tmp_path, monkeypatch):
    options = options | {"store": tmp_path / "f.zarr", "batch_size": 4}
    GeomGNNFeaturizer(universe, **options).run()
    (tmp_path / "f.zarr/trajectory-0001/frames/c.0").unlink()
    feat = GeomGNNFeaturizer(universe, **options | {"batch_size": "auto"})
    with pytest.warns(MDGeomFeatWarning, match="436 of 500"):
        feat.run()
    assert feat.results.provenance["batch_size"] == 4


def test_a_run_that_a_bad_frame_has_stopped_goes_on_without_it(
    options, tmp_path, computed
):
    u = peptide(n_residues=3, n_frames=150)
    u.trajectory.coordinate_array[100, 3, 1] = np.nan
    options |= {"store": tmp_path / "f.zarr"}
    with pytest.raises(InputError, match="Frame 100 of the trajectory in memory"):
        GeomGNNFeaturizer(u, **options).run()
    assert len(FeatureStore(tmp_path / "f.zarr", unfinished=True)["frames"]) == 64
    computed.clear()
    feat = GeomGNNFeaturizer(u, **options, skip_bad_frames=True)
    with pytest.warns(MDGeomFeatWarning, match="1 frame could not be used"):
        r = feat.run().results
    assert sum(computed) == 149 - 64
    np.testing.assert_array_equal(r.frames, np.delete(np.arange(150), 100))
    np.testing.assert_array_equal(r.times, 2.0 * r.frames)
    assert np.isfinite(np.asarray(r.scalars)).all()


def test_chunks_without_a_good_frame_or_a_time_are_finished(options, tmp_path):
    def spoil(ts):
        if 64 <= ts.frame < 128:
            ts.positions[:] = np.nan
        return ts

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u = peptide(n_residues=3, n_frames=150)
        u.atoms.write(tmp_path / "models.pdb", frames="all")
        models = mda.Universe(tmp_path / "models.pdb")
    models.trajectory.add_transformations(spoil)
    options |= {"store": tmp_path / "f.zarr", "skip_bad_frames": True}
    with pytest.warns(MDGeomFeatWarning, match="64 frames could not be used"):
        r = GeomGNNFeaturizer(models, **options).run().results
    assert len(r.frames) == 150 - 64
    assert np.isnan(r.times).all()
    with pytest.warns(MDGeomFeatWarning, match="nothing is computed"):
        GeomGNNFeaturizer(models, **options).run()


def test_two_runs_do_not_write_one_store(universe, options, tmp_path):
    path = tmp_path / "f.zarr"
    feat = GeomGNNFeaturizer(universe, **options, store=path)
    with StoreLock(path), pytest.raises(InputError, match="is being written by proce"):
        feat.run(stop=5)
    assert not path.exists()
    feat.run(stop=5)
    assert not path.with_name("f.zarr.lock").exists()


def test_half_precision_halves_the_tokens_only(universe, options, tmp_path):
    exact = GeomGNNFeaturizer(universe, **options).run(stop=100).results
    options |= {"store": tmp_path / "f.zarr", "store_dtype": "float16"}
    half = GeomGNNFeaturizer(universe, **options).run(stop=100).results
    assert half.scalars.dtype == half.vectors.dtype == np.float16
    np.testing.assert_allclose(half.scalars, exact.scalars, rtol=2**-11, atol=1e-7)
    np.testing.assert_array_equal(half.positions, exact.positions)
    assert half.features.dtype == np.float32
    np.testing.assert_allclose(half.features, exact.features, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("stored", [False, True])
def test_a_gpu_that_is_too_small_gets_smaller_batches(
    universe, options, tmp_path, monkeypatch, stored
):
    want = GeomGNNFeaturizer(universe, **options).run(stop=100).results
    compute = Engine.compute
    refused = []

    def limited(self, numbers, positions, boxes=None, windows=None):
        if len(positions) > 5:
            refused.append(len(positions))
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return compute(self, numbers, positions, boxes, windows)

    monkeypatch.setattr(Engine, "compute", limited)
    if stored:
        options |= {"store": tmp_path / "f.zarr"}
    with pytest.warns(MDGeomFeatWarning) as said:
        r = GeomGNNFeaturizer(universe, **options).run(stop=100).results
    assert refused == [16, 8]
    lines = [str(w.message) for w in said if "GPU" in str(w.message)]
    assert lines == [
        f"The GPU's memory is too small for {n} frames at once; "
        f"continuing with {n // 2}."
        for n in (16, 8)
    ]
    assert r.provenance["batch_size"] == 16
    assert r.provenance["smallest_batch"] == 4
    difference = np.linalg.norm(np.asarray(r.scalars) - want.scalars)
    assert difference < 1e-5 * np.linalg.norm(want.scalars)


def test_a_gpu_that_cannot_hold_one_frame_is_said(universe, options, monkeypatch):
    def refuse(self, *_, **__):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Engine, "compute", refuse)
    options |= {"batch_size": 1, "engine": "torch"}
    feat = GeomGNNFeaturizer(universe, **options)
    with pytest.raises(InputError, match="One frame of 12 atoms does not fit into the"):
        feat.run(stop=20)


def test_provenance_tells_the_files(universe, runs, options, tmp_path):
    import hashlib

    feat = GeomGNNFeaturizer(universe, **options, store=tmp_path / "f.zarr")
    told = feat.run(stop=5).results.provenance
    assert [Path(entry["name"]) for entry in told["inputs"]] == runs
    for entry, file in zip(told["inputs"], runs, strict=True):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert entry["checksum"] == f"sha256:{digest}"
        assert entry["bytes"] == file.stat().st_size
    for name in ("mdgeomfeat", "MDAnalysis", "torch", "numpy", "zarr", "numba"):
        assert told[name]
    assert len(told["model_card_sha256"]) == 64
    assert told["features"]["select"] is None
    assert told["box_used"] is False


def test_checksums_of_large_files_see_every_rewriting(tmp_path):
    from mdgeomfeat.featurizer.inputs import checksum

    path = tmp_path / "large.bin"
    content = random.Random(0).randbytes(20 << 20)
    path.write_bytes(content)
    first = checksum(path)
    assert first.startswith("sha256-of-16-blocks:")
    for other in (content[:-1], content + b"x", b"x" + content[1:], content[::-1]):
        path.write_bytes(other)
        assert checksum(path) != first
    path.write_bytes(content)
    assert checksum(path) == first
