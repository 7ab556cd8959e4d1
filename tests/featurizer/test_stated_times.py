"""``dt=``: the time between the frames of each file, as the user states it."""

from __future__ import annotations

from pathlib import Path

import MDAnalysis as mda
import numpy as np
import pytest
from feature_systems import PickledPortions, peptide

from mdgeomfeat import GeomGNNFeaturizer, MDGeomFeatWarning
from mdgeomfeat.featurizer.results import FeatureResults


@pytest.fixture
def bare(tmp_path):
    """Return a Universe of two DCD files, of 20 and 12 frames, as VMD writes them."""
    u = peptide(3, 20)
    files = []
    for name, stop in (("a", 20), ("b", 12)):
        files.append(str(tmp_path / f"{name}.dcd"))
        with mda.Writer(files[-1], u.atoms.n_atoms, dt=0.04888821) as writer:
            for _ in u.trajectory[:stop]:
                writer.write(u.atoms)
        content = bytearray(Path(files[-1]).read_bytes())
        content[44:48] = np.float32(1).tobytes()
        Path(files[-1]).write_bytes(content)
    u.load_new(files)
    return u


def expected(step=1, dt=100.0):
    return dt * np.r_[0:20:step, 0:12:step]


def test_unknown_times_stay_unknown(bare, options, tmp_path):
    store = tmp_path / "f.zarr"
    held = GeomGNNFeaturizer(bare, **options).run().results
    GeomGNNFeaturizer(bare, **options, store=store).run()
    for results in (held, FeatureResults.load(store)):
        assert np.isnan(results.times).all()
        assert results.dt is None
        assert results.provenance["dt"] is None


@pytest.mark.parametrize("backend", ["serial", "portions"])
@pytest.mark.parametrize("step", [1, 3])
def test_times_are_counted_in_each_file_before_the_step(bare, options, backend, step):
    feat = GeomGNNFeaturizer(bare, **options, dt="0.1ns")
    frames = np.r_[0:20:step, 20:32:step]
    how = None if backend == "serial" else PickledPortions(2)
    results = feat.run(frames=frames, backend=how).results
    np.testing.assert_array_equal(results.times, expected(step))
    assert results.dt == pytest.approx(100.0 * step)
    assert results.provenance["dt"] == 100.0


def test_a_store_keeps_what_was_stated(bare, options, tmp_path):
    store = tmp_path / "f.zarr"
    first = GeomGNNFeaturizer(bare, **options, store=store).run().results
    scalars = np.asarray(first.scalars)
    # stated afterwards, without computing features again
    again = GeomGNNFeaturizer(bare, **options, store=store, dt=100).run().results
    for results in (again, FeatureResults.load(store)):
        np.testing.assert_array_equal(results.times, expected())
        assert (results.dt, results.provenance["dt"]) == (100.0, 100.0)
    np.testing.assert_array_equal(np.asarray(again.scalars), scalars)
    with pytest.warns(MDGeomFeatWarning, match="made with a stated time of 100 ps"):
        kept = GeomGNNFeaturizer(bare, **options, store=store).run().results
    np.testing.assert_array_equal(kept.times, expected())
    with pytest.warns(
        MDGeomFeatWarning, match="time of 100 ps .* replaced there by 7.5"
    ):
        other = GeomGNNFeaturizer(bare, **options, store=store, dt=7.5).run().results
    np.testing.assert_array_equal(other.times, expected(dt=7.5))


def test_a_stated_time_step_says_what_it_replaces(options, tmp_path):
    u = peptide(3, 8)
    path = str(tmp_path / "t.xtc")
    with mda.Writer(path, u.atoms.n_atoms) as writer:
        for _ in u.trajectory:
            writer.write(u.atoms)
    u.load_new(path)
    words = r"taken to be 5 ps, as stated with --dt \(dt=\), where .*t\.xtc has 2 ps"
    with pytest.warns(MDGeomFeatWarning, match=words):
        results = GeomGNNFeaturizer(u, **options, dt=5).run(step=2).results
    np.testing.assert_array_equal(results.times, [0, 10, 20, 30])
    assert results.dt == 10.0


def test_equal_times_are_said(options):
    u = peptide(3, 8)
    u.load_new(u.trajectory.timeseries(order="fac"), dt=0.0)
    with pytest.warns(MDGeomFeatWarning, match="doubtful: its frames all have the ti"):
        assert GeomGNNFeaturizer(u, **options).run().results.dt is None
