"""Compiled gradients of positions against automatic differentiation in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engine_checks import BOX, LIMIT, lively

from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn.engine.cpu.gradients import GradientEngine
from mdgeomfeat.neighbors import neighbor_list
from mdgeomfeat.testing import relative_error

A = 24
# float32 rounding through two passes; the contract asks for 1e-5
GRADIENT = 3e-6


@pytest.fixture(scope="module")
def system():
    """Atoms on a jittered grid, in a box that they fill, and random derivatives."""
    rng = np.random.default_rng(4)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 3)[:A]
    x = 2.1 * grid + rng.normal(size=(A, 3)) * 0.3
    return x, rng.choice([1, 6, 7, 8], A), rng


def derivatives(model, rng, n=A):
    C = model.spec.n_channels
    shapes = (n, C), (n, 3, C)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def by_autograd(model, numbers, x, box, given):
    """Return features and gradient from the network itself, in float64."""
    model = model.double()
    positions = torch.tensor(x[None], requires_grad=True)
    edges = neighbor_list(
        positions, model.spec.cutoff, box, dtype=torch.float64, backend="torch"
    )
    features = model(torch.as_tensor(numbers), edges)
    total = sum(
        (f * torch.as_tensor(g)).sum() for f, g in zip(features, given, strict=True)
    )
    (gradient,) = torch.autograd.grad(total, positions)
    model.float()
    return [f.detach().numpy() for f in features], gradient[0].numpy()


@pytest.mark.parametrize("box", [None, BOX])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"self_edges": False},
        {"n_layers": 1},
        pytest.param({"n_channels": 24, "n_heads": 3}, marks=pytest.mark.slow),
        {"n_channels": 64, "n_heads": 8, "n_layers": 2},
    ],
)
def test_gradients_are_those_of_the_network(options, box, system):
    x, numbers, rng = system
    model = lively(architecture="et", **options)
    given = derivatives(model, rng)
    features, gradient = by_autograd(model, numbers, x, box, given)
    engine = GradientEngine(model, numbers)
    for got, expected in zip(engine.features(x, box), features, strict=True):
        assert relative_error(got, expected) < LIMIT
    assert relative_error(engine.gradient(*given), gradient) < GRADIENT


def test_gradients_are_finite_differences(system):
    x, numbers, rng = system
    model = lively(architecture="et")
    given = derivatives(model, rng)
    engine = GradientEngine(model, numbers)
    engine.features(x)
    gradient = engine.gradient(*given)

    def total(positions):
        features, _ = by_autograd(model, numbers, positions, None, given)
        return sum((f * g).sum() for f, g in zip(features, given, strict=True))

    for atom, axis in ((0, 0), (7, 1), (A - 1, 2)):
        step = np.zeros_like(x)
        step[atom, axis] = 1e-5
        expected = (total(x + step) - total(x - step)) / 2e-5
        assert gradient[atom, axis] == pytest.approx(
            expected, abs=1e-5 * abs(gradient).max()
        )


def test_forces_and_torques_sum_to_zero(system):
    # numbers that a rotation does not change: norms of the vectors
    x, numbers, rng = system
    model = lively(architecture="et")
    engine = GradientEngine(model, numbers)
    scalars, vectors = engine.features(x)
    by_scalars, _ = derivatives(model, rng)
    gradient = engine.gradient(by_scalars, 2 * vectors)
    size = abs(gradient).max()
    assert abs(gradient.sum(axis=0)).max() < 1e-9 * size
    assert abs(np.cross(x, gradient).sum(axis=0)).max() < 1e-5 * size * abs(x).max()
    assert scalars.shape == (A, model.spec.n_channels)


def test_a_frame_owes_nothing_to_the_one_before(system):
    x, numbers, rng = system
    model = lively(architecture="et")
    given = derivatives(model, rng)
    engine, fresh = GradientEngine(model, numbers), GradientEngine(model, numbers)
    # more pairs, then fewer, and derivatives more than once
    engine.features(0.6 * x)
    engine.gradient(*given)
    engine.features(x)
    engine.gradient(*(3 * g for g in given))
    fresh.features(x)
    np.testing.assert_array_equal(engine.gradient(*given), fresh.gradient(*given))


def test_lone_and_coincident_atoms_have_finite_gradients():
    model = lively(architecture="et")
    engine = GradientEngine(model, [6, 8, 1])
    x = np.array([[0.0, 0, 0], [0, 0, 0], [30, 0, 0]])
    given = derivatives(model, np.random.default_rng(0), 3)
    engine.features(x)
    gradient = engine.gradient(*given)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[2], 0.0)


def test_mistakes_are_named(system):
    _, numbers, rng = system
    with pytest.raises(InputError, match="not for tensornet; use engine='torch'"):
        GradientEngine(lively(architecture="tensornet"), numbers)
    engine = GradientEngine(lively(architecture="et"), numbers)
    with pytest.raises(InputError, match="call features\\(\\) first"):
        engine.gradient(*derivatives(lively(architecture="et"), rng))


def test_a_network_with_other_weights_has_filters_of_its_own(system):
    # tables are kept from one engine to the next
    x, numbers, rng = system
    model = lively(architecture="et")
    given = derivatives(model, rng)
    before = GradientEngine(model, numbers)
    before.features(x)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "filter_proj" in name:
                weight.mul_(1.2)
    _, expected = by_autograd(model, numbers, x, None, given)
    engine = GradientEngine(model, numbers)
    engine.features(x)
    gradient = engine.gradient(*given)
    assert relative_error(gradient, expected) < GRADIENT
    assert relative_error(before.gradient(*given), expected) > 100 * GRADIENT
