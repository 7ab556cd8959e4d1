r"""Fit laws to errors against sizes, and say which law the data can tell, if any.

    python benchmarks/scaling_fits.py --out scaling

reads the runs of ``scaling.py`` and fits, to the error E of unseen molecules above its
known floor F (rigid motion, which no network can see), four laws of x, the number of
parameters (or, for the runs of ``--series``, of atoms seen):

    power law                    E - F = a x^-b
    power law with constant      E - F = c + a x^-b
    exponential                  E - F = a exp(-x / s)
    exponential with constant    E - F = c + a exp(-x / s)

with a > 0 and c >= 0, by least squares of ln(E - F). Seeds of one size are averaged
first: they are no further sizes. Laws are compared by AICc (Hurvich & Tsai, Biometrika
76, 297 (1989)). Intervals are of a bootstrap of sizes, and of seeds within them.

A law is named only if sizes span more than a factor of 100, the best law of the other
family is worse by 2 or more in AICc, and 95 % of the bootstraps prefer the same family;
within a family the law without a constant stands unless the other is better by 2.
``--simulate 50`` draws data from the fitted laws over several factors in size and
counts how often each is told.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scaling_tables import error, main_atoms, markdown, name, results, serial, tuned

#: What must be exceeded for a law to be told.
MARGIN, FACTOR, SUPPORT = 2.0, 100.0, 0.95
#: Points of a grid and how often it closes in.
POINTS, ZOOMS = 25, 16

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Law:
    """A family, and whether a constant is fitted beside it."""

    family: str
    constant: bool

    @property
    def title(self) -> str:  # noqa: D102
        return self.family + (" with constant" if self.constant else "")

    def log_shape(self, x: Floats, q: Floats, start: float, stop: float) -> Floats:
        """Return ln g of the decaying part; q is b, or `stop` over s."""
        if self.family == "power law":
            return -q * np.log(x / start)
        return -q * x / stop


LAWS = tuple(Law(f, c) for f in ("power law", "exponential") for c in (False, True))


@dataclass(frozen=True)
class Fit:
    """A fitted law.

    Attributes
    ----------
    law : str
    rate : float
        The exponent b, or the scale s in units of x.
    amplitude, constant : float
        Of the decaying part (at x = 1 for powers, at x = 0 for exponentials), and c.
    scatter : float
        Root mean square of the residuals of ln(E - F).
    aicc : float
    """

    law: str
    rate: float
    amplitude: float
    constant: float
    scatter: float
    aicc: float

    def excess(self, x: Floats) -> Floats:
        """Return E - F at sizes x."""
        if self.law.startswith("power"):
            return self.constant + self.amplitude * x**-self.rate
        return self.constant + self.amplitude * np.exp(-x / self.rate)


def fit_law(law: Law, x: Floats, excess: Floats) -> Fit:
    """Fit a law by a grid that closes in on the least squares.

    Parameters
    ----------
    law : Law
    x, excess : ndarray, shape (n,)
        Sizes, and errors above the floor, all positive.

    Returns
    -------
    Fit
    """
    y = np.log(excess)
    n, k = len(y), 4 if law.constant else 3
    if n <= k + 1:
        raise ValueError(
            f"{n} sizes are too few for a law of {k - 1} parameters; give at least "
            f"{k + 2}."
        )
    start, stop = float(x.min()), float(x.max())
    low, high = np.log([1e-4, 1e-8]), np.log([50.0, 1e4])
    for _ in range(ZOOMS):
        q = np.linspace(low[0], high[0], POINTS)
        r = (
            np.linspace(low[1], high[1], POINTS)
            if law.constant
            else np.array([-np.inf])
        )
        g = law.log_shape(x, np.exp(q)[:, None], start, stop)
        model = np.logaddexp(r[None, :, None], g[:, None, :])
        residual = y - model
        residual = residual - residual.mean(axis=2, keepdims=True)
        squares = (residual**2).sum(axis=2)
        i, j = np.unravel_index(np.argmin(squares), squares.shape)
        centre = np.array([q[i], r[j] if law.constant else 0.0])
        # Halved only: the valley of a rate and a constant is long and oblique.
        width = (high - low) / 4.0
        low, high = centre - width, centre + width
    best = float(squares[i, j])
    height = float(np.exp((y - model[i, j]).mean()))
    constant = height * float(np.exp(r[j])) if law.constant else 0.0
    rate = float(np.exp(q[i]))
    if law.family == "power law":
        # Steep laws have amplitudes at x = 1 that no number can hold.
        amplitude = float(np.exp(min(np.log(height) + rate * np.log(start), 700.0)))
    else:
        amplitude, rate = height, stop / rate
    # Data without scatter would have an infinite likelihood.
    best = max(best, n * 1e-20)
    aicc = n * np.log(best / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
    return Fit(law.title, rate, amplitude, constant, (best / n) ** 0.5, float(aicc))


def fit_all(x: Floats, excess: Floats) -> dict[str, Fit]:
    return {law.title: fit_law(law, x, excess) for law in LAWS}


def chosen(fits: Mapping[str, Fit]) -> tuple[Fit, Fit]:
    """Return the better family's law and the other's, each as simple as it may be."""
    picked = []
    for family in ("power law", "exponential"):
        plain, more = fits[family], fits[f"{family} with constant"]
        picked.append(more if plain.aicc - more.aicc >= MARGIN else plain)
    first, second = sorted(picked, key=lambda fit: fit.aicc)
    return first, second


def verdict(fits: Mapping[str, Fit], factor: float, support: float = 1.0) -> str:
    """Return the law's name, or why none can be named.

    Parameters
    ----------
    fits : mapping
        Of `fit_all`.
    factor : float
        Of the largest size over the smallest.
    support : float
        Share of the bootstraps that prefer the family.
    """
    best, other = chosen(fits)
    margin = other.aicc - best.aicc
    if factor <= FACTOR:
        return f"cannot be decided: sizes span a factor of {factor:.0f} only"
    if margin < MARGIN:
        return (
            f"cannot be decided: {best.law} is better than {other.law} by {margin:.1f} "
            "in AICc only"
        )
    if support < SUPPORT:
        return (
            f"cannot be decided: {best.law} is better by {margin:.1f} in AICc, but "
            f"only {100 * support:.0f} % of the bootstraps prefer its family"
        )
    return best.law


def group_sizes(
    x: Sequence[float], errors: Sequence[float], labels: Sequence[Any], floor: float
) -> tuple[Floats, list[Floats]]:
    """Return sizes and, for each, the excess of its seeds; labels tell sizes apart."""
    excess = np.asarray(errors, np.float64) - floor
    if not (excess > 0).all():
        raise ValueError(
            f"An error of {min(errors):.4f} is not above the floor of {floor:.4f}; "
            "check which molecules each is of."
        )
    found: dict[Any, list[float]] = defaultdict(list)
    place: dict[Any, float] = {}
    for size, value, label in zip(x, excess, labels, strict=True):
        found[label].append(value)
        place[label] = size
    order = sorted(found, key=place.__getitem__)
    return np.array([place[i] for i in order], float), [
        np.array(found[i]) for i in order
    ]


def averaged(groups: Sequence[Floats]) -> Floats:
    return np.array([np.exp(np.log(values).mean()) for values in groups])


def bootstrap(
    x: Floats, groups: Sequence[Floats], n: int, seed: int = 0
) -> list[dict[str, Fit]]:
    """Fit samples of the sizes, with replacement, and of the seeds of each."""
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < n:
        sizes = rng.integers(len(x), size=len(x))
        # Two places cannot tell a law of three parameters.
        if len(set(sizes.tolist())) < 4:
            continue
        values = [rng.choice(groups[i], len(groups[i])) for i in sizes]
        found.append(fit_all(x[sizes], averaged(values)))
    return found


def analyse(
    x: Sequence[float],
    errors: Sequence[float],
    labels: Sequence[Any],
    floor: float,
    *,
    bootstraps: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit, compare and judge.

    Parameters
    ----------
    x, errors, labels : sequence, length n
        Sizes and errors of runs, and what tells which are the same size.
    floor : float
        Known constant below the errors.
    bootstraps, seed : int

    Returns
    -------
    dict
        JSON types.
    """
    sizes, groups = group_sizes(x, errors, labels, floor)
    fits = fit_all(sizes, averaged(groups))
    samples = bootstrap(sizes, groups, bootstraps, seed)
    family = chosen(fits)[0].law.removesuffix(" with constant")
    preferred = [chosen(sample)[0].law for sample in samples]
    support = float(np.mean([law.startswith(family) for law in preferred]))
    factor = float(sizes.max() / sizes.min())
    least = min(fit.aicc for fit in fits.values())
    laws = {}
    for title, fit in fits.items():
        interval = {
            key: np.quantile([getattr(s[title], key) for s in samples], [0.025, 0.975])
            for key in ("rate", "amplitude", "constant")
        }
        laws[title] = {
            **asdict(fit),
            "delta": fit.aicc - least,
            "intervals": {k: [float(v) for v in pair] for k, pair in interval.items()},
            "bootstraps": float(np.mean([law == title for law in preferred])),
        }
    return {
        "sizes": len(sizes),
        "runs": len(errors),
        "factor": factor,
        "floor": floor,
        "laws": laws,
        "support": support,
        "verdict": verdict(fits, factor, support),
    }


