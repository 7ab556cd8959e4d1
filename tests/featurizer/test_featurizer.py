import pickle
import warnings

import MDAnalysis as mda
import numpy as np
import pytest
from feature_systems import PickledPortions, error, peptide
from MDAnalysis.lib.distances import calc_dihedrals
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mdgeomfeat import (
    GeomGNNFeaturizer,
    InputError,
    MDGeomFeatWarning,
    memory,
)
from mdgeomfeat.featurizer import encoder
from mdgeomfeat.featurizer.results import FeatureResults
from mdgeomfeat.gnn import save_model

ARRAYS = ("scalars", "vectors", "positions", "times", "frames", "trajectory")


def same(got, want, names=ARRAYS):
    for name in names:
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)


def test_results_are_what_the_documentation_promises(chain, options):
    feat = GeomGNNFeaturizer(chain, **options)
    assert feat.run(step=2) is feat
    r = feat.results
    assert r.scalars.shape == (4, 6, 16)
    assert r.vectors.shape == (4, 6, 3, 16)
    assert r.scalars.dtype == r.vectors.dtype == r.positions.dtype == np.float32
    assert r.token_features.shape == (4, 6, 16 + 48)
    assert r.features.shape == (4, 6 * 64)
    assert r.invariants("norms").shape == (4, 6, 32)
    assert r.tokens["resname"].tolist() == ["ALA"] * 6
    assert r.tokens["n_atoms"].tolist() == [4] * 6
    assert r.structure is feat.structure
    np.testing.assert_array_equal(r.frames, [0, 2, 4, 6])
    np.testing.assert_array_equal(r.times, [0.0, 4.0, 8.0, 12.0])
    assert (r.dt, r.engine, r.boxes) == (4.0, "torch", None)
    assert r.provenance["model_fingerprint"] == options["model"].fingerprint
    assert r.provenance["batch_size"] == 128
    assert (feat.n_frames, feat.frames.tolist()) == (4, [0, 2, 4, 6])
    chain.trajectory[6]
    np.testing.assert_array_equal(r.positions[3], chain.atoms.positions)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 8])
@pytest.mark.parametrize("frames", [None, [0, 1, 3, 6], [False] * 2 + [True] * 5])
def test_no_frame_is_lost_however_the_work_is_shared_out(
    chain, options, batch_size, frames
):
    reference = GeomGNNFeaturizer(chain, **options, batch_size=4).run(frames=frames)
    feat = GeomGNNFeaturizer(chain, **options, batch_size=batch_size)
    serial = feat.run(frames=frames).results
    for name in ("scalars", "vectors", "features"):
        got, want = getattr(serial, name), getattr(reference.results, name)
        assert error(got, want) < 1e-6
    same(serial, reference.results, ("positions", "times", "frames", "trajectory"))
    for n_parts in (2, 3):
        portions = feat.run(frames=frames, backend=PickledPortions(2), n_parts=n_parts)
        same(portions.results, serial)


def test_trajectories_stay_apart(gly2, options):
    feat = GeomGNNFeaturizer(gly2, **options).run(step=500)
    r = feat.results
    assert r.trajectory.tolist() == [0] * 10 + [1] * 10
    pieces = r.features_list()
    assert [len(piece) for piece in pieces] == [10, 10]
    # No pair at lag 1 spans the joint: its last and first rows stand in different
    # pieces, and each piece equals the run of its file alone.
    for number, piece in enumerate(pieces):
        file = gly2.trajectory.filenames[number]
        alone = mda.Universe(gly2.filename, file)
        one = GeomGNNFeaturizer(alone, **options).run(step=500).results
        np.testing.assert_array_equal(one.features, piece)
        assert one.trajectory.tolist() == [0] * 10
    assert r.dt == 500.0
    assert r.provenance["n_frames"] == [10, 10]


