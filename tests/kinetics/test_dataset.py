"""Lagged pairs from memory and from disk: which, how often, and in what order."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from deeptime.clustering import KMeans
from deeptime.covariance import Covariance
from deeptime.decomposition import TICA
from deeptime.decomposition.deep import VAMPNet
from torch.utils.data import DataLoader

from mdgeomfeat import GeomGNNFeaturizer, InputError, TokenDataset
from mdgeomfeat.featurizer import FeatureResults
from mdgeomfeat.kinetics import StudySettings, estimator, fit_vampnet, run_study
from mdgeomfeat.mixing import MixerSpec, build_mixer
from mdgeomfeat.store import LazyArray

LENGTHS = (50, 3, 40)


def numbered():
    """Return runs whose values tell trajectory and frame."""
    return [
        np.stack([np.full(n, k), np.arange(n)], axis=1).astype(np.float32)
        for k, n in enumerate(LENGTHS)
    ]


def on_disk(runs):
    return [LazyArray([run], [None]) for run in runs]


@pytest.fixture(params=["memory", "disk"])
def place(request):
    return on_disk if request.param == "disk" else list


def collect(batches):
    x, y = zip(*batches, strict=True)
    return torch.cat(x).numpy(), torch.cat(y).numpy()


def test_no_pair_crosses_from_one_trajectory_into_the_next(place):
    pairs = TokenDataset(place(numbered()), lag=7)
    assert len(pairs) == 43 + 33
    for i in (0, 42, 43, -1):
        x, y = pairs[i]
        assert x[0] == y[0]
        assert y[1] - x[1] == 7
    with pytest.raises(IndexError):
        pairs[76]


def test_frames_of_several_pairs_are_read_once(place):
    pairs = TokenDataset(place(numbered()), lag=7)
    numbers = np.arange(75, -1, -1)
    frames, early, late = pairs.frames_of(numbers)
    assert len(frames) == len(np.unique(frames, axis=0)) == 90  # not 2 x 76
    x, y = pairs.pairs(numbers)
    np.testing.assert_array_equal(frames[early], x)
    np.testing.assert_array_equal(frames[late], y)


@pytest.mark.parametrize("buffer_bytes", [1, 300, 1e9])
def test_an_epoch_holds_every_pair_once(place, buffer_bytes):
    pairs = TokenDataset(place(numbered()), lag=7)
    batches = pairs.batches(4, seed=3, buffer_bytes=buffer_bytes)
    assert len(batches) == 19
    seen = []
    for _ in range(2):
        x, y = collect(batches)
        assert (x[:, 0] == y[:, 0]).all()
        assert (y[:, 1] - x[:, 1] == 7).all()
        assert len({tuple(row) for row in x.tolist()}) == len(x) == 76
        seen.append(x)
    assert not np.array_equal(*seen), "the second epoch has another order"
    again, _ = collect(pairs.batches(4, seed=3, buffer_bytes=buffer_bytes))
    np.testing.assert_array_equal(again, seen[0])


def test_a_short_last_batch_is_dropped(place):
    pairs = TokenDataset(place(numbered()), lag=7)
    batches = pairs.batches(30, buffer_bytes=400)
    assert [len(x) for x, _ in batches] == [30, 30]
    # fewer pairs than a batch make one batch
    assert [len(x) for x, _ in pairs.batches(500, buffer_bytes=1)] == [76]


def test_batches_from_disk_mix_distant_times():
    run = np.arange(20_000, dtype=np.float32)[:, None]
    pairs = TokenDataset(on_disk([run]), lag=1)
    spread = [x.std().item() for x, _ in pairs.batches(200, buffer_bytes=8 * 6400)]
    # evenly drawn numbers have a deviation of 20,000 / sqrt(12) = 5,774
    assert np.median(spread) > 4500


def test_a_buffer_is_read_in_the_order_of_the_disk():
    reads = []

    class Logged(LazyArray):
        def _take(self, index):
            reads.append(len(index))
            assert (np.diff(index) > 0).all()
            return super()._take(index)

        def part(self, start, stop):
            return Logged(self._parts, [np.arange(start, stop)])

    run = np.zeros((5000, 1), np.float32)
    pairs = TokenDataset([Logged([run], [None])], lag=10)
    n = sum(len(x) for x, _ in pairs.batches(100, buffer_bytes=8 * 3200))
    assert n == 4900
    assert sum(reads) == 2 * len(pairs)
    assert max(reads) <= 3200


def test_pairs_of_a_store_are_those_of_memory(data, tmp_path):
    import MDAnalysis as mda

    files = [data / "gly2" / f"gly2-{k}.xtc" for k in (0, 1)]
    u = mda.Universe(data / "gly2" / "gly2.pdb", files)
    held = GeomGNNFeaturizer(u).run(stop=60).results
    GeomGNNFeaturizer(u, store=tmp_path / "f.zarr").run(stop=60)
    found = FeatureResults.load(tmp_path / "f.zarr")
    model = TICA(lagtime=5, dim=2).fit(found.features_list()).fetch_model()
    assert model.transform(found.features[10:30]).shape == (20, 2)
    for options, arrays in (
        ({}, held.token_features_list()),
        ({"kind": "norms"}, held.token_features_list("norms")),
        ({"channels": True}, held.split(held.channels)),
    ):
        stored = TokenDataset.from_store(tmp_path / "f.zarr", 5, **options)
        want = TokenDataset(arrays, 5)
        assert len(stored) == len(want)
        some = np.array([0, 17, len(want) - 1])
        for a, b in zip(stored.pairs(some), want.pairs(some), strict=True):
            assert torch.equal(a, b)


def test_deeptime_trains_on_it(place, three_states):
    runs = [run[:, None, :].astype(np.float32) for run in three_states[1]]
    pairs = TokenDataset(place(runs), lag=5)
    torch.manual_seed(0)
    lobe = build_mixer("flat", 1, 10, 2)
    net = VAMPNet(lobe, learning_rate=3e-3)
    net.fit(DataLoader(pairs, batch_size=512, shuffle=True), n_epochs=1)
    net.fit(pairs.batches(512), n_epochs=1)
    scores = net.fetch_model().transform(runs[0])
    assert scores.shape == (6000, 2)
    assert len(net.train_scores) == 2 * (len(pairs) // 512) + 1


def test_vampnets_train_from_disk_as_well(three_states):
    _, runs = three_states
    spec = MixerSpec(kind="flat", n_tokens=1, n_features=10, n_outputs=2)
    held = fit_vampnet(runs[:2], runs[2:3], 5, spec)
    lazy = on_disk(runs)
    read = fit_vampnet(lazy[:2], lazy[2:3], 5, spec)
    assert read.stop_score == pytest.approx(held.stop_score, abs=0.05)


def test_the_wrapped_estimator_streams(three_states):
    _, runs = three_states
    held = estimator(TICA(lagtime=5, dim=2)).fit(runs)
    read = estimator(TICA(lagtime=5, dim=2)).fit(on_disk(runs))
    np.testing.assert_allclose(
        read.model_.singular_values, held.model_.singular_values, rtol=1e-10
    )
    a, b = held.transform(runs)[0], read.transform(on_disk(runs))[0]
    signs = np.sign((a * b).sum(axis=0))
    np.testing.assert_allclose(b * signs, a, atol=1e-8)


@pytest.mark.parametrize(
    "bare", [KMeans(3, fixed_seed=1), Covariance(lagtime=5)], ids=["kmeans", "cov"]
)
def test_estimators_that_do_not_take_pairs_are_fitted_as_in_memory(three_states, bare):
    _, runs = three_states
    held, read = estimator(bare).fit(runs).model_, estimator(bare).fit(on_disk(runs))
    for name in ("cluster_centers", "cov_00"):
        if hasattr(held, name):
            np.testing.assert_allclose(
                getattr(read.model_, name), getattr(held, name), rtol=1e-6
            )


def test_runs_that_are_shorter_than_the_lag_are_refused(three_states):
    _, runs = three_states
    with pytest.raises(InputError, match="No trajectory is longer than the lag"):
        estimator(TICA(lagtime=30)).fit(on_disk([run[:30] for run in runs]))


def test_a_study_of_lazy_inputs_is_the_same(three_states):
    _, runs = three_states
    runs = [run[:2000] for run in runs]
    settings = StudySettings(method="tica", lag=5, dim=2, n_bootstrap=5)
    held = run_study({"features": runs}, "features", settings)
    read = run_study({"features": on_disk(runs)}, "features", settings)
    assert read.scores[0].values == held.scores[0].values
    for a, b in zip(read.cvs, held.cvs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("lag", "message"),
    [
        (0, "A lag of 0 frames is below 1"),
        (50, r"lag of 50 frames is not shorter than the longest trajectory \(50"),
    ],
)
def test_lags_that_leave_no_pair(lag, message):
    with pytest.raises(InputError, match=message):
        TokenDataset(numbered(), lag)


def test_empty_batches():
    with pytest.raises(InputError, match="Batches of 0 pairs"):
        TokenDataset(numbered(), 1).batches(0)


PEAK = """
    import resource, sys
    import numpy as np
    from deeptime.decomposition import TICA
    from mdgeomfeat import TokenDataset
    from mdgeomfeat.kinetics import TrainingOptions, estimator, fit_vampnet
    from mdgeomfeat.kinetics.arrays import cut, Span
    from mdgeomfeat.mixing import MixerSpec
    from mdgeomfeat.store import LazyArray, MappedArray

    n = int(sys.argv[1])
    frames = np.arange(n)

    def made(rows):
        noise = np.random.default_rng(rows[0] if len(rows) else 0)
        x = noise.normal(size=(len(rows), 20, 112)).astype(np.float32)
        x[:, :, 0] += np.sin(rows / 300)[:, None]
        return x

    run = MappedArray(made, [LazyArray([frames], [None])], (20, 112), np.float32)
    flat = MappedArray(lambda r: made(r).reshape(len(r), -1)[:, :300],
                       [LazyArray([frames], [None])], (300,), np.float32)
    print(f"{run.nbytes / 1e6:.0f} MB", file=sys.stderr)
    for x, y in TokenDataset(run, 10).batches(100, buffer_bytes=5e7):
        pass
    estimator(TICA(lagtime=10, dim=2)).fit([flat])
    spec = MixerSpec(kind="flat", n_tokens=20, n_features=112, n_outputs=2)
    train, stop = cut([run], [Span(0, 0, n // 2)]), cut([run], [Span(0, n // 2, n)])
    fit_vampnet(train, stop, 10, spec, options=TrainingOptions(max_steps=20,
                                                               max_stop_pairs=500))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_frames():
    peaks = []
    for n in (4_000, 80_000):
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(PEAK), str(n)],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(ran.stdout))
    # 36 MB and 717 MB of features; the default buffer holds 256 MB
    assert peaks[1] - peaks[0] < 330, peaks