def simulate(
    fits: Mapping[str, Fit],
    start: float,
    n_sizes: int,
    scatter: float,
    factors: Sequence[float],
    repeats: int,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Draw data from fitted laws over several factors in size; count what is told.

    The scatter is that of ln(E - F). Only the margin in AICc decides here.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for truth, factor in ((t, f) for t in fits.values() for f in factors):
        x = np.geomspace(start, start * factor, n_sizes)
        counts = {"right": 0, "wrong": 0, "undecided": 0}
        for _ in range(repeats):
            noise = np.exp(scatter * rng.standard_normal(n_sizes))
            # Errors of four digits show no more than that.
            excess = np.maximum(truth.excess(x) * noise, 1e-4)
            best, other = chosen(fit_all(x, excess))
            family = best.law.removesuffix(" with constant")
            if other.aicc - best.aicc < MARGIN:
                counts["undecided"] += 1
            else:
                counts["right" if truth.law.startswith(family) else "wrong"] += 1
        shares = {key: value / repeats for key, value in counts.items()}
        rows.append({"truth": truth.law, "factor": factor, **shares})
    return rows


Choice = tuple[str, list[dict[str, Any]], Callable[[dict[str, Any]], float]]


def choices(rows: list[dict[str, Any]]) -> list[Choice]:
    """Return what is fitted against what: title, runs, size of a run."""
    rows = [r for r in rows if r["shape"]["architecture"] == "et"]
    atoms = main_atoms(rows)
    equal = [r for r in tuned(rows) if r["atoms"] == atoms]
    found: list[Choice] = [("parameters", equal, lambda r: r["parameters"])]
    for (shape, rate), runs in serial(rows).items():
        if len({r["atoms"] for r in runs}) > 5:
            title = f"atoms seen by {shape} at rate {rate:g}"
            found.append((title, runs, lambda r: r["atoms"]))
    return found


def law_rows(found: dict[str, Any]) -> list[list[str]]:
    rows = []
    for title, law in found["laws"].items():
        low, high = law["intervals"]["rate"]
        least, most = law["intervals"]["constant"]
        constant = f"{law['constant']:.3f} ({least:.3f} to {most:.3f})"
        rows.append(
            [
                title,
                f"{law['rate']:.3g} ({low:.3g} to {high:.3g})",
                constant if "constant" in title else "",
                f"{law['scatter']:.3f}",
                f"{law['delta']:.1f}",
                f"{100 * law['bootstraps']:.0f} %",
            ]
        )
    return rows


def report(analyses: dict[str, dict[str, Any]], simulated: list[dict[str, Any]]) -> str:
    head = ["law", "b or s (95 %)", "c (95 %)", "scatter of ln", "ΔAICc", "bootstraps"]
    parts = []
    for title, found in analyses.items():
        parts.append(
            f"### {title}\n\n{found['sizes']} sizes over a factor of "
            f"{found['factor']:.0f}, {found['runs']} runs, floor {found['floor']:.3f}: "
            f"**{found['verdict']}**.\n\n{markdown(head, law_rows(found))}"
        )
    if simulated:
        rows = [
            [r["truth"], f"{r['factor']:,.0f}"]
            + [f"{100 * r[k]:.0f} %" for k in ("right", "wrong", "undecided")]
            for r in simulated
        ]
        head = ["truth", "factor in size", "right family", "wrong", "undecided"]
        parts.append(f"### What could be told\n\n{markdown(head, rows)}")
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("scaling"))
    parser.add_argument("--bootstraps", type=int, default=200)
    parser.add_argument("--simulate", type=int, default=0, help="draws of each kind")
    parser.add_argument(
        "--factors", nargs="+", type=float, default=[10.0, 100.0, 1000.0, 10000.0]
    )
    options = parser.parse_args()
    analyses: dict[str, dict[str, Any]] = {}
    simulated: list[dict[str, Any]] = []
    for title, runs, size in choices(results(options.out)):
        for seen in ("all", "heavy"):
            x = [float(size(r)) for r in runs]
            errors = [error(r, seen) for r in runs]
            labels = [(name(r), r["atoms"]) for r in runs]
            floor = runs[0]["errors"]["test"][seen]["floor"]
            found = analyse(x, errors, labels, floor, bootstraps=options.bootstraps)
            analyses[f"{seen} atoms, against {title}"] = found
            if title == "parameters" and seen == "all" and options.simulate:
                sizes, groups = group_sizes(x, errors, labels, floor)
                fits = fit_all(sizes, averaged(groups))
                scatter = chosen(fits)[0].scatter
                simulated = simulate(
                    fits, sizes[0], len(sizes), scatter, options.factors,
                    options.simulate,
                )  # fmt: skip
    (options.out / "fits.json").write_text(
        json.dumps({"fits": analyses, "simulated": simulated}, indent=1) + "\n"
    )
    text = report(analyses, simulated)
    (options.out / "fits.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