def test_gaps_in_the_frames_split_the_lists(chain, options):
    r = GeomGNNFeaturizer(chain, **options).run(frames=[0, 1, 2, 4, 5]).results
    assert [x.shape for x in r.token_features_list()] == [(3, 6, 64), (2, 6, 64)]
    assert [x.shape for x in r.features_list("scalars")] == [(3, 96), (2, 96)]
    assert r.trajectory.tolist() == [0] * 5
    assert r.dt == 2.0


def test_tokens_and_pooling(chain, options):
    def run(**more):
        return GeomGNNFeaturizer(chain, **options, **more).run(stop=2).results

    atoms = run(tokens="atom")
    assert atoms.scalars.shape == (2, 24, 16)
    mean, total = run(), run(pool="sum")
    by_hand = atoms.vectors.reshape(2, 6, 4, 3, 16).mean(axis=2)
    assert error(mean.vectors, by_hand) < 1e-6
    assert error(total.scalars, 4 * mean.scalars) < 1e-6
    # Tokens need not be contiguous: every other atom in each of two tokens.
    custom = run(tokens=np.arange(24) % 2)
    odd = atoms.scalars[:, 1::2].mean(axis=1)
    assert error(custom.scalars[:, 1], odd) < 1e-6
    assert run(tokens="molecule").scalars.shape == (2, 1, 16)


def test_a_window_as_long_as_the_chain_is_the_whole(chain, options):
    whole = GeomGNNFeaturizer(chain, **options).run(stop=2).results
    wide = GeomGNNFeaturizer(chain, **options, window=6).run(stop=2).results
    narrow = GeomGNNFeaturizer(chain, **options, window=0).run(stop=2).results
    assert error(wide.features, whole.features) < 1e-5
    assert error(narrow.scalars, whole.scalars) > 1e-2


def test_windows_end_with_their_chain(options):
    pair, single = peptide(4, 2, n_copies=2), peptide(4, 2)
    positions = np.stack([pair.atoms.positions[:16] for _ in pair.trajectory])
    single.load_new(positions)
    window = GeomGNNFeaturizer(pair, **options, window=4).run().results
    alone = GeomGNNFeaturizer(single, **options).run().results
    assert error(window.features[:, : 4 * 64], alone.features) < 1e-5


def dihedrals(positions):
    """Return phi of glycine dipeptide's heavy atoms."""
    c, n, ca, last = (positions[:, i] for i in (1, 3, 4, 5))
    return calc_dihedrals(c, n, ca, last)


def test_geometric_sees_what_scalars_cannot_on_glycine(gly2, options):
    r = GeomGNNFeaturizer(gly2, **options).run(step=10).results
    assert r.structure.names[[1, 3, 4, 5]].tolist() == ["C", "N", "CA", "C"]
    target = np.sin(dihedrals(r.positions))
    first = r.trajectory == 0
    score = {}
    for kind in ("scalars", "norms", "geometric"):
        x = r.invariants(kind).reshape(len(target), -1)
        fit = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 7)))
        score[kind] = fit.fit(x[first], target[first]).score(x[~first], target[~first])
    # Glycine has mirror images in equal numbers: which of them a frame is cannot be
    # seen in anything that a reflection leaves alone.
    assert score["scalars"] < 0.1
    assert score["norms"] < 0.1
    assert score["geometric"] > 0.6


def test_store_and_memory_hold_the_same(gly2, options, tmp_path):
    options |= {"batch_size": 8}
    memory = GeomGNNFeaturizer(gly2, **options).run(step=300).results
    path = tmp_path / "features.zarr"
    for backend in ("serial", PickledPortions(2)):
        feat = GeomGNNFeaturizer(gly2, **options, store=path, overwrite=True)
        stored = feat.run(step=300, backend=backend).results
        same(stored, memory)
        np.testing.assert_array_equal(stored.features, memory.features)
        np.testing.assert_array_equal(
            stored.scalars[30:20:-2], memory.scalars[30:20:-2]
        )
        assert stored.dt == memory.dt
        assert stored.tokens.tolist() == memory.tokens.tolist()
    loaded = FeatureResults.load(path)
    assert loaded.provenance == memory.provenance
    for got, want in zip(loaded.features_list(), memory.features_list(), strict=True):
        np.testing.assert_array_equal(got, want)
    assert loaded.structure.token_labels() == memory.structure.token_labels()


