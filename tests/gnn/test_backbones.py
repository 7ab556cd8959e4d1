"""Physics of the three networks, published and smooth."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mdgeomfeat.gnn import GatedEquivariantHead, ModelSpec, build_model, random_twin
from mdgeomfeat.neighbors import EdgeList, neighbor_list
from mdgeomfeat.testing import assert_equivariant, compute_features, relative_error

SMALL = {"n_channels": 16, "n_layers": 3, "n_heads": 4, "n_rbf": 12, "cutoff": 5.0}
FORMS = {
    "et": {"architecture": "et"},
    "et-published": {"architecture": "et", "smooth": False},
    "et-polynomial": {"architecture": "et", "envelope": "polynomial"},
    "et-no-self": {"architecture": "et", "self_edges": False},
    "visnet": {"architecture": "visnet", "vector_norm": "rms"},
    "visnet-published": {
        "architecture": "visnet",
        "vector_norm": "max_min",
        "smooth": False,
    },
    "visnet-lmax2": {"architecture": "visnet", "vector_norm": "rms", "lmax": 2},
    "visnet-no-self": {"architecture": "visnet", "self_edges": False},
    "tensornet": {"architecture": "tensornet"},
    "tensornet-no-self": {"architecture": "tensornet", "self_edges": False},
}
SMOOTH = [name for name in FORMS if "published" not in name]


def make(form: str, seed: int = 3):
    return build_model(ModelSpec(**SMALL, **FORMS[form]), seed=seed).double().eval()


@pytest.fixture(params=FORMS)
def form(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def cluster() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    numbers = rng.choice([1, 6, 7, 8, 16], size=14)
    return numbers, rng.uniform(0.0, 8.0, size=(3, 14, 3))


def edges_of(positions, cutoff, boxes=None):
    return neighbor_list(positions, cutoff, boxes, backend="torch", dtype=torch.float64)


def test_equivariant_without_box(form, cluster):
    assert_equivariant(make(form), *cluster)


@pytest.mark.parametrize("name", ["et", "visnet-lmax2", "tensornet"])
@pytest.mark.parametrize(
    "box", [[11, 12, 13, 90, 90, 90], [13, 13, 13, 70.53, 109.47, 70.53]]
)
def test_equivariant_in_a_box(name, box, cluster):
    assert_equivariant(make(name), *cluster, boxes=np.array(box, float))


def test_float32_stays_within_the_contract(form, cluster):
    model = make(form)
    exact = compute_features(model, *cluster)
    single = compute_features(model.float(), *cluster)
    assert single[0].dtype == np.float32
    assert max(relative_error(a, b) for a, b in zip(single, exact, strict=True)) < 1e-5
    assert_equivariant(model, *cluster)


def test_shapes_and_nonzero_vectors(form, cluster):
    scalars, vectors = compute_features(make(form), *cluster)
    assert scalars.shape == (3, 14, 16)
    assert vectors.shape == (3, 14, 3, 16)
    assert np.linalg.norm(vectors, axis=2).max() > 1e-3


def test_mirror_image_is_seen_by_vectors_only(form, cluster):
    numbers, positions = cluster
    model = make(form)
    scalars, vectors = compute_features(model, numbers, positions)
    mirrored = compute_features(model, numbers, positions * [1, 1, -1])
    assert relative_error(mirrored[0], scalars) < 1e-10
    triple = np.linalg.det(vectors[..., :3])
    triple_mirrored = np.linalg.det(mirrored[1][..., :3])
    assert np.abs(triple).max() > 1e-9
    np.testing.assert_allclose(triple_mirrored, -triple, atol=1e-9)


def test_two_far_molecules_are_each_alone(form, cluster):
    numbers, positions = cluster
    model = make(form)
    alone = compute_features(model, numbers, positions)
    both = compute_features(
        model,
        np.tile(numbers, 2),
        np.concatenate([positions, positions[::-1] + 100.0], axis=1),
    )
    for got, expected in zip(both, alone, strict=True):
        assert relative_error(got[:, :14], expected) < 1e-12
        assert relative_error(got[:, 14:], expected[::-1]) < 1e-12


def test_isolated_and_single_atoms(form, cluster):
    model = make(form)
    lone = compute_features(model, np.array([8]), np.zeros((1, 1, 3)))
    assert np.isfinite(lone[0]).all()
    assert np.abs(lone[1]).max() == 0.0
    numbers, positions = cluster
    far = np.concatenate([positions, np.full((3, 1, 3), 60.0)], axis=1)
    scalars, vectors = compute_features(model, np.append(numbers, 8), far)
    assert relative_error(scalars[:, -1], np.repeat(lone[0][:, 0], 3, 0)) < 1e-12
    assert np.abs(vectors[:, -1]).max() == 0.0


def test_no_atoms_at_all(form):
    empty = EdgeList(
        receiver=torch.zeros(0, dtype=torch.int64),
        sender=torch.zeros(0, dtype=torch.int64),
        vector=torch.zeros(0, 3, dtype=torch.float64),
        row_ptr=torch.zeros(1, dtype=torch.int64),
    )
    scalars, vectors = make(form)(torch.zeros(0, dtype=torch.int64), empty)
    assert scalars.shape == (0, 16)
    assert vectors.shape == (0, 3, 16)


def step_across_the_cutoff(model, gap: float) -> float:
    """Return how far features move while one pair goes from 5 - gap to 5 + gap Å."""
    numbers = np.array([6, 7, 8, 6])
    base = np.array([[0, 0, 0], [1.4, 0.2, 0], [0.1, 1.5, 0.3], [0.0, 0.0, 0.0]])
    results = []
    for distance in (5.0 - gap, 5.0 + gap):
        positions = base.copy()
        positions[3] = [-distance, 0, 0]
        results.append(compute_features(model, numbers, positions[None]))
    return max(relative_error(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("name", SMOOTH)
def test_features_do_not_jump_at_the_cutoff(name):
    """The last atom sees only the first, so its whole surroundings appear."""
    model = make(name)
    steps = [step_across_the_cutoff(model, gap) for gap in (1e-2, 1e-3, 1e-4)]
    # Continuous, and with the slope of the envelope: quadratic, so far below linear.
    assert steps[2] < 1e-6
    assert steps[2] <= steps[1] <= steps[0]
    assert steps[0] > 0


@pytest.mark.parametrize("name", ["et-published", "visnet-published"])
def test_published_forms_jump(name):
    model = make(name)
    with torch.no_grad():  # a trained network has biases; fresh ones are zero
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("bias"):
                parameter += 0.3
    steps = [step_across_the_cutoff(model, gap) for gap in (1e-3, 1e-5)]
    assert steps[1] > 1e-3
    assert steps[1] > 0.5 * steps[0]


@pytest.mark.parametrize("name", SMOOTH)
def test_biases_do_not_make_smooth_forms_jump(name):
    model = make(name)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("bias"):
                parameter += 0.3
    assert step_across_the_cutoff(model, 1e-5) < 1e-6


def test_gradients_by_finite_differences(form, cluster):
    numbers, positions = cluster
    model = make(form)
    z = torch.as_tensor(numbers)
    weights = torch.randn(16, dtype=torch.float64, generator=torch.manual_seed(0))
    edges = edges_of(positions[:1], 5.0)
    assert len(edges.receiver) > 50

    def value(vector: torch.Tensor) -> torch.Tensor:
        moved = EdgeList(edges.receiver, edges.sender, vector, edges.row_ptr)
        scalars, vectors = model(z, moved)
        return (scalars @ weights).sum() + (vectors.sin() @ weights).sum()

    vector = edges.vector.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(vector), vector)
    rng = np.random.default_rng(1)
    for _ in range(4):
        direction = torch.as_tensor(rng.normal(size=vector.shape))
        with torch.no_grad():
            h = 1e-6
            slope = value(vector + h * direction) - value(vector - h * direction)
        expected = float((gradient * direction).sum())
        assert float(slope) / (2 * h) == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_gradients_are_finite_for_coincident_and_lone_atoms(form):
    positions = torch.zeros(1, 4, 3, dtype=torch.float64)
    positions[0, 2, 0] = 1.3
    positions[0, 3] = 50.0
    positions.requires_grad_()
    model = make(form)
    edges = neighbor_list(positions, 5.0, backend="torch", dtype=torch.float64)
    scalars, vectors = model(torch.tensor([6, 1, 8, 7]), edges)
    (scalars.square().sum() + vectors.square().sum()).backward()
    assert positions.grad is not None
    assert torch.isfinite(positions.grad).all()
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


def test_every_parameter_is_used(form, cluster):
    """A parameter without gradient would be dead weight in a checkpoint."""
    numbers, positions = cluster
    model = make(form)
    edges = edges_of(positions, 5.0)
    scalars, vectors = model(torch.as_tensor(np.tile(numbers, 3)), edges)
    (scalars.square().sum() + vectors.square().sum()).backward()
    unused = [
        name
        for name, p in model.named_parameters()
        if p.grad is None or not p.grad.abs().max() > 0
    ]
    # Vectors are zero before the first layer, so it has nothing to project or gate.
    vector_only = ("vector_proj", "vector_norm", "edge_gate", "edge_vector_proj")
    assert all(name.startswith("layers.0.") for name in unused)
    assert all(name.split(".")[2] in vector_only for name in unused)


def test_unsorted_edges_give_the_same(form, cluster):
    numbers, positions = cluster
    model = make(form)
    z = torch.as_tensor(np.tile(numbers, 3))
    edges = edges_of(positions, 5.0)
    order = torch.randperm(len(edges.receiver), generator=torch.manual_seed(0))
    shuffled = EdgeList(
        edges.receiver[order], edges.sender[order], edges.vector[order], edges.row_ptr
    )
    with torch.no_grad():
        for a, b in zip(model(z, shuffled), model(z, edges), strict=True):
            assert relative_error(a.numpy(), b.numpy()) < 1e-12


def test_seeds_and_the_global_generator():
    spec = ModelSpec(**SMALL)
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first, again = build_model(spec, seed=1), build_model(spec, seed=1)
    other, fresh = build_model(spec, seed=2), build_model(spec)
    assert torch.equal(before, torch.get_rng_state())
    prints = {m.fingerprint for m in (first, again, other, fresh)}
    assert first.fingerprint == again.fingerprint
    assert len(prints) == 3


def test_random_twin_has_the_shape_and_other_weights():
    model = make("visnet-lmax2")
    twin = random_twin(model, 4)
    assert twin.spec == model.spec
    assert twin.dtype == torch.float64
    assert twin.fingerprint == random_twin(model, 4).fingerprint != model.fingerprint
    assert twin.card["name"] == "visnet-random-4"


def test_fingerprint_ignores_the_type_and_sees_each_weight():
    model = make("et").float()
    before = model.fingerprint
    assert model.double().fingerprint == before
    with torch.no_grad():
        model.layers[1].output_proj.bias[3] += 1e-3
    assert model.fingerprint != before


def test_unseen_elements():
    model = build_model(ModelSpec(elements=(1, 6, 8)), seed=0)
    assert model.unseen(np.array([6, 26, 8, 1, 7])) == (7, 26)
    assert build_model(ModelSpec(), seed=0).unseen([6, 200]) == (200,)


@pytest.mark.parametrize("name", ["et", "tensornet"])
def test_radial_filters_are_what_the_network_uses(name, cluster):
    """Engines tabulate them; a two-layer chain by hand would repeat the network."""
    model = make(name)
    filters = model.radial_filters(torch.tensor([0.0, 2.5, 4.999999, 5.0]).double())
    n_layers = 3 if name == "et" else 4
    n_blocks = 4 if name == "et" else 3
    assert filters.shape == (n_layers, 4, n_blocks * 16)
    skip = 16 if name == "et" else 0  # the key filter is no message
    assert filters[:, 3, skip:].abs().max() == 0
    assert filters[:, 2, skip:].abs().max() < 1e-10


@pytest.mark.parametrize(("n_scalars", "n_vectors"), [(1, 1), (3, 2)])
def test_head_is_equivariant(n_scalars, n_vectors, cluster):
    model = make("et")
    torch.manual_seed(0)
    head = GatedEquivariantHead(16, n_scalars, n_vectors).double()

    def compute(numbers, positions, boxes):
        F, A, _ = positions.shape
        s, v = compute_features(model, numbers, positions, boxes)
        with torch.no_grad():
            s, v = head(
                torch.as_tensor(s).reshape(F * A, -1),
                torch.as_tensor(v).reshape(F * A, 3, -1),
            )
        return s.numpy().reshape(F, A, -1), v.numpy().reshape(F, A, 3, -1)

    assert_equivariant(compute, *cluster)
    assert compute(*cluster, None)[1].shape == (3, 14, 3, n_vectors)


def test_head_has_finite_gradients_at_zero_vectors():
    head = GatedEquivariantHead(8)
    vectors = torch.zeros(2, 3, 8, requires_grad=True)
    scalars, out = head(torch.ones(2, 8), vectors)
    (scalars.sum() + out.square().sum()).backward()
    assert torch.isfinite(vectors.grad).all()
