"""How ``data/folding/reference.py`` counts, on chains whose rates are known."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def analysis(folding_reference):
    return folding_reference.Analysis(
        folded=0.7, unfolded=0.5, mean_over=1.0, lags=(1,), tested_lag=1
    )


def test_between_the_thresholds_a_run_stays_what_it_was(folding_reference, analysis):
    q = np.array([0.6, 0.6, 0.8, 0.6, 0.5, 0.6, 0.69, 0.7, 0.4])
    states = folding_reference.two_states(q, analysis, 1.0)
    assert states.tolist() == [-1, -1, 1, 1, 0, 0, 0, 1, 0]
    share, up, down, folding, unfolding = folding_reference.rates([states], 2.0)
    assert (share, up, down) == (3 / 7, 1, 2)
    # Four frames unfolded for one folding, three folded for two unfoldings.
    assert (folding, unfolding) == (8.0, 3.0)


def two_state_chain(n_frames, fold, unfold, seed):
    random = np.random.default_rng(seed)
    states = np.zeros(n_frames, int)
    for frame, chance in enumerate(random.random(n_frames - 1), start=1):
        before = states[frame - 1]
        flips = chance < (unfold if before else fold)
        states[frame] = 1 - before if flips else before
    return states


def test_times_and_timescale_of_a_known_chain(folding_reference):
    """Folding 1/0.01, unfolding 1/0.03 frames, relaxation -1 / ln(1 - 0.04)."""
    runs = [two_state_chain(20_000, 0.01, 0.03, seed) for seed in range(4)]
    share, _, _, folding, unfolding = folding_reference.rates(runs, 1.0)
    assert share == pytest.approx(0.25, abs=0.03)
    assert folding == pytest.approx(100, rel=0.1)
    assert unfolding == pytest.approx(100 / 3, rel=0.1)
    for lag in (1, 10):
        slowest = folding_reference.timescales(runs, lag, 1.0)[0]
        assert slowest == pytest.approx(-1 / np.log(0.96), rel=0.1)
    low, high = folding_reference.bootstrap(
        runs, lambda chosen: folding_reference.rates(chosen, 1.0)
    )
    assert low[3] <= folding <= high[3]


def test_a_markov_chain_passes_the_test(folding_reference):
    runs = [two_state_chain(20_000, 0.01, 0.03, seed) for seed in range(4)]
    for multiple, predicted, observed in folding_reference.chapman_kolmogorov(runs, 5):
        assert predicted == pytest.approx(observed, abs=0.02)
        # Staying k lags of five frames: share + (1 - share) 0.96^(5 k).
        decay = 0.96 ** (5 * multiple)
        expected = sorted([0.25 + 0.75 * decay, 0.75 + 0.25 * decay])
        assert sorted(predicted) == pytest.approx(expected, abs=0.04)


def test_shares_of_contacts_weigh_to_the_whole(folding_reference, simulate_folding):
    """Residue shares, weighted by their atom contacts, average to Q."""
    model = simulate_folding.load("villin")
    noise = 0.05 * np.random.default_rng(0).normal(size=(5, *model.native.shape))
    positions = model.native + noise
    # Residues stand in for any grouping: here blocks of eight atoms.
    residues = np.arange(len(model.native)) // 8
    shares = folding_reference.residue_contacts(model, positions, residues)
    pairs = residues[model.contacts]
    _, sizes = np.unique(pairs, axis=0, return_counts=True)
    assert shares.shape == (5, len(sizes))
    np.testing.assert_allclose(
        shares @ sizes / sizes.sum(), model.fraction_native(positions)
    )