def test_an_interrupted_run_leaves_no_finished_store(chain, options, tmp_path):
    path = tmp_path / "features.zarr"
    spoil(chain, 5)
    feat = GeomGNNFeaturizer(chain, **options, store=path, batch_size=2)
    with pytest.raises(InputError, match="Frame 5"):
        feat.run()
    with pytest.raises(InputError, match="left unfinished by an interrupted run"):
        FeatureResults.load(path)


def spoil(universe, *frames):
    for frame in frames:
        universe.trajectory.coordinate_array[frame, 9, 1] = np.nan


def test_frames_that_are_no_numbers_are_named(chain, options):
    spoil(chain, 4)
    feat = GeomGNNFeaturizer(chain, **options)
    message = r"Frame 4 of the trajectory in memory holds positions that are not finite"
    with pytest.raises(InputError, match=message):
        feat.run()
    with pytest.raises(InputError, match=r"atom CA, index 9"):
        feat.run(backend=PickledPortions(2), n_parts=2)
    assert feat.run(stop=4).results.scalars.shape == (4, 6, 16)


@pytest.mark.parametrize("stored", [False, True])
def test_bad_frames_can_be_left_out(chain, options, stored, tmp_path):
    good = [0, 1, 2, 5, 6]
    clean = GeomGNNFeaturizer(chain, **options).run(frames=good).results
    spoil(chain, 3, 4)
    options |= {"skip_bad_frames": True, "batch_size": 2}
    if stored:
        options |= {"store": tmp_path / "features.zarr"}
    feat = GeomGNNFeaturizer(chain, **options)
    with pytest.warns(MDGeomFeatWarning, match="2 frames could not be used and were"):
        r = feat.run().results
    assert feat.frames.tolist() == good
    same(r, clean, ("positions", "times", "frames", "trajectory"))
    assert error(r.features, clean.features) < 1e-6
    assert [len(x) for x in r.features_list()] == [3, 2]
    assert r.dt == 2.0


def test_a_run_without_any_good_frame_stops(chain, options):
    spoil(chain, *range(7))
    feat = GeomGNNFeaturizer(chain, **options, skip_bad_frames=True)
    with pytest.raises(InputError, match="None of the 7 frames could be used"):
        feat.run()


def test_a_truncated_file_is_named_with_its_frame(data, options, tmp_path):
    folder, path = data / "gly2", tmp_path / "cut.xtc"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u = mda.Universe(folder / "gly2.pdb", str(folder / "gly2-0.xtc"))
        with mda.Writer(str(path), u.atoms.n_atoms) as writer:
            for _ in u.trajectory[:6]:
                writer.write(u.atoms)
        path.write_bytes(path.read_bytes()[:-40])
        cut = mda.Universe(u.filename, str(path))
        with pytest.raises(InputError, match=r"Frame 5 of .*cut\.xtc cannot be read"):
            GeomGNNFeaturizer(cut, **options).run()
        feat = GeomGNNFeaturizer(cut, **options, skip_bad_frames=True).run()
    assert feat.results.frames.tolist() == [0, 1, 2, 3, 4]


def test_elements_that_the_model_never_saw(chain, options, model):
    chain.atoms[[2, 10]].elements = "Se"
    message = r"has never seen Se \(2 atoms in A:ALA1, A:ALA3\); leave these atoms out"
    with pytest.raises(InputError, match=message):
        GeomGNNFeaturizer(chain, **options)
    feat = GeomGNNFeaturizer(chain, **options, allow_unseen=True).run(stop=1)
    assert np.isfinite(feat.results.features).all()


