"""How large the lag may be, on signals whose timescale grows with it as known."""

from __future__ import annotations

import numpy as np
import pytest

from mdgeomfeat.kinetics import LagReason, choose_lag, make_folds

N = 8000


def square_waves(n_flips, kept):
    """Four runs that flip at even distances, with `kept` of the variance in the flips.

    The autocorrelation is ``kept * (1 - 2 * n_flips * lag / N)``, so the timescale at
    a lag is ``-lag / log`` of that, which grows with the lag: no lag is long enough.
    """
    runs = []
    for seed in range(4):
        level = (np.arange(N) * (n_flips + 1) // N + seed) % 2
        noise = np.random.default_rng(seed).normal(size=N)
        runs.append((2.0 * level - 1 + np.sqrt(1 / kept - 1) * noise)[:, None])
    return runs


def expected(lags, n_flips, kept):
    return -lags / np.log(kept * (1 - 2 * n_flips * lags / N))


def test_the_signals_are_what_they_are_meant_to_be():
    scan = choose_lag(square_waves(1, 0.95))
    short = scan.lags <= 256
    np.testing.assert_allclose(
        scan.timescales[short, 0], expected(scan.lags[short], 1, 0.95), rtol=0.1
    )


def test_the_lag_is_the_largest_below_a_twentieth():
    # at 512 frames the lag would still be a fifth of the timescale
    assert expected(512, 1, 0.95) > 3 * 512
    scan = choose_lag(square_waves(1, 0.95))
    assert not scan.converged
    assert not scan.levels_off
    assert scan.reason is LagReason.LARGEST
    assert scan.lag == 256  # of at most 8000 / 20 = 400
    # the shortest run decides
    runs = square_waves(1, 0.95)
    assert choose_lag([*runs[:3], runs[3][2500:5500]]).lag == 128


def test_the_lag_is_at_most_a_third_of_the_timescale():
    wave = (4, 0.8)
    assert expected(64, *wave) > 3 * 64
    assert expected(128, *wave) < 3 * 128
    scan = choose_lag(square_waves(*wave))
    assert not scan.converged
    assert not scan.levels_off
    assert scan.reason is LagReason.SHARE
    assert scan.lag == 64  # where up to 256 would be allowed
    assert scan.lag <= scan.slowest / 3


@pytest.mark.parametrize("lag", [None, 4])
def test_the_scan_sees_nothing_of_the_first_held_out_part(three_states, lag):
    runs = three_states[1]
    fold = make_folds([len(r) for r in runs], lag or 1)[0]
    changed = [r.copy() for r in runs]
    for span in fold.score:
        changed[span.trajectory][span.start : span.stop] = 1e3
    before, after = choose_lag(runs, lag=lag), choose_lag(changed, lag=lag)
    np.testing.assert_array_equal(before.timescales, after.timescales)
    for span in fold.train:
        changed[span.trajectory][span.start : span.stop] **= 2
    assert (choose_lag(changed, lag=lag).timescales != before.timescales).any()
