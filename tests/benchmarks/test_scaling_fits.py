"""Laws of errors against sizes: told where data can tell, and not where they cannot."""

from __future__ import annotations

import numpy as np
import pytest
import scaling_fits as fits
from scipy.optimize import curve_fit, differential_evolution

FLOOR = 0.15
TRUTHS = {
    "power law": lambda x: 3.0 * x**-0.25,
    "power law with constant": lambda x: 0.08 + 20.0 * x**-0.5,
    "exponential": lambda x: 0.5 * np.exp(-x / 4e5),
    "exponential with constant": lambda x: 0.1 + 0.5 * np.exp(-x / 1e5),
}


def drawn(truth: str, factor: float, n: int, scatter: float, seed: int = 0):
    rng = np.random.default_rng(seed)
    x = np.geomspace(1e3, 1e3 * factor, n)
    return x, TRUTHS[truth](x) * np.exp(scatter * rng.standard_normal(n))


@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize("seed", range(2))
def test_the_right_law_is_told_where_data_can_decide(truth, seed):
    x, excess = drawn(truth, 1e3, 24, 0.01, seed)
    found = fits.analyse(x, FLOOR + excess, range(len(x)), FLOOR, bootstraps=8)
    assert found["verdict"] == truth
    assert found["support"] == 1.0


@pytest.mark.parametrize("truth", TRUTHS)
def test_a_small_factor_in_size_decides_nothing(truth):
    x, excess = drawn(truth, 90.0, 24, 1e-4)
    found = fits.verdict(fits.fit_all(x, excess), 90.0)
    assert found == "cannot be decided: sizes span a factor of 90 only"


def test_scatter_that_hides_the_law_decides_nothing():
    # A flat line within its scatter is as near to one family as to the other.
    rng = np.random.default_rng(1)
    x = np.geomspace(1e3, 1e6, 8)
    excess = 0.3 * np.exp(0.3 * rng.standard_normal(8))
    found = fits.verdict(fits.fit_all(x, excess), 1e3)
    assert found.startswith("cannot be decided:")
    assert "in AICc only" in found


def test_a_margin_that_the_bootstrap_does_not_bear_decides_nothing():
    x, excess = drawn("power law", 1e3, 24, 0.01)
    found = fits.verdict(fits.fit_all(x, excess), 1e3, support=0.9)
    assert found.startswith("cannot be decided: power law is better by")
    assert "only 90 % of the bootstraps" in found


def test_a_power_law_is_the_regression_of_logarithms():
    x, excess = drawn("power law", 300.0, 15, 0.1)
    slope, intercept = np.polyfit(np.log(x), np.log(excess), 1)
    found = fits.fit_law(fits.LAWS[0], x, excess)
    np.testing.assert_allclose(found.rate, -slope, rtol=1e-4)
    np.testing.assert_allclose(found.amplitude, np.exp(intercept), rtol=1e-3)
    squares = ((np.log(excess) - slope * np.log(x) - intercept) ** 2).sum()
    n, k = 15, 3
    aicc = n * np.log(squares / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
    np.testing.assert_allclose(found.aicc, aicc, atol=1e-6)
    np.testing.assert_allclose(found.scatter, np.sqrt(squares / n), rtol=1e-6)


def test_an_exponential_is_a_line_of_logarithms():
    x, excess = drawn("exponential", 300.0, 15, 0.05)
    slope, intercept = np.polyfit(x, np.log(excess), 1)
    found = fits.fit_law(fits.LAWS[2], x, excess)
    np.testing.assert_allclose(found.rate, -1.0 / slope, rtol=1e-4)
    np.testing.assert_allclose(found.amplitude, np.exp(intercept), rtol=1e-4)


@pytest.mark.parametrize("law", [fits.LAWS[1], fits.LAWS[3]], ids=lambda w: w.title)
def test_scipy_finds_the_same_law_with_a_constant(law):
    x, excess = drawn(law.title, 300.0, 18, 0.03)
    y = np.log(excess)
    power = law.family == "power law"

    def model(x, log_a, log_rate, log_c):
        rate = np.exp(log_rate)
        decay = x**-rate if power else np.exp(-x / rate)
        return np.log(np.exp(log_c) + np.exp(log_a) * decay)

    def squares(p):
        return ((model(x, *p) - y) ** 2).sum()

    bounds = [(-6, 8), (-4, 2) if power else (7, 14), (-12, 0)]
    rough = differential_evolution(squares, bounds, seed=0, tol=1e-10, maxiter=400)
    best, _ = curve_fit(model, x, y, p0=rough.x)
    found = fits.fit_law(law, x, excess)
    np.testing.assert_allclose(len(x) * found.scatter**2, squares(best), rtol=1e-4)
    np.testing.assert_allclose(found.rate, np.exp(best[1]), rtol=2e-2)
    np.testing.assert_allclose(found.constant, np.exp(best[2]), rtol=2e-2)


def test_intervals_hold_the_truth_and_widen_with_scatter():
    widths = []
    for scatter in (0.01, 0.1):
        x, excess = drawn("power law", 1e3, 24, scatter)
        found = fits.analyse(x, FLOOR + excess, range(len(x)), FLOOR, bootstraps=40)
        low, high = found["laws"]["power law"]["intervals"]["rate"]
        assert low < 0.25 < high
        widths.append(high - low)
    assert widths[1] > 3 * widths[0]


def test_seeds_of_one_size_are_no_further_sizes():
    x, excess = drawn("power law", 1e3, 8, 0.05)
    doubled = [np.tile(a, 2) for a in (x, FLOOR + excess, np.arange(8))]
    one = fits.analyse(x, FLOOR + excess, range(8), FLOOR, bootstraps=5)
    two = fits.analyse(*doubled, FLOOR, bootstraps=5)
    assert (one["sizes"], two["sizes"], two["runs"]) == (8, 8, 16)
    assert two["laws"]["power law"]["aicc"] == one["laws"]["power law"]["aicc"]


def test_errors_below_the_floor_and_too_few_sizes_are_refused():
    with pytest.raises(ValueError, match=r"0\.1000 is not above the floor of 0\.1500"):
        fits.group_sizes([1.0, 2.0], [0.2, 0.1], [0, 1], FLOOR)
    x, excess = drawn("power law", 10.0, 4, 0.01)
    with pytest.raises(ValueError, match="4 sizes are too few"):
        fits.fit_law(fits.LAWS[0], x, excess)


def test_steep_data_and_vanishing_errors_are_fitted_as_well():
    x = np.geomspace(1e6, 1e9, 12)
    steep = fits.fit_law(fits.LAWS[0], x, np.geomspace(1.0, 1e-290, 12))
    assert steep.rate > 40
    assert np.isfinite(steep.amplitude)
    truth = {"exponential": fits.Fit("exponential", 1e6, 0.5, 0.0, 0.1, 0.0)}
    (row,) = fits.simulate(truth, 1e3, 12, 0.05, [1e6], repeats=3)
    assert row["right"] == 1.0


def test_more_decades_tell_more():
    x, excess = drawn("power law", 1e3, 12, 0.05)
    truth = {"power law": fits.fit_law(fits.LAWS[0], x, excess)}
    few, many = fits.simulate(truth, 1e3, 12, 0.1, [4.0, 1e4], repeats=15)
    assert many["right"] == 1.0
    assert few["undecided"] > 0.5