@pytest.fixture
def little_memory(monkeypatch):
    """Return a function that takes the memory away."""

    def take_away():
        monkeypatch.setattr(memory, "available_memory", lambda: 10_000)
        monkeypatch.setattr(encoder, "available_memory", lambda: 10_000)

    return take_away


def test_memory_is_estimated_before_the_start(chain, options, little_memory):
    feat = GeomGNNFeaturizer(chain, **options)
    little_memory()
    with pytest.raises(InputError, match=r"7 frames would take .* GB .*store=\"feat"):
        feat.run()
    with pytest.raises(InputError, match=r"24 atoms in one frame would take .*fewer"):
        GeomGNNFeaturizer(chain, **options)


def test_batches_are_smaller_where_memory_is_short(chain, options, monkeypatch):
    # 24 atoms, 16 channels of 4 numbers, held three times: 18 kB a frame.
    for free, size in ((10**9, 128), (80_000, 1), (160_000, 2), (10**6, 8)):
        monkeypatch.setattr(encoder, "available_memory", lambda free=free: free)
        feat = GeomGNNFeaturizer(chain, **options).run(stop=1)
        assert feat.results.provenance["batch_size"] == size


def test_a_store_needs_no_memory_for_all_frames(
    chain, options, little_memory, tmp_path
):
    feat = GeomGNNFeaturizer(chain, **options, store=tmp_path / "f.zarr")
    little_memory()
    feat.run()
    assert feat.results.scalars[3].shape == (6, 16)
    assert feat.results.features[3].shape == (6 * 64,)
    with pytest.raises(
        InputError, match=r"The whole array would take .*array\[:1000\]"
    ):
        np.asarray(feat.results.features)


def test_progress_is_shown_with_every_backend(chain, options, capfd):
    feat = GeomGNNFeaturizer(chain, **options, batch_size=2, verbose=True)
    feat.run()
    assert "7/7" in capfd.readouterr().err
    feat.run(backend=PickledPortions(2), progressbar_kwargs={"desc": "features"})
    err = capfd.readouterr().err
    assert "7/7" in err
    assert "features" in err
    feat.run(backend=PickledPortions(2), verbose=False)
    assert capfd.readouterr().err == ""


