import warnings

import MDAnalysis as mda
import numpy as np
import pytest
from feature_systems import peptide

from mdgeomfeat import (
    GeomGNNFeaturizer,
    MDGeomFeatWarning,
    TokenDataset,
)
from mdgeomfeat.featurizer.results import FeatureResults


def test_time_steps_that_say_nothing(chain, options, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chain.atoms.write(tmp_path / "a.pdb", frames="all")
        models = mda.Universe(tmp_path / "a.pdb")
    r = GeomGNNFeaturizer(models, **options).run().results
    assert r.dt is None
    assert np.isnan(r.times).all()
    positions = chain.trajectory.timeseries(order="fac")
    chain.load_new(positions, dt=0.0)
    assert GeomGNNFeaturizer(chain, **options).run().results.dt is None
    assert GeomGNNFeaturizer(chain, **options).run(stop=1).results.dt is None


def test_unequal_time_steps_are_said(chain, options, tmp_path):
    files = []
    for number, dt in enumerate((1.0, 2.0)):
        files.append(tmp_path / f"run{number}.dcd")
        with mda.Writer(str(files[-1]), chain.atoms.n_atoms, dt=dt) as writer:
            for _ in chain.trajectory:
                writer.write(chain.atoms)
    chain.load_new([str(f) for f in files])
    feat = GeomGNNFeaturizer(chain, **options)
    message = (
        r"The time steps differ, so results\.dt is None: "
        r"1 ps \(.*run0\.dcd\), 2 ps \(.*run1\.dcd\)\."
    )
    with pytest.warns(MDGeomFeatWarning, match=message):
        assert feat.run().results.dt is None


@pytest.fixture
def glued(tmp_path):
    """Return a Universe of two files, of which the first is two runs in one."""
    u = peptide(2, 40)
    files = []
    for name, times in (("a", np.r_[0:20, 0:20]), ("b", np.r_[0:40])):
        files.append(str(tmp_path / f"{name}.xtc"))
        with mda.Writer(files[-1], u.atoms.n_atoms) as writer:
            for ts in u.trajectory:
                ts.time = 5.0 * times[ts.frame]
                writer.write(u.atoms)
    u.load_new(files)
    return u


def test_no_pair_crosses_a_seam(glued, options, tmp_path):
    runs = [(0, 20), (20, 40), (40, 80)]
    message = r"jump once, first from 95 to 0 ps at frame 20 of .*a\.xtc: a new piece"
    with pytest.warns(MDGeomFeatWarning, match=message):
        held = GeomGNNFeaturizer(glued, **options).run().results
    store = tmp_path / "features.zarr"
    with pytest.warns(MDGeomFeatWarning, match=message):
        GeomGNNFeaturizer(glued, **options, store=store).run()
    for results in (held, FeatureResults.load(store)):
        assert [(s.start, s.stop) for s in results.segments] == runs
        assert [len(x) for x in results.features_list()] == [20, 20, 40]
        assert results.dt == 5.0
    assert len(TokenDataset.from_store(store, 15)) == 5 + 5 + 25
    stepped = GeomGNNFeaturizer(glued, **options).run(step=2).results
    assert [s.stop for s in stepped.segments] == [10, 20, 40]
    assert stepped.dt == 10.0


def test_uneven_times_are_said(glued, options):
    message = r"a\.xtc has times that do not grow evenly, so lags"
    frames = [*range(0, 40, 10), *range(40, 80, 10)]
    with pytest.warns(MDGeomFeatWarning, match=message):
        results = GeomGNNFeaturizer(glued, **options).run(frames=frames).results
    assert (results.dt, len(results.segments)) == (None, 2)
