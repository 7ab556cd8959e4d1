import numpy as np
import pytest
import torch

from mdgeomfeat.gnn import ModelSpec, build_model
from mdgeomfeat.pretraining.denoiser import Denoiser
from mdgeomfeat.pretraining.fused import pair_list, supports
from mdgeomfeat.pretraining.task import make_batch


@pytest.fixture
def batch(packed, rng):
    indices = np.arange(len(packed))
    return make_batch(packed, indices, indices % 3, np.full(len(indices), 0.2), rng)


def gradients(denoiser, batch, fast):
    denoiser.zero_grad()
    guess = denoiser(batch.numbers, batch.positions, batch.graph_ptr, fast=fast)
    (guess - torch.from_numpy(batch.noise)).square().mean().backward()
    grads = {
        name: p.grad.clone()
        for name, p in denoiser.named_parameters()
        if p.grad is not None
    }
    return guess.detach(), grads


@pytest.mark.parametrize(
    "changes",
    [{}, {"smooth": False}, {"self_edges": False}, {"n_heads": 4, "cutoff": 7.5}],
)
def test_values_and_gradients_are_those_of_the_reference(batch, changes):
    spec = ModelSpec(
        **{"n_layers": 3, "n_channels": 16, "n_heads": 2, "cutoff": 5.0, **changes}
    )
    torch.manual_seed(0)
    denoiser = Denoiser(build_model(spec, seed=1))
    assert supports(denoiser.backbone)
    slow, slow_grads = gradients(denoiser, batch, False)
    fast, fast_grads = gradients(denoiser, batch, True)
    assert (fast - slow).norm() < 2e-3 * slow.norm()
    assert slow_grads.keys() == fast_grads.keys()
    for name, wanted in slow_grads.items():
        assert (fast_grads[name] - wanted).norm() < 5e-3 * wanted.norm() + 1e-7, name


def test_large_logits_have_finite_gradients(batch):
    """Far outside what training reaches: exponentials would overflow."""
    spec = ModelSpec(n_layers=2, n_channels=16, n_heads=2, cutoff=5.0)
    denoiser = Denoiser(build_model(spec, seed=1))
    with torch.no_grad():
        for layer in denoiser.backbone.layers:
            layer.node_proj.weight[:32] *= 30.0  # query and key
    _, grads = gradients(denoiser, batch, True)
    assert all(torch.isfinite(g).all() for g in grads.values())


def test_other_models_take_the_reference_path(batch):
    spec = ModelSpec(architecture="tensornet", n_layers=1, n_channels=8, n_rbf=8)
    denoiser = Denoiser(build_model(spec, seed=1))
    assert not supports(denoiser.backbone)
    guess, grads = gradients(denoiser, batch, True)
    assert guess.shape == batch.noise.shape
    assert grads
    odd = ModelSpec(n_channels=24, n_heads=8)
    assert not supports(build_model(odd, seed=0))


def test_threads_do_not_change_the_gradients(batch):
    import numba

    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("numba was started with one thread")
    spec = ModelSpec(n_layers=2, n_channels=16, n_heads=2, cutoff=5.0)
    torch.manual_seed(0)
    denoiser = Denoiser(build_model(spec, seed=1))
    _, one = gradients(denoiser, batch, True)
    torch.set_num_threads(2)
    numba.set_num_threads(2)
    _, two = gradients(denoiser, batch, True)
    for name, wanted in one.items():
        torch.testing.assert_close(two[name], wanted, rtol=1e-4, atol=1e-6)


def test_pairs_are_all_within_the_cutoff(batch):
    pairs = pair_list(batch.positions, batch.graph_ptr, 3.0)
    graph = np.repeat(np.arange(len(batch.graph_ptr) - 1), np.diff(batch.graph_ptr))
    x = batch.positions.astype(np.float64)
    gaps = np.linalg.norm(x[:, None] - x[None], axis=2)
    wanted = (gaps < 3.0) & (graph[:, None] == graph[None])
    found = np.zeros_like(wanted)
    found[pairs.first, pairs.second] = True
    np.testing.assert_array_equal(found, np.triu(wanted, 1))
    unit = x[pairs.second] - x[pairs.first]
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    np.testing.assert_allclose(pairs.direction, unit, atol=1e-5)


def test_predictions_turn_with_the_molecules(batch, rng):
    from scipy.spatial.transform import Rotation

    spec = ModelSpec(n_layers=2, n_channels=16, n_heads=2, cutoff=5.0)
    denoiser = Denoiser(build_model(spec, seed=1))
    turn = Rotation.random(rng=rng).as_matrix().astype(np.float32)
    with torch.no_grad():
        one = denoiser(batch.numbers, batch.positions, batch.graph_ptr)
        two = denoiser(batch.numbers, batch.positions @ turn.T, batch.graph_ptr)
    np.testing.assert_allclose(one.numpy() @ turn.T, two.numpy(), atol=1e-4)