def test_workers_are_sent_no_weights(chain, model, tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_model(model, path, {})
    feat = GeomGNNFeaturizer(chain, model=path, engine="torch").run()

    class Watched(PickledPortions):
        def apply(self, func, computations):
            sent = pickle.dumps(func)
            assert b"_rebuild_tensor" not in sent
            worker = pickle.loads(sent).func.__self__
            for held in (worker._encoder, worker._run._encoder):
                assert held._model is None
                assert held._engine is None
            return super().apply(func, computations)

    again = GeomGNNFeaturizer(chain, model=path, engine="torch")
    again.run(backend=Watched(2))
    np.testing.assert_array_equal(again.results.scalars, feat.results.scalars)


def test_a_run_changes_neither_featurizer_nor_backend_and_goes_away(
    chain, options, tmp_path
):
    feat = GeomGNNFeaturizer(chain, **options, store=tmp_path / "f.zarr")
    backend = PickledPortions(2)
    encoder = feat._encoder
    _ = encoder.engine  # made on first use, which is no change of a choice
    before = dict(vars(encoder)), dict(vars(backend)), vars(feat).keys()
    # A store with batches of its own, which the run takes over and the featurizer not.
    GeomGNNFeaturizer(chain, **options, batch_size=4, store=tmp_path / "f.zarr").run()
    (tmp_path / "f.zarr" / "trajectory-0000" / "frames" / "c.0").unlink()
    feat.run(backend=backend)
    assert feat.results.provenance["batch_size"] == 4 != encoder.batch_size
    assert feat._encoder is encoder
    assert feat._run is None
    assert (vars(encoder), vars(backend)) == before[:2]
    assert vars(feat).keys() - before[2] <= {"frames", "n_frames", "times"}


def test_a_finished_featurizer_can_be_pickled_with_its_results(chain, options):
    feat = GeomGNNFeaturizer(chain, **options).run()
    again = pickle.loads(pickle.dumps(feat))
    same(again.results, feat.results)
    np.testing.assert_array_equal(again.results.features, feat.results.features)
    same(again.run().results, feat.results)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"store_dtype": "float16"}, "store_dtype= needs store=, which says where"),
        ({"store_dtype": "int8", "store": "f"}, "store_dtype='int8' is not known"),
        ({"pool": "max"}, "pool='max' is not known; use one of 'mean', 'sum', "),
        ({"dtype": "float16"}, "dtype='float16' is not known"),
        ({"window": -1}, "window=-1 must be a whole number of at least 0"),
        ({"window": 1.5}, "window=1.5 must be a whole number"),
        ({"batch_size": 0}, "batch_size=0 must be a whole number of at least 1"),
        ({"batch_size": None}, "whole number of at least 1, or 'auto'"),
        (
            {"model": None},
            "model=None is not a model; give a name, a path or a Backbone",
        ),
        ({"select": 5}, "select=5 is not text"),
        ({"max_neighbors": 0}, "max_neighbors=0 must be a whole number of at least 1"),
        ({"invariants": "all"}, "invariants='all' is not known"),
    ],
)
def test_options_that_do_not_exist(chain, options, arguments, message):
    with pytest.raises(InputError, match=message):
        GeomGNNFeaturizer(chain, **options | arguments)


def test_results_before_a_run_say_what_is_missing(chain, options):
    feat = GeomGNNFeaturizer(chain, **options)
    with pytest.raises(AttributeError, match=r"no results.scalars yet: call run\(\)"):
        feat.results.scalars  # noqa: B018
    assert not hasattr(feat.results, "dt")
    again = pickle.loads(pickle.dumps(feat)).run(stop=1)
    assert len(again.results.scalars) == 1


def test_periodic_needs_to_be_known(chain, options):
    with pytest.raises(InputError, match="periodic='yes' is not known"):
        GeomGNNFeaturizer(chain, **options, periodic="yes").run()
    with pytest.raises(InputError, match=r"periodic=True \(--pbc\) needs a box"):
        GeomGNNFeaturizer(chain, **options, periodic=True).run()


def test_float64_is_more_exact_and_nothing_else(chain, options):
    single = GeomGNNFeaturizer(chain, **options).run(stop=2).results
    double = GeomGNNFeaturizer(chain, **options, dtype="float64").run(stop=2).results
    assert double.scalars.dtype == double.features.dtype == np.float64
    assert 0 < error(single.features, double.features) < 1e-5


def test_printing_says_what_is_there_in_a_few_lines(chain, options, tmp_path):
    feat = GeomGNNFeaturizer(chain, **options)
    assert "no results yet" in repr(feat)
    assert str(feat.results) == repr(feat.results)
    for store, where in ((None, "in memory"), (tmp_path / "f.zarr", "on disk")):
        feat = GeomGNNFeaturizer(chain, **options, store=store).run(step=2)
        shown = str(feat.results)
        assert shown == repr(feat.results)
        assert len(shown) < 400
        assert len(shown.splitlines()) == 4
        for fact in (
            "4 frames (1 unbroken run, 4 ps apart), 6 tokens",
            where,
            "scalars (4, 6, 16), vectors (4, 6, 3, 16), float32",
            "engine torch",
        ):
            assert fact in shown
        width = feat.results.features.shape[1]
        assert f"features (4, {width}): {feat.results.spec.invariants}" in shown
        assert shown in repr(feat)
        assert "24 atoms in 6 tokens" in repr(feat)
