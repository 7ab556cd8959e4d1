"""Free energies from weighted frames, against what can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mdgeomfeat.bias.estimate import free_energy_profile
from mdgeomfeat.errors import InputError

KT = 2.5


def places(*counts, n=1000):
    """Return values 0, 1, 2 … in turn, as often as asked for, `n` altogether."""
    assert sum(counts) == n
    values = np.repeat(np.arange(len(counts), dtype=float), counts)
    return np.random.default_rng(0).permutation(values)


def grown(values, *, at=-1.0):
    """Put a ninth as many frames before, which are the tenth that is left out."""
    return np.concatenate([np.full(len(values) // 9, at), values])


def energy_at(profile, *where):
    bins = [np.abs(profile.centres - x).argmin() for x in where]
    return profile.energies[-1][bins]


def test_energies_follow_from_the_weights():
    values = grown(places(600, 300, 0, 99, n=999))
    weights = np.ones(len(values))
    weights[values == 1] = 4.0
    profile = free_energy_profile(values, np.log(weights) - 300.0, KT)
    expected = -KT * np.log([600 / 1200, 1200 / 1200, 99 / 1200])
    np.testing.assert_allclose(energy_at(profile, 0, 1, 3), expected, atol=1e-9)
    assert np.isnan(energy_at(profile, 2)).all()
    assert np.nanmin(profile.energies, axis=1).tolist() == [0, 0, 0, 0]


def test_the_beginning_is_left_out():
    values = grown(places(500, 499, n=999), at=-9.0)
    profile = free_energy_profile(values, np.zeros(len(values)), KT)
    assert profile.n_frames == 999
    assert profile.centres[0] > -0.1


def test_the_effective_number_of_frames():
    values = grown(places(600, 399, n=999))
    weights = np.where(values == 1, 3.0, 1.0)
    weights[values < 0] = 1e6  # of the beginning, which does not count
    profile = free_energy_profile(values, np.log(weights), KT)
    assert profile.effective == pytest.approx((600 + 1197) ** 2 / (600 + 9 * 399))


def test_the_error_is_half_the_difference_of_the_halves():
    one, other = places(450, 50, n=500), places(250, 250, n=500)
    values = grown(np.concatenate([one, other])[:999])
    profile = free_energy_profile(values, np.zeros(len(values)), KT)
    a, b = profile.n_frames // 2, profile.n_frames - profile.n_frames // 2
    first, second = values[-(a + b) :][:a], values[-b:]
    # free energies of 1 above 0 in either half
    gaps = [-KT * np.log((x == 1).sum() / (x == 0).sum()) for x in (first, second)]
    # two numbers whose difference is d have the standard deviation d / 2
    assert profile.error == pytest.approx(abs(gaps[0] - gaps[1]) / 4, rel=1e-6)


def test_what_is_too_high_to_be_known_makes_no_error():
    # the halves agree where the energy is low, and differ where it is 7 kT
    one = np.concatenate([places(900, 90, n=990), np.full(10, 2.0)])
    other = np.concatenate([places(900, 90, n=990), np.full(10, 2.0)])
    values = grown(np.concatenate([one, other]))
    rare = np.flatnonzero(values == 2)
    log_weights = np.zeros(len(values))
    log_weights[rare] = np.where(rare < rare.mean(), -5.0, -2.5)
    profile = free_energy_profile(values, log_weights, KT)
    assert energy_at(profile, 2)[0] > 6 * KT
    assert profile.error < 0.05 * KT


def test_too_few_lines_are_told():
    with pytest.raises(InputError, match="18 lines of COLVAR are too few"):
        free_energy_profile(np.arange(20.0), np.zeros(20), KT)
