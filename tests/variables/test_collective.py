"""The differentiable path: the values of ``--apply``, and gradients that are right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import BOX, lively

from mdgeomfeat.errors import InputError
from mdgeomfeat.neighbors import neighbor_list
from mdgeomfeat.variables import CollectiveVariables, jump_at_cutoff

METHODS = ("tica", "flat", "mlp", "attention", "equivariant")
CASES = [
    *(
        ("et", method, "geometric", pool)
        for method in METHODS
        for pool in ("mean", "sum")
    ),
    *(("et", "tica", kind, "mean") for kind in ("scalars", "norms")),
    *(
        (a, m, "geometric", "mean")
        for a in ("visnet", "tensornet")
        for m in ("tica", "mlp")
    ),
]


def wrapped(positions, box):
    """Return the molecule broken across a box."""
    from mdgeomfeat.neighbors import lattice_vectors

    lattice = lattice_vectors(box)
    fraction = positions @ np.linalg.inv(lattice)
    return (fraction - np.floor(fraction)) @ lattice


def finite_differences(variables, positions, box, step=1e-4):
    """Return central differences in float64, (d, A, 3)."""
    moves = step * np.eye(positions.size).reshape(-1, *positions.shape)
    frames = torch.from_numpy(np.concatenate([positions + moves, positions - moves]))
    with torch.no_grad():
        ahead, behind = variables(frames, box).numpy().reshape(2, positions.size, -1)
    return ((ahead - behind) / (2 * step)).T.reshape(-1, *positions.shape)


@pytest.mark.parametrize("box", [None, BOX], ids=["no box", "box"])
@pytest.mark.parametrize(("architecture", "method", "kind", "pool"), CASES)
def test_values_and_gradients(dipeptides, architecture, method, kind, pool, box):
    system = dipeptides(architecture)
    model = system.model(method, kind, pool)
    positions = system.positions
    if box is not None:
        positions = wrapped(positions - positions.mean(axis=1, keepdims=True), box)
    exact = CollectiveVariables(
        model, system.network, system.structure, engine="torch", dtype="float64"
    )
    values, gradients = exact.differentiate(positions, box)
    joined = method == "equivariant"
    applied = model.transform(system.arrays(kind, pool, joined))[0][::40]
    assert np.abs(values - applied).max() < 1e-5

    expected = finite_differences(exact, positions[1], box)
    size = np.linalg.norm(expected, axis=-1)
    error = np.linalg.norm(gradients[1] - expected, axis=-1)
    assert (error < 1e-4 * np.maximum(size, 1e-2 * size.max())).all()

    assert np.abs(gradients.sum(axis=2)).max() < 1e-9 * np.abs(gradients).max()
    if box is None:
        torque = np.cross(positions[:, None], gradients).sum(axis=2)
        assert np.abs(torque).max() < 1e-6 * np.abs(gradients).max()

    auto = CollectiveVariables(model, system.network, system.structure)
    assert auto.engine == ("cpu" if architecture == "et" else "torch")
    fast_values, fast = auto.differentiate(positions, box)
    # In float32 throughout; a map learnt in five steps magnifies rounding.
    assert np.abs(fast_values - values).max() < 3e-5
    assert np.linalg.norm(fast - gradients) < 1e-5 * np.linalg.norm(gradients)


def test_windows_have_gradients(dipeptides):
    system = dipeptides("et")
    model = system.model("tica")
    model.metadata["features"]["window"] = 0
    variables = CollectiveVariables(
        model, system.network, system.structure, dtype="float64"
    )
    assert "whole frames" in variables.reason or "float32" in variables.reason
    positions = system.positions
    _, gradients = variables.differentiate(positions)
    expected = finite_differences(variables, positions[0], None)
    assert np.allclose(gradients[0], expected, atol=1e-5 * np.abs(expected).max())


def test_compiled_variables_are_a_node_of_a_graph(dipeptides):
    system = dipeptides("et")
    variables = CollectiveVariables(
        system.model("flat"), system.network, system.structure, engine="cpu"
    )
    positions = torch.tensor(system.positions, requires_grad=True)
    values = variables(positions)
    weights = torch.linspace(-1, 1, values.numel()).double().view_as(values)
    (got,) = torch.autograd.grad((values * weights).sum(), positions, create_graph=True)
    _, gradients = variables.differentiate(system.positions)
    expected = np.einsum("fd,fdak->fak", weights.numpy(), gradients)
    assert np.allclose(got.detach(), expected)
    with pytest.raises(RuntimeError, match=r"once_diff|require grad"):
        torch.autograd.grad(got.sum(), positions)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_no_neighbour_search_drops_gradients(backend):
    positions = torch.rand(1, 9, 3, dtype=torch.float64) * 4
    positions.requires_grad_()
    edges = neighbor_list(positions, 5.0, BOX, backend=backend)
    (gradient,) = torch.autograd.grad(edges.vector[:, 0].sum(), positions)
    counts = torch.zeros(9, dtype=torch.float64)
    counts.index_add_(0, edges.sender, torch.ones(edges.n_edges).double())
    counts.index_add_(0, edges.receiver, -torch.ones(edges.n_edges).double())
    assert torch.allclose(gradient[0, :, 0], counts)


@pytest.mark.parametrize("architecture", ["et", "visnet", "tensornet"])
def test_networks_that_jump_are_refused_for_biasing(dipeptides, architecture):
    assert jump_at_cutoff(lively(architecture), [6, 8]) < 1e-10
    published = lively(architecture, smooth=False)
    jumps = architecture != "tensornet"
    assert (jump_at_cutoff(published, [6, 8]) > 1e-3) == jumps
    system = dipeptides("et")
    model = system.model("tica")
    CollectiveVariables(model, system.network, system.structure).require_smooth()
    model.metadata["features"]["model_fingerprint"] = published.fingerprint
    variables = CollectiveVariables(model, published, system.structure, engine="torch")
    if jumps:
        with pytest.raises(InputError, match=r"jump by .* crosses its cutoff"):
            variables.require_smooth()


def test_what_has_no_gradient_is_refused(dipeptides):
    system = dipeptides("et")
    model = system.model("tica")
    variables = CollectiveVariables(model, system.network, system.structure)
    r = torch.tensor(system.positions)
    with pytest.raises(InputError, match="has no gradient"):
        variables(r.long())
    with pytest.raises(InputError, match="box is not available"):
        variables(r, torch.tensor(BOX, requires_grad=True))
    with pytest.raises(InputError, match=r"need \(frames, 10, 3\)"):
        variables(r[:, :4])
    with pytest.raises(InputError, match="not finite"):
        variables.differentiate(np.full((1, 10, 3), np.nan))
    with pytest.raises(InputError, match="float32"):
        CollectiveVariables(
            model, system.network, system.structure, engine="cpu", dtype="float64"
        )
    with pytest.raises(InputError, match="not the one that made"):
        CollectiveVariables(model, lively("visnet"), system.structure)
    model.metadata["structure"]["numbers"][0] = 16
    with pytest.raises(InputError, match="not those that the model was made for"):
        CollectiveVariables(model, system.network, system.structure)
